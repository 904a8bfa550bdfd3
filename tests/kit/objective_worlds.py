"""Made-up trainings that differ in their objective, with losses and costs that are known."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from twirlscope.report.trainings import Training

STEPS = (0, 10, 100)
NAMES = np.array(["haar1", "haar4", "D2"], object)


def training(objective, loss=1.0, percent=3.0, seed=0, run="", flops=1e9, built_in=False, **changes):
    """A training that ends at this loss and percentage; `changes` are to the values below."""
    values = {
        "seconds": 1e-3,
        "parameters": 1000,
        "l2": loss**0.5,
        "frame": 0.8 * loss,
        "task": "force_field",
        "train": {},
        "steps": STEPS,
    } | changes
    total, equiv = loss * np.array([9.0, 3.0, 1.0]), loss * percent / 100
    sets = np.array([loss, loss - 0.75 * equiv, loss - equiv])
    twirl = {
        "loss_total": (("step", "term"), total[:, None]),
        "loss_equiv": (("step", "term"), (total * percent / 100)[:, None]),
        "convex_loss_total": (("step", "convex", "term"), np.full((3, 1, 1), values["l2"])),
        "twirled_loss": (("rotation_set", "term"), sets[:, None] / 2),  # the panel is twice as easy
        "panel_single_loss": (("term", "panel"), np.full((1, 4), loss / 2)),
        "frame_loss": ("term", np.array([values["frame"] / 2])),
    }
    coordinates = {
        "step": np.array(values["steps"]),
        "term": np.array(["forces"], object),
        "convex": np.array(["l2"], object),
    }
    spec = {"dataset": "md", "task": {"name": values["task"]}, "model": {"name": "net"}, "seed": seed}
    if built_in:
        spec["model"] = {"name": "exact"}
    spec["train"] = {"objective": objective, "steps": values["steps"][-1], "batch": 32} | values["train"]
    attrs = {"run": json.dumps(spec), "parameters": values["parameters"], "equivariant": built_in, "device": "CPU"}
    costs = {"flops_update": flops, "forward_rows": 32.0, "backward_rows": 32.0, "seconds_inference": values["seconds"]}
    train = xr.Dataset({k: ((), v) for k, v in costs.items()}, attrs=attrs)
    name = run or objective["name"]
    return Training(name, seed, train, xr.Dataset(twirl, coordinates | {"rotation_set": NAMES}), dataset="md")


def seeds(objective, loss=1.0, count=3, **changes):
    """Several seeds whose losses differ by a few percent around this one."""
    factors = np.exp(0.02 * (np.arange(count) - (count - 1) / 2))
    return [training(objective, loss * f, seed=i, **changes) for i, f in enumerate(factors)]

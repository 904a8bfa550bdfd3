"""Made-up trainings of several sizes, lengths and samples whose losses follow known power laws."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from twirlscope.report.trainings import Training

AUGMENT = {"name": "augment", "rotations": "haar", "views": 1, "angle": 180.0, "copies": 0}
NONE = {"name": "none", "canonical": False}
STEPS = (64, 128, 256, 512, 1024, 2048)
SAMPLES = (50, 100, 200, 400, 800, 1600)
WIDTHS = (8, 16, 32, 64, 128)


def training(loss, percent=3.0, seed=0, width=32, steps=512, samples=400, objective=None, built_in=False, **changes):
    """A training that ends at this loss and percentage; an update costs width^2 GFLOP."""
    values = {"trivial": False, "floor": 1e-12, "dataset": "md", "batch": 32} | changes
    name = "exact" if built_in else "net"
    parts = {"total": loss, "equiv": loss * percent / 100, "mean": loss * (1 - percent / 100)}
    data = {f"loss_{k}": (("step", "term"), np.array([[9 * v], [v]])) for k, v in parts.items()}
    data["percent_equiv"] = (("step", "term"), np.array([[50.0], [percent]]))
    data["trivial"] = (("step", "term"), np.array([[True], [values["trivial"]]]))
    data["loss_equiv_floor"] = (("step", "term"), np.full((2, 1), values["floor"]))
    twirl = xr.Dataset(data, {"step": [0, steps], "term": np.array(["forces"], object)}, {"group": "SO3"})
    spec = {"dataset": values["dataset"], "task": {"name": "force_field"}, "model": {"name": name, "width": width}}
    objective = objective or (NONE if built_in else AUGMENT)
    spec |= {"seed": seed, "train": {"objective": objective, "steps": steps, "samples": samples}}
    spec["train"]["batch"] = values["batch"]
    attrs = {"run": json.dumps(spec), "parameters": 10 * width**2, "training_samples": samples, "equivariant": built_in}
    train = xr.Dataset({"flops_update": ((), 1e9 * width**2)}, attrs=attrs)
    words = f"{name}_{objective['name']}_{width}_{steps}_{samples}"
    return Training(words, seed, train, twirl, dataset=values["dataset"])


def along(key, values, exponent, level=1.0, random=None, noise=(0.0, 0.0), seeds=2, **fixed):
    """Runs that differ in one key, with a loss of this power of its value over the first one.

    Args:
        key: `steps`, `samples` or `width`.
        exponent: in the value of the key.
        noise: standard deviations of the logarithm, of seeds and of runs.
    """
    found = []
    for value in values:
        run = noise[1] * random.standard_normal() if random else 0.0
        for seed in range(seeds):
            own = noise[0] * random.standard_normal() if random else 0.0
            loss = level * (value / values[0]) ** exponent * np.exp(run + own)
            found.append(training(loss, seed=seed, **({key: value} | fixed)))
    return found


def families(difference=0.0, ratio=1.0, random=None, key="steps", noise=(0.05, 0.05), objective=None, **fixed):
    """Learned and built-in symmetry along a key: exponents that differ so, and this ratio of losses at the start."""
    values = {"steps": STEPS, "samples": SAMPLES, "width": WIDTHS}[key]
    common = {"random": random, "noise": noise} | fixed
    learned = along(key, values, -0.4 + difference, ratio, objective=objective, **common)
    return [*learned, *along(key, values, -0.4, built_in=True, **common)]


def gap(ratio, random=None, spread=0.05, seeds=3, still_falling=False):
    """Augmented trainings of two lengths and equivariant ones; this ratio of losses after the longer one."""
    sizes = {"random": random, "noise": (spread, 0.0), "seeds": seeds}
    fall = -0.5 if still_falling else 0.0
    learned = along("steps", (512, 2048), fall, ratio * 4**-fall, **sizes)
    return [*learned, *along("steps", (1024,), 0.0, built_in=True, **sizes)]

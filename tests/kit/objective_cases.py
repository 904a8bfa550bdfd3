"""Every objective in its variants, and a loop that trains a small model with it on toy data."""

from __future__ import annotations

import numpy as np
import torch
import toys

from twirlscope import plugins
from twirlscope.geometry import so3
from twirlscope.losses import balanced
from twirlscope.objective import Rows
from twirlscope.settings.train import TrainSettings
from twirlscope.training import batches
from twirlscope.training.loop import Loop

DATA = {"force_field": toys.frames, "flow_matching": toys.backbones, "voxel_denoising": toys.molecules}
TASKS = {
    "force_field": {"name": "force_field"},
    "flow_matching": {"name": "flow_matching"},
    "voxel_denoising": {"name": "voxel_denoising", "size": 8, "resolution": 1.0, "radius": 1.0, "shift": 0.1},
}
MODELS = {
    "force_field": {"name": "vector_attention", "width": 8, "layers": 1, "heads": 2, "radial": 4},
    "flow_matching": {"name": "protein_transformer", "width": 8, "layers": 1, "heads": 2, "pair": 4, "condition": 8},
    "voxel_denoising": {"name": "voxel_unet", "size": "2k"},
}
VARIANTS = {
    "augment": [{}, {"views": 2}, {"copies": 2}, {"angle": 30.0}, {"rotations": "euler_product"}],
    "group": [{"set": "D2"}, {"set": "T"}],
    "equiv_penalty": [{}, {"weight": 3.0, "share": 0.5}],
    "remul": [{}, {"balance": "gradnorm"}],
    "latent": [{}],
    "lie_penalty": [{"method": "near"}, {"method": "exact"}, {"method": "torque"}],
    "frames": [{}, {"frames": "all"}],
    "none": [{}, {"canonical": True}],
    "schedule": [{}, {"first": {"name": "augment"}, "then": {"name": "latent"}}],
}
NO_GRID = {"latent", "lie_penalty", "frames"}
CASES = [{"name": name, **more} for name in plugins.known("objective") for more in VARIANTS.get(name, [{}])]


def text(section) -> str:
    """A name for a test."""
    return "-".join(str(v["name"] if isinstance(v, dict) else v) for v in section.values())


def fits(section, task: str) -> bool:
    """True where the objective can be used for the task."""
    inner = {section["name"]} | {v["name"] for v in section.values() if isinstance(v, dict)}
    if task == "voxel_denoising":
        return not inner & NO_GRID and not section.get("canonical")
    return task == "force_field" or section.get("method") in (None, "near")


def loop_of(section, task: str = "force_field", double: bool = True, **settings) -> Loop:
    """A training in float64 that has made no update yet."""
    model = MODELS[task] | ({"forces": "conservative"} if section.get("method") == "torque" else {})
    chosen = {"steps": 4, "batch": 24, "warmup": 0, "device": "cpu", "prefetch": 0, "clip": 1.0} | settings
    made = plugins.make_task(TASKS[task], DATA[task]())
    settings = TrainSettings(objective=section, **chosen)
    loop = Loop(made, {"seed": 0, "model": model}, settings, np.arange(30))
    loop.model.train()
    if double:
        in_double(loop)
    return loop


def in_double(loop: Loop) -> None:
    """Turn a training to float64."""
    loop.model.double()
    loop.objective.double()
    loop.loader = batches.Loader(lambda u: loop.rows(u).to("cpu", torch.float64), loop.settings.steps, 0, "cpu")


def exact_rows(loop: Loop, index: np.ndarray, quaternion: torch.Tensor) -> Rows:
    """Rows of samples in these orientations, `[sample, view, 4]`, rotated in float64."""
    rotation = so3.matrix(quaternion).flatten(0, 1)
    views = quaternion.shape[1]
    still = balanced(loop.task.batch(index)).to("cpu", torch.float64).repeat(views)
    return Rows(loop.task.rotate(still, rotation), torch.arange(len(index)).repeat_interleave(views), rotation)


def gradient(loop: Loop, update: int = 0, rows: Rows | None = None) -> torch.Tensor:
    """Gradient of the loss of an update, or of some rows, with respect to the model, flat."""
    rows = rows or loop.rows(update).to("cpu", torch.float64)
    total = loop.objective.active(update)(loop.model, rows)["total"]
    found = torch.autograd.grad(total, list(loop.model.parameters()), allow_unused=True)
    pairs = zip(found, loop.model.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])

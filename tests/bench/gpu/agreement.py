"""The same numbers on the CPU and on another device: training, twirl, gradients, Hessian products.

Everything random is drawn on the CPU for both. Limits are relative: of a sum of squares for the twirl, of the norm of a
difference for gradients and products. Those of float32 leave room for sums in another order; updates of AdamW divide by
the size of a gradient and amplify its rounding error, so that weights differ more than losses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import bench_train
import numpy as np
import torch
from bench_train import Case, loop_of, samples

from twirlscope.contracts import Evaluation
from twirlscope.curvature.lanczos import rademacher
from twirlscope.curvature.objective import Objective
from twirlscope.curvature.operators import operator
from twirlscope.estimators import loss_split
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.objective import Rows
from twirlscope.runtime.precision import duplicate, float32
from twirlscope.training.loop import Loop
from twirlscope.twirling import twisting

from .check import Found, Setup, within

UPDATES, FEW, ROTATIONS, PROBES, REFERENCE = 20, 4, 4, 4, "cpu"
LOSSES, WEIGHTS = 1e-3, 0.02  # largest differences after a training
LIMITS = {  # by quantity and dtype
    ("twirl", "float32"): 1e-4,
    ("twirl", "float64"): 1e-10,
    ("gradient", "float32"): 1e-3,
    ("gradient", "float64"): 1e-10,
    ("hessian", "float32"): 5e-3,
    ("hessian", "float64"): 1e-9,
}
CASES = {
    "vector_attention": Case("force_field", {"name": "vector_attention"}, batch=16, size=15),
    "escaip": Case("force_field", {"name": "escaip"}, batch=16, size=15),
    "protein_transformer": Case("flow_matching", {"name": "protein_transformer", "size": "170k"}, batch=4, size=64),
    "voxel_unet": Case("voxel_denoising", {"name": "voxel_unet"}, 4, 12, {"size": 16}),
}
TINY = {name: bench_train.CASES[f"tiny_{name}"] for name in ("molecules", "backbones", "voxels")}


def cases(setup: Setup) -> dict[str, Case]:
    """Models with their tasks."""
    return TINY if setup.tiny else CASES


@float32()
def train(setup: Setup) -> Found:
    """Losses of some updates, and the change of the weights after them, in float32."""
    values, limits = {}, {}
    for name, case in cases(setup).items():
        data = samples(case, 32)
        loops = [loop_of(case, data, device=REFERENCE, prefetch=0), _fed_by_cpu(case, data, setup.device)]
        before = _weights(loops[0])
        for loop in loops:
            for _ in range(UPDATES):
                loop.update()
        losses = np.array([loop.curve.loss for loop in loops])
        weights = [_weights(loop) - before for loop in loops]
        values[f"{name}: losses"] = float(np.abs(losses[1] / losses[0] - 1).max())
        values[f"{name}: weights"] = _apart(weights[1], weights[0])
        limits |= {f"{name}: losses": LOSSES, f"{name}: weights": WEIGHTS}
    return within(values, limits)


def _fed_by_cpu(case: Case, data, device: str) -> Loop:
    """A training on the device with batches of the CPU: noise that is drawn on a GPU is other noise."""
    loop = loop_of(case, data, device=device, prefetch=0)
    own, rows = loop.device, loop.rows

    def drawn(update: int) -> Rows:
        loop.device = REFERENCE
        try:
            return rows(update).to(own)
        finally:
            loop.device = own

    loop.loader.get = drawn
    return loop


def _weights(loop: Loop) -> torch.Tensor:
    return torch.cat([p.detach().double().cpu().flatten() for p in loop.model.parameters()])


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of a difference, relative."""
    found, expected = found.double().cpu(), expected.double().cpu()
    return float((found - expected).norm() / expected.norm())


Quantity = Callable[[torch.nn.Module, object, str, torch.dtype], list[torch.Tensor]]


@float32()
def compared(kind: str, quantity: Quantity, setup: Setup) -> Found:
    """A quantity on both devices in both dtypes, of networks after a few updates."""
    values, limits = {}, {}
    for name, case in cases(setup).items():
        loop = loop_of(case, samples(case, 32), device=REFERENCE, prefetch=0)
        for _ in range(2 if setup.tiny else UPDATES):
            loop.update()
        for dtype in (torch.float32, torch.float64):
            places = (REFERENCE, setup.device)
            both = [
                quantity(duplicate(loop.model).to(place, dtype).eval(), loop.task, place, dtype) for place in places
            ]
            word = f"{name}: {str(dtype).removeprefix('torch.')}"
            values[word] = max(_apart(b, a) for a, b in zip(*both, strict=True))
            limits[word] = LIMITS[kind, word.split()[-1]]
    return within(values, limits)


def losses(model: torch.nn.Module, task, device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Total loss and equivariance error of a few samples, summed over terms with their weights."""
    quaternion = sample_rotations("independent", FEW, ROTATIONS, 0, task.group)
    evaluation = Evaluation(model, task, device, dtype)
    products = twisting.with_weighted(task, twisting.inner_products(evaluation, np.arange(FEW), quaternion))
    parts = loss_split.split(products["gram"], products["cross"], products["square"])
    return [torch.from_numpy(part[-1]) for part in (parts.total, parts.equiv)]


def gradients(model: torch.nn.Module, task, device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Gradients of both parts of the loss."""
    objective = _objective(model, task)
    return list(objective.gradients(objective.parameters))


def products(model: torch.nn.Module, task, device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Products of a block of columns with the Hessians of both parts of the loss."""
    objective = _objective(model, task)
    block = rademacher(len(objective.parameters), PROBES, 0).to(objective.parameters)
    return [operator(objective, part)(block) for part in ("mean", "equiv")]


def _objective(model: torch.nn.Module, task) -> Objective:
    quaternion = sample_rotations("D2", FEW, ROTATIONS, 0, task.group)
    return Objective(model, task, task.batch(np.arange(FEW)), quaternion)


twirl = partial(compared, "twirl", losses)
gradient = partial(compared, "gradient", gradients)
hessian = partial(compared, "hessian", products)

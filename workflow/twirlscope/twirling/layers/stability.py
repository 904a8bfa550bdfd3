"""Stability to rotations relative to random displacements of the same norm.

    R_rot = mean SUM_a |L_a z|^2 / mean |Dz n|^2,

where Dz n is the derivative of the prediction along a displacement n of all inputs that rotate, normal in every
component, with |n|^2 = SUM_a |X_a x|^2 for each sample. Near 1, the network does not tell a rotation from noise; near
0, it has learned the symmetry rather than become insensitive to everything.

Source: Petrini, Favero, Geiger, Wyart, arXiv:2105.02468, for diffeomorphisms of images.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd import forward_ad

from ..._typing import Array, Float, Int, Tensor
from ...contracts import Batch, Evaluation, Task
from ...geometry import action
from ...losses import inner
from ..lie_derivative import GENERATORS
from .derivatives import tangent_of
from .design import gathered, rotated_batches


@torch.no_grad()
def noise_response(
    evaluation: Evaluation, index: Int[Array, " sample"], quaternion: Float[Tensor, "sample 4"], seed: int
) -> Float[Array, "term sample"]:
    """|Dz n|^2 of each sample per term, `weighted` last; the same displacements for the same seed."""
    task, found = evaluation.task, []
    generator = torch.Generator().manual_seed(seed)
    for places, batch, rotation in rotated_batches(evaluation, index, quaternion):
        noise = random_displacement(task, batch, rotation, generator)
        with forward_ad.dual_level():
            inputs = task.rotate(batch, rotation).inputs
            inputs = inputs | {name: forward_ad.make_dual(inputs[name], n) for name, n in noise.items()}
            response = evaluation.model(inputs)
            z = {t.name: tangent_of(action.twist(t.irreps, rotation, response[t.name])) for t in task.terms}
        squares = [inner(z[t.name], z[t.name], batch.weights[t.name]).cpu().numpy() for t in task.terms]
        found.append((places, np.stack(squares)))
    return gathered(task, index, found)


def random_displacement(
    task: Task, batch: Batch, rotation: Float[Tensor, "sample 3 3"], generator: torch.Generator
) -> dict[str, Tensor]:
    """Normal displacements of the inputs that rotate, per sample as long as all three rotations together."""
    length = torch.zeros(len(batch), dtype=rotation.dtype, device=rotation.device)
    shapes: dict[str, Tensor] = {}
    for basis in GENERATORS.to(rotation):
        with forward_ad.dual_level():
            inputs = task.rotate(batch, forward_ad.make_dual(rotation, basis @ rotation)).inputs
            for name, value in inputs.items():
                if value.is_floating_point() and forward_ad.unpack_dual(value).tangent is not None:
                    shapes[name] = tangent_of(value)
                    length = length + shapes[name].flatten(1).square().sum(1)
    noise = {n: torch.randn(t.shape, dtype=t.dtype, generator=generator).to(t.device) for n, t in shapes.items()}
    size = sum(n.flatten(1).square().sum(1) for n in noise.values())
    factor = (length / size).sqrt()
    return {name: n * factor.reshape(-1, *(1,) * (n.ndim - 1)) for name, n in noise.items()}

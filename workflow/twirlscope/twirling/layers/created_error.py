"""Share of the equivariance error that each layer creates.

A layer's features h_k would rotate with the generators A_k that fit them best. Let e_k be the derivative L_a z of the
twisted prediction where the features of the layers 1..k have the derivatives A h in place of their own, and let all
other inputs of the later layers, such as directions of edges, rotate as they do. Then e_0 = L_a z, and

    L_a z = SUM_k (e_{k-1} - e_k) + e_K.

The difference e_{k-1} - e_k is the error that layer k creates, carried to the prediction by the later layers; the
rest, e_K, is created after the last one. Products of these parts with L_a z, over |L_a z|^2, are shares of the
Lie-derivative error. They sum to 1 exactly, and can be negative: a layer may cancel the error of another.

The same with a finite rotation: the features at one orientation, rotated by the exponential of the generators, replace
those at another. The whole is z(g') - z(g), whose mean square is twice the equivariance error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.autograd import forward_ad

from ..._typing import Array, Float, Int, Mapping, Sequence, Tensor
from ...contracts import Batch, Evaluation, Task
from ...errors import UserError
from ...geometry import so3
from ...losses import inner
from ..lie_derivative import GENERATORS
from ..twisting import twisted
from .derivatives import by_axis, twisted_derivatives
from .design import gathered, rotated_batches
from .features import feature_hooks
from .generators import Generators

AFTER = "after"  # name of the part of the network after the last module


@dataclass(frozen=True)
class Created:
    """Parts of a squared change of the prediction, per term (`weighted` last) and sample.

    product: <part, whole>, by module, `AFTER` last.
    square: |part|^2, likewise.
    whole: |whole|^2.
    """

    product: Float[Array, "cut term sample"]
    square: Float[Array, "cut term sample"]
    whole: Float[Array, "term sample"]


class Rotations:
    """The fitted generators as maps of feature tensors."""

    def __init__(self, generators: Mapping[str, Generators], like: Tensor):
        self._mean = {n: torch.from_numpy(g.mean).to(like) for n, g in generators.items()}
        self._offset = {n: torch.from_numpy(g.offset).to(like) for n, g in generators.items()}
        self._matrix = {n: torch.from_numpy(g.matrix).to(like) for n, g in generators.items()}

    def derivatives(self, name: str, feature: Tensor) -> Tensor:
        """A_a (h - mean) + offset of the copies of a feature for the three axes."""
        copies = by_axis(name, feature).flatten(1, -2)
        found = (copies - self._mean[name]) @ self._matrix[name].mT + self._offset[name][:, None]
        return found.reshape(feature.shape)

    def rotated(self, vector: Float[Tensor, " 3"], name: str, feature: Tensor) -> Tensor:
        """The feature after the rotation about a vector by its length [rad]: the exponential of the affine map."""
        matrix, offset = (torch.tensordot(vector, t[name], 1) for t in (self._matrix, self._offset))
        affine = torch.nn.functional.pad(torch.cat([matrix, offset[:, None]], 1), (0, 0, 0, 1))
        power = torch.linalg.matrix_exp(affine)
        return (feature - self._mean[name]) @ power[:-1, :-1].mT + power[:-1, -1] + self._mean[name]


@torch.no_grad()
def created_by_derivative(
    evaluation: Evaluation,
    index: Int[Array, " sample"],
    quaternion: Float[Tensor, "sample 4"],
    modules: Sequence[str],
    generators: Mapping[str, Generators],
) -> Created:
    """Parts of SUM_a |L_a z|^2 of each sample in its orientation."""
    found = []
    for places, batch, rotation in rotated_batches(evaluation, index, quaternion):
        steps = _derivative_steps(evaluation, batch, rotation, modules, Rotations(generators, rotation))
        found.append((places, _parts(evaluation, batch, steps)))
    return _gathered(evaluation.task, index, found)


def _derivative_steps(
    evaluation: Evaluation,
    batch: Batch,
    rotation: Float[Tensor, "sample 3 3"],
    modules: Sequence[str],
    rotations: Rotations,
) -> Iterator[dict[str, Tensor]]:
    """e_0, e_1, ..., e_K by term, `[axis, sample, ...]`."""
    for count in range(len(modules) + 1):
        replaced = modules[:count]

        def seen(name: str, feature: Tensor) -> Tensor:
            primal = forward_ad.unpack_dual(feature).primal
            return forward_ad.make_dual(primal, rotations.derivatives(name, primal))

        yield twisted_derivatives(evaluation.model, evaluation.task, batch, rotation, replaced, seen)


@torch.no_grad()
def created_by_patching(
    evaluation: Evaluation,
    index: Int[Array, " sample"],
    quaternion: Float[Tensor, "sample 4"],
    modules: Sequence[str],
    generators: Mapping[str, Generators],
    vectors: Float[Tensor, "batch 3"],
) -> Created:
    """Parts of |z(g') - z(g)|^2 of each sample, g' a further rotation after g.

    Args:
        vectors: axes of the further rotations, by the angle long [rad]; one for the samples of a batch, in turn.

    Raises:
        UserError: features of another shape in another orientation.
    """
    found = []
    for number, (places, batch, rotation) in enumerate(rotated_batches(evaluation, index, quaternion)):
        vector = vectors[number % len(vectors)].to(rotation)
        steps = _patched_steps(evaluation, batch, rotation, modules, Rotations(generators, rotation), vector)
        found.append((places, _parts(evaluation, batch, steps)))
    return _gathered(evaluation.task, index, found)


def _patched_steps(
    evaluation: Evaluation,
    batch: Batch,
    rotation: Float[Tensor, "sample 3 3"],
    modules: Sequence[str],
    rotations: Rotations,
    vector: Float[Tensor, " 3"],
) -> Iterator[dict[str, Tensor]]:
    """z(g') - z(g) by term, `[1, sample, ...]`, with the features of none, the first, ... and all modules patched."""
    model, task, kept = evaluation.model, evaluation.task, {}
    with feature_hooks(model, modules, lambda name, x: kept.update({name: rotations.rotated(vector, name, x)})):
        before = twisted(model, task, batch, rotation)
    turned = torch.linalg.matrix_exp(torch.tensordot(vector, GENERATORS.to(rotation), 1)) @ rotation

    def seen(name: str, feature: Tensor) -> Tensor:
        if feature.shape != kept[name].shape:
            got = f"{tuple(kept[name].shape)} and {tuple(feature.shape)}"
            raise UserError(f"layers, feature {name}", "the same shape in every orientation", got)
        return kept[name]

    for count in range(len(modules) + 1):
        with feature_hooks(model, modules[:count], seen):
            after = twisted(model, task, batch, turned)
        yield {name: (after[name] - before[name])[None] for name in after}


def _parts(evaluation: Evaluation, batch: Batch, steps: Iterator[dict[str, Tensor]]) -> Created:
    """Products and squares of the differences between steps; of a batch without padding."""
    whole, *rest = list(steps)
    before, product, square = whole, [], []
    for after in [*rest, {name: torch.zeros_like(t) for name, t in whole.items()}]:
        part = {name: before[name] - after[name] for name in before}
        product.append(_products(evaluation, batch, part, whole))
        square.append(_products(evaluation, batch, part, part))
        before = after
    return Created(np.stack(product), np.stack(square), _products(evaluation, batch, whole, whole))


def _products(
    evaluation: Evaluation, batch: Batch, first: dict[str, Tensor], second: dict[str, Tensor]
) -> Float[Array, "term sample"]:
    """Inner products summed over axes, by term."""
    names = [t.name for t in evaluation.task.terms]
    found = [[inner(a, b, batch.weights[n]) for a, b in zip(first[n], second[n], strict=True)] for n in names]
    return np.stack([sum(products).cpu().numpy() for products in found])


def _gathered(task: Task, index: Int[Array, " sample"], found: Sequence[tuple[Array, Created]]) -> Created:
    """The samples of all batches."""
    names = ("product", "square", "whole")
    return Created(*(gathered(task, index, [(places, getattr(c, n)) for places, c in found]) for n in names))


def further_rotations(count: int, seed: int) -> Float[Tensor, "batch 3"]:
    """Uniform random rotations as vectors along their axes, by the angle long [rad]."""
    quaternion = so3.haar(count, generator=torch.Generator().manual_seed(seed))
    quaternion = quaternion * quaternion[:, :1].sign()
    axis = quaternion[:, 1:] / quaternion[:, 1:].norm(dim=-1, keepdim=True)
    return axis * so3.angle(quaternion)[:, None]


def cuts_of(modules: Sequence[str]) -> list[str]:
    """Names of the parts: the modules, then `AFTER`."""
    return [*modules, AFTER]

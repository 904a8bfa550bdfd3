"""Derivatives of features and of twisted predictions under rotations of the inputs, by forward mode."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd import forward_ad

from ..._typing import Array, Callable, Float, Mapping, Sequence, Tensor
from ...contracts import Batch, Evaluation, Task
from ...errors import UserError
from ..lie_derivative import GENERATORS
from ..twisting import twisted
from .attention import attention_modules, input_hooks
from .design import Design, rotated_batches
from .features import feature_hooks
from .generators import AXES, added_rows

Factors = dict[str, Float[Array, "row column"]]  # by feature, see `generators.added_rows`


def twisted_derivatives(
    model: torch.nn.Module,
    task: Task,
    batch: Batch,
    rotation: Float[Tensor, "sample 3 3"],
    modules: Sequence[str],
    seen: Callable[[str, Tensor], Tensor | None],
    inputs: bool = False,
) -> dict[str, Tensor]:
    """L_a z by term, `[axis, sample, ...]`, from one forward pass of three copies of the batch, one per axis.

    `seen(name, feature)` sees every feature as a dual tensor, the copies one after another, and may replace it.

    Args:
        inputs: whether it also sees the inputs of queries and keys, see `attention.input_name`.
    """
    attending, copies = attention_modules(model) if inputs else (), batch.map(lambda t: torch.cat([t] * AXES))
    tangent = (GENERATORS.to(rotation)[:, None] @ rotation).flatten(0, 1)
    hooks = input_hooks(model, attending, seen), feature_hooks(model, modules, seen)
    with forward_ad.dual_level(), hooks[0], hooks[1]:
        z = twisted(model, task, copies, forward_ad.make_dual(rotation.repeat(AXES, 1, 1), tangent))
        return {name: tangent_of(value).unflatten(0, (AXES, -1)) for name, value in z.items()}


def tangent_of(value: Tensor) -> Tensor:
    """The derivative that a dual tensor carries; zeros for a tensor that does not depend on the variable."""
    primal, tangent = forward_ad.unpack_dual(value)
    return torch.zeros_like(primal) if tangent is None else tangent


def rows_of(feature: Tensor) -> Float[Array, "row d"]:
    """Components of a feature on its last axis, all other axes as rows."""
    return feature.detach().reshape(-1, feature.shape[-1]).cpu().numpy()


def by_axis(name: str, feature: Tensor) -> Tensor:
    """The three copies of a feature on an axis of their own.

    Raises:
        UserError: rows that are not in the order of the samples, so that the copies are not equal.
    """
    copies = feature.unflatten(0, (AXES, -1)) if len(feature) % AXES == 0 else None
    if copies is None or not torch.allclose(copies[0], copies[-1], equal_nan=True):
        raise UserError(f"layers, feature {name}", "rows in the order of the samples", tuple(feature.shape))
    return copies


def feature_factors(evaluation: Evaluation, design: Design, modules: Sequence[str]) -> tuple[Factors, Factors]:
    """Triangular factors of features and their derivatives, by feature: of the fitted half and of the other half.

    Raises:
        UserError: a module that returns no features, or a half with fewer rows than a feature has components.
    """
    return tuple(_factors(evaluation, design, part, modules) for part in (design.fitted, ~design.fitted))


def _factors(evaluation: Evaluation, design: Design, part: Array, modules: Sequence[str]) -> Factors:
    count, found = design.quaternion.shape[1], {}
    index = np.repeat(design.index[part], count)
    quaternion = design.quaternion[torch.from_numpy(part)].flatten(0, 1)
    for _, batch, rotation in rotated_batches(evaluation, index, quaternion):
        for name, (features, derivatives) in _rows(evaluation, batch, rotation, modules).items():
            found[name] = added_rows(found.get(name), features, derivatives)
    silent = [m for m in modules if not any(name == m or name.startswith(f"{m}.") for name in found)]
    if silent:
        expected = "modules that a forward pass calls, and that return tensors of features"
        raise UserError("layers.modules", expected, silent)
    for name, factor in found.items():
        rows, components = round(factor[0, 0] ** 2), (factor.shape[1] - 1) // 4
        if rows <= components:
            expected = f"more rows in a half than the {components} components of {name}: raise samples or rotations"
            raise UserError("layers.samples", expected, f"{rows} rows")
    return found


def _rows(
    evaluation: Evaluation, batch: Batch, rotation: Float[Tensor, "sample 3 3"], modules: Sequence[str]
) -> Mapping[str, tuple[Array, Array]]:
    """Features and their three derivatives as rows, by name, of one batch."""
    features: dict[str, list[Array]] = {}
    derivatives: dict[str, list[Array]] = {}

    def seen(name: str, feature: Tensor) -> None:
        copies = by_axis(name, forward_ad.unpack_dual(feature).primal)
        moved = tangent_of(feature).unflatten(0, copies.shape[:2])
        features.setdefault(name, []).append(rows_of(copies[0]))
        derivatives.setdefault(name, []).append(np.stack([rows_of(each) for each in moved]))

    twisted_derivatives(evaluation.model, evaluation.task, batch, rotation, modules, seen, inputs=True)
    return {name: (np.concatenate(features[name]), np.concatenate(derivatives[name], 1)) for name in features}

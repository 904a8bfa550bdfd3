"""Derivatives of features and of twisted predictions under rotations of the inputs, by forward mode."""

from __future__ import annotations

from collections.abc import Iterator

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
from .generators import added_rows

Factors = dict[str, Float[Array, "row column"]]  # by feature, see `generators.added_rows`


def twisted_derivatives(
    model: torch.nn.Module,
    task: Task,
    batch: Batch,
    rotation: Float[Tensor, "sample 3 3"],
    modules: Sequence[str],
    seen: Callable[[int, str, Tensor], Tensor | None],
    inputs: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """L_a z by term for a = x, y, z; `seen(a, name, feature)` sees every feature as a dual tensor and may replace it.

    Args:
        inputs: whether it also sees the inputs of queries and keys, see `attention.input_name`.
    """
    attending = attention_modules(model) if inputs else ()
    for a, generator in enumerate(GENERATORS.to(rotation)):
        hooks = input_hooks(model, attending, lambda name, x, a=a: seen(a, name, x))
        with forward_ad.dual_level(), hooks, feature_hooks(model, modules, lambda name, x, a=a: seen(a, name, x)):
            z = twisted(model, task, batch, forward_ad.make_dual(rotation, generator @ rotation))
            found = {name: tangent_of(value) for name, value in z.items()}
        yield found


def tangent_of(value: Tensor) -> Tensor:
    """The derivative that a dual tensor carries; zeros for a tensor that does not depend on the variable."""
    primal, tangent = forward_ad.unpack_dual(value)
    return torch.zeros_like(primal) if tangent is None else tangent


def rows_of(feature: Tensor) -> Float[Array, "row d"]:
    """Components of a feature on its last axis, all other axes as rows."""
    return feature.detach().reshape(-1, feature.shape[-1]).cpu().numpy()


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
    derivatives: dict[str, list[list[Array]]] = {}

    def seen(a: int, name: str, feature: Tensor) -> None:
        derivatives.setdefault(name, [[], [], []])[a].append(rows_of(tangent_of(feature)))
        if a == 0:
            features.setdefault(name, []).append(rows_of(forward_ad.unpack_dual(feature).primal))

    for _ in twisted_derivatives(evaluation.model, evaluation.task, batch, rotation, modules, seen, inputs=True):
        pass
    joined = {name: np.stack([np.concatenate(axis) for axis in parts]) for name, parts in derivatives.items()}
    return {name: (np.concatenate(features[name]), each) for name, each in joined.items()}

"""Lie-derivative error (LEE) of any model on any task: rate of change of twisted predictions with orientation.

L_a z is the derivative of z(exp(t a) g) at t = 0 for the generators a of rotations about x, y and z, and

    LEE = mean over orientations of SUM_a |L_a z|^2 / d = SUM_l l (l + 1) q_l          (the Casimir of so(3)).

So LEE weighs the spectrum q_l of the equivariance error by degree, and L_equiv <= LEE / 2. The effective degree of the
error is the l with l (l + 1) = LEE / L_equiv. One rotation per sample already gives an unbiased estimate.

Source: Gruver, Finzi, Goldblum, Wilson, arXiv:2210.02984; here averaged over orientations, not taken at one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.autograd import forward_ad

from .._typing import Array, Callable, Float, Int, Tensor
from ..contracts import Batch, Evaluation, Task
from ..errors import UserError
from ..geometry import so3
from ..losses import has_target, inner
from ..runtime.precision import differentiable, duplicate
from .twisting import over_known, twisted

TOLERANCE = 1e-5  # relative; right derivatives reach 1e-7 to 1e-11, wrong ones are off by percents or more
FLOOR = 1e-3  # errors are relative to the derivatives, or to this share of the prediction if that is larger
STEPS = (1e-5, 1e-6, 1e-4)  # angles [rad] of the differences, tried in turn: the best one depends on the model
CHECKED = 4  # samples on which the derivatives are checked
METHODS = ("forward", "difference")
GENERATORS = torch.tensor(  # of rotations about x, y, z, scaled so that the Casimir is l (l + 1)
    [[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]],
    dtype=torch.float64,
)

Derivative = Callable[..., Iterator[dict[str, Tensor]]]


@dataclass(frozen=True)
class LieError:
    """Lie-derivative error, with the method of differentiation and its error.

    values: by term and for the `weighted` sum: per sample the mean over its rotations, per component.
    method: `forward` (forward-mode derivatives) or `difference` (central differences in float64).
    error: relative error of forward-mode derivatives against central differences; None for method `difference`.
    """

    values: dict[str, Float[Array, " sample"]]
    method: str
    error: float | None


def lie_error(
    evaluation: Evaluation,
    index: Int[Array, " sample"],
    quaternion: Float[Tensor, "sample rotation 4"],
    method: str | None = None,
) -> LieError:
    """Lie-derivative error of the model on these samples, each in its own orientations.

    Forward-mode derivatives are first checked against central differences in float64 on the first samples: they are
    silently wrong behind some scripted modules, behind `detach`, and in custom functions. A model without forward-mode
    derivatives is measured by central differences in float64.

    Args:
        index: samples of the task.
        quaternion: orientations of each sample.
        method: one of `METHODS`; None takes forward mode if the model supports it.

    Raises:
        UserError: forward-mode derivatives are wrong, the model does not compute in float64, or the method is unknown.
    """
    if method not in (None, *METHODS):
        raise UserError("method", "a way to differentiate", repr(method), METHODS)
    with differentiable(), torch.no_grad():
        exact, error = in_float64(evaluation), None
        batch, rotation = exact.batch(index[:CHECKED]), so3.matrix(quaternion[:CHECKED, 0]).to(exact.device)
        size = _length([_float64_predictions(exact, batch, rotation)], batch)
        if method != "difference":
            error = _forward_error(evaluation, exact, batch, rotation, size)
        if error is None and method == "forward":
            raise UserError(
                f"model {_name(evaluation.model)}", "a model that supports forward-mode derivatives", "one without"
            )
        if error is None:
            return LieError(_mean_squares(central_differences, exact, index, quaternion), "difference", None)
        return LieError(_mean_squares(forward_mode, evaluation, index, quaternion), "forward", error)


def forward_mode(
    model: Callable, task: Task, batch: Batch, rotation: Float[Tensor, "sample 3 3"]
) -> Iterator[dict[str, Tensor]]:
    """L_a z by term for a = x, y, z, by forward-mode derivatives with respect to the rotation matrix alone."""
    for generator in GENERATORS.to(rotation):
        with forward_ad.dual_level():
            z = twisted(model, task, batch, forward_ad.make_dual(rotation, generator @ rotation))
            pairs = {k: forward_ad.unpack_dual(v) for k, v in z.items()}
        yield {k: torch.zeros_like(p.primal) if p.tangent is None else p.tangent for k, p in pairs.items()}


def central_differences(
    model: Callable, task: Task, batch: Batch, rotation: Float[Tensor, "sample 3 3"], step: float = STEPS[0]
) -> Iterator[dict[str, Tensor]]:
    """L_a z by term for a = x, y, z, by central differences; in float64 accurate to about 1e-9.

    Args:
        step: angle of rotation to either side [rad].
    """
    for generator in GENERATORS.to(rotation):
        turned = (torch.linalg.matrix_exp(t * generator) @ rotation for t in (step, -step))
        after, before = (twisted(model, task, batch, R) for R in turned)
        yield {k: (after[k] - before[k]) / (2 * step) for k in after}


def in_float64(evaluation: Evaluation) -> Evaluation:
    """The evaluation in float64, with a copy of the model; a plain function takes the dtype from its inputs."""
    model = evaluation.model
    exact = duplicate(model).double() if isinstance(model, torch.nn.Module) else model
    return replace(evaluation, model=exact, dtype=torch.float64)


def _mean_squares(
    derivative: Derivative,
    evaluation: Evaluation,
    index: Int[Array, " sample"],
    quaternion: Float[Tensor, "sample rotation 4"],
) -> dict[str, Float[Array, " sample"]]:
    """Mean over rotations of SUM_a |L_a z|^2 per sample, for every term and `weighted`.

    As in `twisting.with_weighted`, the mean of a term over all samples is that over the samples with a target.
    """
    task, K, found, known = evaluation.task, quaternion.shape[1], [], []
    for rows in np.array_split(np.arange(len(index) * K), max(1, -(-len(index) * K // evaluation.chunk))):
        samples, copies = np.unique(rows // K, return_inverse=True)
        copies = torch.from_numpy(copies).to(evaluation.device)
        batch = evaluation.batch(index[samples]).map(lambda t, copies=copies: t[copies])
        rotation = so3.matrix(quaternion.reshape(-1, 4)[rows]).to(evaluation.device, evaluation.dtype)
        squares = [_squares(L, batch) for L in derivative(evaluation.model, task, batch, rotation)]
        found.append({t.name: sum(s[t.name] for s in squares).cpu().numpy() for t in task.terms})
        known.append(np.stack([has_target(batch)[t.name].cpu().numpy() for t in task.terms]))
    values = {t.name: np.concatenate([f[t.name] for f in found]).reshape(-1, K).mean(1) for t in task.terms}
    factor = over_known(np.concatenate(known, 1))
    values = {name: each * factor[i] for i, (name, each) in enumerate(values.items())}
    return values | {"weighted": sum(t.weight * values[t.name] for t in task.terms)}


def _squares(tensors: dict[str, Tensor], batch: Batch) -> dict[str, Float[Tensor, " sample"]]:
    """|.|^2 per component of each row by term, summed in float64.

    Padding is left out, even if it is NaN: derivatives are often not finite there (the length of a zero vector).
    """
    found = {}
    for name, tensor in tensors.items():
        weights = batch.weights[name].double()
        clean = tensor.double().masked_fill(weights[..., None] == 0, 0.0)
        found[name] = inner(clean, clean, weights)
    return found


def _float64_predictions(exact: Evaluation, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> dict[str, Tensor]:
    """Twisted predictions in float64; computed first, so that a failing model is not taken for one without derivatives.

    Raises:
        UserError: the model does not compute in float64.
    """
    where, expected = f"Lie derivative, model {_name(exact.model)}", "a model that computes in float64 as well"
    try:
        z = twisted(exact.model, exact.task, batch, rotation)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise UserError(where, expected, f"{type(error).__name__}: {error}") from error
    narrow = [f"{v.dtype} in {k}" for k, v in z.items() if v.dtype != torch.float64]
    if narrow:
        raise UserError(where, expected, f"predictions of {', '.join(narrow)} from inputs in float64")
    return z


def _forward_error(
    evaluation: Evaluation,
    exact: Evaluation,
    batch: Batch,
    rotation: Float[Tensor, "sample 3 3"],
    size: dict[str, float],
) -> float | None:
    """Relative error of forward-mode derivatives in float64, the largest of all terms; None if the model has none.

    Raises:
        UserError: the error is above the tolerance.
    """
    task = evaluation.task
    try:
        found = list(forward_mode(exact.model, task, batch, rotation))
        working = batch.to(evaluation.device, evaluation.dtype)  # another precision may use other kernels
        next(forward_mode(evaluation.model, task, working, rotation.to(evaluation.dtype)))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # NotImplementedError among them
        return None
    best = dict.fromkeys(size, torch.inf)
    for step in STEPS:
        reference = list(central_differences(exact.model, task, batch, rotation, step))
        distance = _length([{k: a[k] - b[k] for k in a} for a, b in zip(found, reference, strict=True)], batch)
        length = _length(reference, batch)
        for k in best:
            scale = max(length[k], FLOOR * size[k])
            best[k] = min(best[k], distance[k] / scale if scale else distance[k])
        if all(e <= 0.1 * TOLERANCE for e in best.values()):
            break
    if not all(e <= TOLERANCE for e in best.values()):
        raise _wrong_derivatives(exact.model, best)
    return max(best.values())


def _length(tensors: list[dict[str, Tensor]], batch: Batch) -> dict[str, float]:
    """Joint length of all these tensors, by term."""
    squares = [_squares(t, batch) for t in tensors]
    return {k: sum(s[k].sum() for s in squares).sqrt().item() for k in squares[0]}


def _name(model: Callable) -> str:
    return type(model).__name__ if isinstance(model, torch.nn.Module) else getattr(model, "__name__", repr(model))


def _wrong_derivatives(model: Callable, error: dict[str, float]) -> UserError:
    """Error that names the terms and what may break their derivatives."""
    modules = model.named_modules() if isinstance(model, torch.nn.Module) else ()
    scripted = [n or "the model itself" for n, m in modules if isinstance(m, torch.jit.ScriptModule)]
    causes = f"scripted modules {', '.join(scripted[:8])}" if scripted else "`detach`, custom functions, kinks"
    numbers = ", ".join(f"{e:.1e} in {k}" for k, e in error.items())
    return UserError(
        f"Lie derivative, model {_name(model)}",
        f"forward-mode derivatives within {TOLERANCE:.0e} of central differences in float64",
        f'relative errors {numbers}; possible causes: {causes}; remove them, or use method="difference"',
    )

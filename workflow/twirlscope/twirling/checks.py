"""Checks before a measurement, for mistakes of a model or a task that would silently give wrong numbers.

They cost two forward passes of a few samples and one pass of a single sample.
"""

from __future__ import annotations

import copy

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from .._typing import Callable, Float, Tensor
from ..contracts import Batch, Task, Term
from ..errors import UserError
from ..geometry import action

ORTHOGONAL = 1e-5  # largest entry of R R^T - 1
SAME = 1e-4  # relative to the largest prediction; the order of sums makes less, dropout far more
TRAINING_DEPENDENT = (_DropoutNd, _BatchNorm)  # modules whose output differs in training mode


@torch.no_grad()
def check_model_and_task(model: Callable, task: Task, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> None:
    """Refuses a model, a task or rotations with which a measurement would be wrong.

    The checks leave the model unchanged. A model in training mode is copied first, and random states are restored.

    Args:
        model: maps inputs to predictions, as `contracts.Model` does.
        batch: a few samples, on the device and in the dtype of the model; two or more, to find every mistake.
        rotation: one per sample.

    Raises:
        UserError: matrices that are not rotations; irreps that do not fit; a prediction that is missing, not finite or
            not of the shape of its target; a model that is random or mixes the samples of a batch.
    """
    check_rotations(rotation)
    check_irreps(task, batch)
    if modules_in_training_mode(model, torch.nn.Module):
        model = copy.deepcopy(model)  # a pass in training mode updates running means
    devices = [rotation.device] if rotation.is_cuda else []
    with torch.random.fork_rng(devices):
        turned = task.rotate(batch, rotation)
        first = model(turned.inputs)
        check_shapes(model, task, first, batch)
        check_finite(model, task, first, batch)
        check_deterministic(model, task, first, model(turned.inputs), batch)
        if len(batch) > 1:
            check_samples_independent(model, task, first, turned)


def check_rotations(matrix: Float[Tensor, "sample 3 3"]) -> None:
    """Refuses matrices that are not finite or not orthogonal; rotations and reflections (det +1 and -1) both pass.

    Raises:
        UserError: it names the first such matrix and its distance from orthogonality.
    """
    unit = torch.eye(3, dtype=torch.float64, device=matrix.device)
    off = (matrix.double() @ matrix.double().mT - unit).abs().amax((-1, -2))
    wrong = (~(off <= ORTHOGONAL)).nonzero()[:, 0]  # NaN is wrong, too
    if len(wrong):
        n = wrong[0].item()
        what = f"off by {off[n]:.1e}" if off[n].isfinite() else "with entries that are not finite"
        raise UserError(
            "rotations",
            f"finite orthogonal matrices, R R^T = 1 to {ORTHOGONAL:.0e}",
            f"{len(wrong)} of {len(matrix)} that are not, the first is number {n}, {what}; "
            "make them from unit quaternions with so3.matrix",
        )


def check_irreps(task: Task, batch: Batch) -> None:
    """Refuses irreps that do not parse or do not fit the last axis of their tensor, and unknown names of inputs.

    Raises:
        UserError: it names the term or input, its irreps, their dimension and the shape of the tensor.
    """
    inputs = getattr(task, "irreps_in", {})
    missing = next((name for name in inputs if name not in batch.inputs), None)
    if missing is not None:
        raise UserError(f"task {type(task).__name__}, irreps_in", "the name of an input", repr(missing), batch.inputs)
    targets = [(f"term {t.name}", "a target", t.irreps, batch.targets[t.name]) for t in task.terms]
    for where, what, string, tensor in targets + [
        (f"input {n}", "an input", s, batch.inputs[n]) for n, s in inputs.items()
    ]:
        size, string = dimension(string, f"task {type(task).__name__}, {where}"), action.field_and_irreps(string)[1]
        if string != "0e" and tensor.shape[-1] != size:  # scalars fit any last axis: features, or samples
            raise UserError(
                f"task {type(task).__name__}, {where}",
                f"{what} whose last axis has the dimension {size} of its irreps {string!r}",
                f"shape {list(tensor.shape)}; mend the irreps, or order the components along the last axis",
            )


def dimension(string: str, where: str) -> int:
    """Dimension of irreps given as an e3nn string; for a field, the dimension of its value at a voxel.

    Raises:
        UserError: the string does not parse.
    """
    string = action.field_and_irreps(string)[1]
    if string == "0e":
        return 1
    try:
        return action.representation(string, torch.eye(3)[None]).shape[-1]
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(where, "irreps such as '0e', '1o' or '0e+2e'", repr(string)) from error


def check_shapes(model: Callable, task: Task, prediction: object, batch: Batch) -> None:
    """Refuses a prediction that lacks a term or differs in shape from its target; broadcasting would hide this.

    Raises:
        UserError: it names the term, its irreps, the expected shape and the shape found.
    """
    if not isinstance(prediction, dict):
        raise UserError(_model(model), "a prediction that is a dict of tensors by term", type(prediction).__name__)
    for term in task.terms:
        if term.name not in prediction:
            found = ", ".join(map(str, prediction)) or "nothing"
            raise UserError(_model(model), f"a prediction with the term {term.name!r} ({term.irreps})", found)
        found, shape = prediction[term.name], list(batch.targets[term.name].shape)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            got = found.dtype if isinstance(found, Tensor) else type(found).__name__
            raise UserError(_where(model, term), "a tensor of real floating-point numbers", got)
        if list(found.shape) != shape:
            raise UserError(
                _where(model, term),
                f"shape {shape} of the target, the components of {term.irreps} on the last axis",
                f"shape {list(found.shape)}; reshape the output of the model",
            )


def check_finite(model: Callable, task: Task, prediction: dict[str, Tensor], batch: Batch) -> None:
    """Refuses predictions with NaN or infinity, also on padding, since a weight of 0 times NaN is NaN.

    Raises:
        UserError: it names the term, the number of such samples and the first of them.
    """
    for term in task.terms:
        bad = ~prediction[term.name].isfinite()
        rows = bad.flatten(1).any(1).nonzero()[:, 0]
        if len(rows):
            real = batch.weights[term.name] > 0
            remedy = "has the training diverged, or is the dtype too narrow?"
            if not (bad.any(-1) & real).any():
                remedy = "on padding only: fill it with 0"
            raise UserError(
                _where(model, term),
                "finite numbers",
                f"NaN or infinity in {len(rows)} of {len(bad)} samples, the first is number {rows[0].item()} of the "
                f"batch; {remedy}",
            )


def check_deterministic(
    model: Callable, task: Task, first: dict[str, Tensor], second: dict[str, Tensor], batch: Batch
) -> None:
    """Refuses a model whose predictions differ between two calls; its noise would count as equivariance error.

    Raises:
        UserError: it names the term, the difference and the modules in training mode that may cause it.
    """
    for term in task.terms:
        off = relative_difference(first[term.name], second[term.name], batch.weights[term.name])
        if not off <= SAME:
            raise UserError(
                _where(model, term),
                "the same prediction for the same batch",
                f"predictions {off:.1e} apart (relative to the largest); {_advice(model, _DropoutNd)}",
            )


def check_samples_independent(model: Callable, task: Task, first: dict[str, Tensor], turned: Batch) -> None:
    """Refuses a model whose prediction for a sample depends on the other samples of the batch.

    Raises:
        UserError: it names the term, the difference and the modules in training mode that may cause it.
    """
    alone = turned.map(lambda t: t[:1])
    expected = "the same prediction for a sample alone as in a batch"
    try:
        single = model(alone.inputs)
    except (ValueError, RuntimeError) as error:
        got = f"{type(error).__name__} for a sample alone ({error}); {_advice(model, _BatchNorm)}"
        raise UserError(_model(model), expected, got) from error
    check_shapes(model, task, single, alone)
    for term in task.terms:
        largest = first[term.name].abs().max()
        off = relative_difference(first[term.name][:1], single[term.name], alone.weights[term.name], largest)
        if not off <= SAME:
            got = f"predictions {off:.1e} apart (relative to the largest); {_advice(model, _BatchNorm)}"
            raise UserError(_where(model, term), expected, got)


def relative_difference(first: Tensor, second: Tensor, weights: Tensor, largest: Tensor | None = None) -> float:
    """Largest difference of two predictions outside the padding, over the largest prediction; 0 if both are 0."""
    difference = (first - second).abs().masked_fill(weights[..., None] == 0, 0.0).max()
    largest = first.abs().max() if largest is None else largest
    return (difference / largest.clamp_min(torch.finfo(first.dtype).tiny)).item()


def modules_in_training_mode(model: Callable, kinds: type | tuple[type, ...] = TRAINING_DEPENDENT) -> list[str]:
    """Modules of these classes that are in training mode, as `name (class)`."""
    modules = model.named_modules() if isinstance(model, torch.nn.Module) else ()
    return [
        f"{n or 'the model itself'} ({type(m).__name__})" for n, m in modules if isinstance(m, kinds) and m.training
    ]


def _advice(model: Callable, likely: type) -> str:
    """Advice for a model whose predictions change: the modules that may cause it, or what to look for."""
    found = modules_in_training_mode(model, likely) or modules_in_training_mode(model)
    if found:
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        return f"in training mode: {', '.join(found[:4])}{more}; call model.eval() first"
    look = "functional dropout or sampling" if likely is _DropoutNd else "sums over the batch or unmasked padding"
    return f"no dropout or batch norm is in training mode: look for {look}"


def _model(model: Callable) -> str:
    return f"model {type(model).__name__ if isinstance(model, torch.nn.Module) else getattr(model, '__name__', model)}"


def _where(model: Callable, term: Term) -> str:
    return f"{_model(model)}, term {term.name}"

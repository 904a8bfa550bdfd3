"""Checks before a measurement, for mistakes of a model or a task that would silently give wrong numbers.

They cost a few passes of a few samples and one pass of a full batch.
"""

from __future__ import annotations

import torch

from ..._typing import Array, Callable, Float, Int, Irreps, Tensor
from ...contracts import Batch, Evaluation, Task
from ...errors import UserError
from ...geometry import action, so3
from ...runtime.precision import duplicate
from .independence import check_deterministic, check_padding_ignored, check_samples_independent
from .wording import model_name, modules_in_training_mode, term_of

CHECKED = 4  # samples on which model, task and gradients are checked
ORTHOGONAL = 1e-5  # largest entry of R R^T - 1
WHOLE = 1e-3  # excess over 1 of the sum of the weights of a sample that rounding explains


def check_evaluation(
    evaluation: Evaluation,
    index: Int[Array, " sample"],
    quaternion: Float[Tensor, "sample rotation 4"],
    rows: int = 0,
) -> None:
    """Refuses a model or task whose measurements would be wrong, after a few passes of the first few of the samples.

    Raises:
        UserError: see `check_model_and_task`.
    """
    index, rotation = index[:CHECKED], so3.matrix(quaternion[:CHECKED, 0]).to(evaluation.device, evaluation.dtype)
    check_model_and_task(evaluation.model, evaluation.task, evaluation.batch(index), rotation, index, rows)


@torch.no_grad()
def check_model_and_task(
    model: Callable,
    task: Task,
    batch: Batch,
    rotation: Float[Tensor, "sample 3 3"],
    index: Int[Array, " sample"] | None = None,
    rows: int = 0,
) -> None:
    """Refuses a model, a task, samples or rotations with which a measurement would be wrong.

    The checks leave the model unchanged. A model in training mode is copied first, and random states are restored.

    Args:
        model: maps inputs to predictions, as `contracts.Model` does.
        batch: a few samples, on the device and in the dtype of the model; two or more, to find every mistake.
        rotation: one per sample.
        index: the samples of the batch in the task, to compare them with and without padding; None leaves this out.
        rows: samples in one forward pass of the measurement, to compare batches of different sizes.

    Raises:
        UserError: matrices that are not rotations; irreps, targets or weights that do not fit; a model that changes
            its inputs; a prediction that is missing, not finite or not of the shape of its target; a model that is
            random, or whose predictions depend on the rest of the batch or on padding.
    """
    check_rotations(rotation)
    check_irreps(task, batch)
    check_batch(task, batch)
    if modules_in_training_mode(model):
        model = duplicate(model)  # a pass in training mode updates running means
    devices = [rotation.device] if rotation.is_cuda else []
    with torch.random.fork_rng(devices):
        turned = task.rotate(batch, rotation)
        first = checked_pass(model, turned.inputs)
        check_shapes(model, task, first, batch)
        check_finite(model, task, first, batch)
        check_deterministic(model, task, first, model(turned.inputs), batch)
        check_samples_independent(model, task, first, turned, rows)
        if index is not None:
            check_padding_ignored(model, task, first, batch, index, rotation)


def checked_pass(model: Callable, inputs: dict[str, Tensor]) -> object:
    """The prediction of a model; its inputs must be as they were afterwards, since they are used again.

    Raises:
        UserError: the model removes, replaces or overwrites an input, or cannot take derivatives where torch records
            none.
    """
    given, before = dict(inputs), {k: v.detach().clone() for k, v in inputs.items()}
    try:
        prediction = model(given)
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        got = f"one that takes derivatives outside of it ({error}); put them into `with torch.enable_grad():`"
        raise UserError(model_name(model), "a model that also predicts within torch.no_grad", got) from error
    changed = [f"removes {k!r}" for k in inputs if k not in given]
    changed += [f"adds {k!r}" for k in given if k not in inputs]
    changed += [f"replaces {k!r}" for k in inputs if k in given and given[k] is not inputs[k]]
    changed += [f"overwrites {k!r} in place" for k, v in before.items() if not _equal(v, inputs[k])]
    if changed:
        got = f"one that {', '.join(changed)}; begin forward with `inputs = dict(inputs)`, and change copies"
        raise UserError(model_name(model), "a model that leaves its inputs as they are", got)
    return prediction


def _equal(one: Tensor, other: Tensor) -> bool:
    """True for equal tensors; NaN equals NaN."""
    if torch.equal(one, other):
        return True
    return one.is_floating_point() and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def check_batch(task: Task, batch: Batch) -> None:
    """Refuses weights that are no shares of a sample, and targets that are not finite.

    Raises:
        UserError: it names the term, the number of such samples and the first of them.
    """
    for term in task.terms:
        weights, target = batch.weights[term.name], batch.targets[term.name]
        where = f"task {type(task).__name__}, weights of {term.name}"
        if list(weights.shape) != list(target.shape[:-1]):
            expected = f"shape {list(target.shape[:-1])}, one weight for each vector of the target"
            raise UserError(where, expected, f"shape {list(weights.shape)}")
        rows = weights.double().reshape(len(weights), -1)
        total = rows.sum(1)
        for what, wrong in (
            ("finite weights", ~rows.isfinite().all(1)),
            ("weights of at least 0", (rows < 0).any(1)),
            ("weights that sum to 1 over a sample, or to less for one that counts less", total > 1 + WHOLE),
        ):
            if wrong.any():
                n = int(wrong.nonzero()[0, 0])
                got = f"{int(wrong.sum())} of {len(wrong)} samples with others, the first is number {n}, of sum "
                got += f"{total[n].item():.4g}; for a plain mean divide a mask by its sum"
                raise UserError(where, what, got)
        wrong = ~target.reshape(len(target), -1).isfinite().all(1)
        if wrong.any():
            got = f"NaN or infinity in {int(wrong.sum())} of {len(wrong)} samples, the first is number "
            got += f"{int(wrong.nonzero()[0, 0])}; where there is no target, set it and its weight to 0"
            raise UserError(f"task {type(task).__name__}, target of {term.name}", "finite numbers", got)


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
    for kind, tensors in (("target", batch.targets), ("weights", batch.weights)):
        if lost := next((t.name for t in task.terms if t.name not in tensors), None):
            raise UserError(f"task {type(task).__name__}, term {lost}", f"{kind} of that name", repr(lost), tensors)
    inputs = getattr(task, "irreps_in", {})
    missing = next((name for name in inputs if name not in batch.inputs), None)
    if missing is not None:
        raise UserError(f"task {type(task).__name__}, irreps_in", "the name of an input", repr(missing), batch.inputs)
    targets = [(f"term {t.name}", "a target", t.irreps, batch.targets[t.name]) for t in task.terms]
    for where, what, string, tensor in targets + [
        (f"input {n}", "an input", s, batch.inputs[n]) for n, s in inputs.items()
    ]:
        place = f"task {type(task).__name__}, {where}"
        size, given, string = dimension(string, place), string, action.field_and_irreps(string)[1]
        action.require_floating(place, given, tensor)
        if string != "0e" and tensor.shape[-1] != size:  # scalars fit any last axis: features, or samples
            raise UserError(
                place,
                f"{what} whose last axis has the dimension {size} of its irreps {string!r}",
                f"shape {list(tensor.shape)}; mend the irreps, or order the components along the last axis",
            )


def dimension(string: Irreps, where: str) -> int:
    """Dimension of irreps, a string or an e3nn `Irreps`; for a field, the dimension of its value at a voxel.

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
        raise UserError(model_name(model), "a prediction that is a dict of tensors by term", type(prediction).__name__)
    for term in task.terms:
        if term.name not in prediction:
            found = ", ".join(map(str, prediction)) or "nothing"
            raise UserError(model_name(model), f"a prediction with the term {term.name!r} ({term.irreps})", found)
        found, shape = prediction[term.name], list(batch.targets[term.name].shape)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            got = found.dtype if isinstance(found, Tensor) else type(found).__name__
            raise UserError(term_of(model, term), "a tensor of real floating-point numbers", got)
        if list(found.shape) != shape:
            raise UserError(
                term_of(model, term),
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
                term_of(model, term),
                "finite numbers",
                f"NaN or infinity in {len(rows)} of {len(bad)} samples, the first is number {rows[0].item()} of the "
                f"batch; {remedy}",
            )

"""Refusals of models that are random, or whose prediction for a sample depends on the rest of the batch.

Noise, a leak from the previous sample or a mean over padding changes with the place of a sample in its batch, and would
be measured as equivariance error. So the predictions of a few samples are compared with those of the same samples in
reverse order, in a full batch, alone, and alone without padding.
"""

from __future__ import annotations

import torch

from ..._typing import Array, Callable, Float, Int, Sequence, Tensor
from ...contracts import Batch, Task
from ...errors import UserError
from .wording import MIXING, NOISY, advice, model_name, term_of

SAME = 1e-4  # relative to the largest prediction; the order of sums makes less, dropout far more
ROUNDED = 16  # in units of the rounding of the model's dtype, where that is more

Prediction = dict[str, Tensor]


def check_deterministic(model: Callable, task: Task, first: Prediction, second: Prediction, batch: Batch) -> None:
    """Refuses a model whose predictions differ between two calls; its noise would count as equivariance error.

    Raises:
        UserError: it names the term, the difference and the modules in training mode that may cause it.
    """
    for term in task.terms:
        off = relative_difference(first[term.name], second[term.name], batch.weights[term.name])
        if not off <= tolerance(model):
            raise UserError(
                term_of(model, term),
                "the same prediction for the same batch",
                f"predictions {off:.1e} apart (relative to the largest); {advice(model, NOISY)}",
            )


def check_samples_independent(model: Callable, task: Task, first: Prediction, turned: Batch, rows: int) -> None:
    """Refuses a model whose prediction for a sample depends on its place in the batch, its size, or the other samples.

    Args:
        first: the prediction for all of these samples.
        turned: the samples.
        rows: samples in one forward pass of the measurement.

    Raises:
        UserError: it names the term, the difference and the modules in training mode that may cause it.
    """
    count = len(turned)
    for place in dict.fromkeys((0, count - 1)) if count > 1 else ():
        _compare(model, task, first, turned, [place], "a sample alone as in a batch")
    if count > 1:
        _compare(model, task, first, turned, list(range(count))[::-1], "a sample wherever it is in the batch")
    if rows > count:
        _compare(model, task, first, turned, [i % count for i in range(rows)], "a sample in a batch of another size")


def _compare(model: Callable, task: Task, first: Prediction, turned: Batch, places: Sequence[int], same: str) -> None:
    """Refuses a model whose predictions for some of the samples, as a batch of their own, are others."""
    chosen = torch.tensor(places, device=next(iter(turned.targets.values())).device)
    some, expected = turned.map(lambda t: t[chosen]), f"the same prediction for {same}"
    try:
        found = model(some.inputs)
    except torch.OutOfMemoryError:
        raise
    except (ValueError, RuntimeError) as error:
        got = f"{type(error).__name__} for {same} ({error}); {advice(model, MIXING)}"
        raise UserError(model_name(model), expected, got) from error
    for term in task.terms:
        weights, prediction = some.weights[term.name], found[term.name]
        if prediction.shape != first[term.name][chosen].shape:
            raise UserError(term_of(model, term), expected, f"shape {list(prediction.shape)}")
        largest = largest_prediction(first[term.name], turned.weights[term.name])
        off = relative_difference(first[term.name][chosen], prediction, weights, largest)
        if not off <= tolerance(model):
            got = f"predictions {off:.1e} apart (relative to the largest); {advice(model, MIXING)}"
            raise UserError(term_of(model, term), expected, got)


def check_padding_ignored(
    model: Callable,
    task: Task,
    first: Prediction,
    batch: Batch,
    index: Int[Array, " sample"],
    rotation: Float[Tensor, "sample 3 3"],
) -> None:
    """Refuses a model that depends on padding, and a task whose samples depend on the batch that they are asked for in.

    The sample with the most padding is made alone, and so without padding.

    Args:
        first: the prediction for the rotated samples of the batch.
        batch: these samples, not rotated.

    Raises:
        UserError: it names the term and the difference.
    """
    like = next(iter(batch.targets.values()))
    real = {t.name: batch.weights[t.name] > 0 for t in task.terms}
    place = min(range(len(batch)), key=lambda i: [int(r[i].sum()) for r in real.values()])
    alone = task.batch(index[place : place + 1]).to(like.device, rotation.dtype)
    found = model(task.rotate(alone, rotation[place : place + 1]).inputs)
    for term in task.terms:
        name, expected = term.name, "the same {} for a sample with padding as for the sample alone"
        here = alone.weights[name][0] > 0
        target = batch.targets[name][place][real[name][place]], alone.targets[name][0][here]
        if target[0].shape != target[1].shape or not _close(*target):
            where = f"task {type(task).__name__}, term {name}"
            raise UserError(where, expected.format("target"), "another; a batch may depend on its indices alone")
        largest = largest_prediction(first[name], batch.weights[name])
        difference = (first[name][place][real[name][place]] - found[name][0][here]).abs()
        off = (difference.max() / largest).item() if difference.numel() else 0.0
        if not off <= tolerance(model):
            got = f"predictions {off:.1e} apart (relative to the largest); {advice(model, MIXING)}"
            raise UserError(term_of(model, term), expected.format("prediction"), got)


def _close(one: Tensor, other: Tensor) -> bool:
    """True for tensors that are equal up to the order of sums."""
    least = SAME * one.double().abs().amax() if one.numel() else 0.0
    return bool(((one.double() - other.double()).abs() <= least).all())


def tolerance(model: Callable) -> float:
    """Largest relative difference of predictions that rounding explains, in the narrowest dtype of the model."""
    dtypes = [p.dtype for p in model.parameters()] if isinstance(model, torch.nn.Module) else []
    dtypes.append(getattr(model, "rounded", torch.float32))
    return max([SAME, *(ROUNDED * torch.finfo(d).eps for d in dtypes if d.is_floating_point)])


def relative_difference(first: Tensor, second: Tensor, weights: Tensor, largest: Tensor | None = None) -> float:
    """Largest difference of two predictions outside the padding, over the largest prediction; 0 if both are 0."""
    difference = (first - second).abs().masked_fill(weights[..., None] == 0, 0.0).max()
    return (difference / (largest_prediction(first, weights) if largest is None else largest)).item()


def largest_prediction(prediction: Tensor, weights: Tensor) -> Float[Tensor, ""]:
    """Largest absolute component outside the padding."""
    found = prediction.abs().masked_fill(weights[..., None] == 0, 0.0).max()
    return found.clamp_min(torch.finfo(prediction.dtype).tiny)

"""Losses that are convex in the prediction, one number per sample.

The first axis of a prediction is the sample and the last holds its components (xyz, one scalar, ...). The axes between
are the vectors of a sample (its atoms, voxels). `weights` sums to 1 over the vectors of a sample, so a loss is their
weighted mean. It is 0 on all vectors of a sample without a target, which no mean over samples may count.
"""

from __future__ import annotations

from dataclasses import replace

from ._typing import Bool, Float, Tensor
from .contracts import Batch, Task
from .errors import UserError


def inner(a: Float[Tensor, "sample *v c"], b: Float[Tensor, "sample *v c"], weights: Float[Tensor, " sample *v"]):
    """Inner product <a, b> of each sample, per component: `inner(z - y, z - y, w)` is the mean squared error."""
    products = (a * b).mean(-1) * weights
    return products.reshape(len(products), -1).sum(-1)


def mse(
    prediction: Float[Tensor, "sample *v c"], target: Float[Tensor, "sample *v c"], weights
) -> Float[Tensor, " sample"]:
    """Mean squared error over components; the split into mean and equivariance error is exact (Pythagoras)."""
    difference = prediction - target  # not F.mse_loss: it has no forward-mode derivative for a constant target
    return inner(difference, difference, weights)


def l2(
    prediction: Float[Tensor, "sample *v c"], target: Float[Tensor, "sample *v c"], weights
) -> Float[Tensor, " sample"]:
    """Mean length of the error vectors (not squared), a common training loss of force fields.

    Its gradient is 0, not NaN, for vectors whose prediction and target agree exactly (padding).
    """
    squares = ((prediction - target) ** 2).sum(-1)
    zero = squares == 0
    lengths = squares.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0) * weights
    return lengths.reshape(len(lengths), -1).sum(-1)


def l1(
    prediction: Float[Tensor, "sample *v c"], target: Float[Tensor, "sample *v c"], weights
) -> Float[Tensor, " sample"]:
    """Mean absolute error over components. NOT invariant: the loss of a vector depends on the coordinate axes.

    If prediction and target are rotated together, it changes by up to sqrt(3) for a vector; for scalars it equals `l2`.
    """
    lengths = (prediction - target).abs().mean(-1) * weights
    return lengths.reshape(len(lengths), -1).sum(-1)


def huber(
    prediction: Float[Tensor, "sample *v c"], target: Float[Tensor, "sample *v c"], weights, delta: float = 1.0
) -> Float[Tensor, " sample"]:
    """Mean Huber loss of the LENGTH r of each error vector: r^2 / 2 up to delta, delta (r - delta / 2) beyond.

    Unlike in other packages it is a function of the vector, not of each component, and so does not depend on the axes.
    It is not divided by the number of components: with a large delta it is components / 2 times `mse`.

    Args:
        delta: length at which the square becomes a line, in the units of the targets in the loss.

    Source: Huber, Annals of Mathematical Statistics 35, 73 (1964); delta = 1 as in `torch.nn.HuberLoss`.
    """
    squares = ((prediction - target) ** 2).sum(-1)
    near = squares <= delta**2
    beyond = squares.masked_fill(near, delta**2).sqrt() - delta  # its gradient is 0, not NaN, at r = 0
    lengths = (squares.masked_fill(~near, delta**2) / 2 + delta * beyond) * weights
    return lengths.reshape(len(lengths), -1).sum(-1)


LOSSES = {"mse": mse, "l2": l2, "l1": l1, "huber": huber}


def loss_of(kind: str):
    """The loss function of a name.

    Raises:
        UserError: no such loss.
    """
    if kind not in LOSSES:
        raise UserError("loss", "the name of a loss", repr(kind), LOSSES)
    return LOSSES[kind]


def has_target(batch: Batch) -> dict[str, Bool[Tensor, " sample"]]:
    """True for samples that have a target of a term, by term; the weights of the others are 0."""
    return {name: (w.reshape(len(w), -1) > 0).any(1) for name, w in batch.weights.items()}


def balanced(batch: Batch) -> Batch:
    """The batch with weights such that a mean over its samples is the mean over those that have a target, by term.

    Weights are multiplied by the number of samples over that of the samples with a target. So apply it once, and to a
    whole batch, before it is cut into pieces. A term without any target keeps its weights, and its loss is 0.
    """
    known = {name: some.sum().clamp(min=1) for name, some in has_target(batch).items()}
    return replace(batch, weights={name: w * (len(w) / known[name]) for name, w in batch.weights.items()})


def loss_terms(task: Task, prediction: dict[str, Tensor], batch: Batch) -> dict[str, Float[Tensor, ""]]:
    """The training loss of each term, mean over the samples of a `balanced` batch, unweighted."""
    return {
        t.name: loss_of(t.loss)(prediction[t.name], batch.targets[t.name], batch.weights[t.name]).mean()
        for t in task.terms
    }


def weighted_loss(task: Task, prediction: dict[str, Tensor], batch: Batch) -> Float[Tensor, ""]:
    """The training loss: the weighted sum of its terms."""
    terms = loss_terms(task, prediction, batch)
    return sum(t.weight * terms[t.name] for t in task.terms)

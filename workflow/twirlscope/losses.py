"""Losses that are convex in the prediction, one number a sample.

A prediction has the sample first and its components (xyz, one scalar, ...) last; what lies between are the vectors
of a sample (its atoms, voxels). `weights` gives each vector its share of the sample and sums to 1, so a loss is a
weighted mean over the vectors of a sample.
"""

from __future__ import annotations

from .errors import UserError
from .hints import Float, Tensor


def inner(a: Float[Tensor, "sample *v c"], b: Float[Tensor, "sample *v c"], weights: Float[Tensor, "sample *v"]):
    """Inner product <a, b> a sample, per component: `inner(z - y, z - y, w)` is the mean squared error."""
    products = (a * b).mean(-1) * weights
    return products.reshape(len(products), -1).sum(-1)


def mse(
    prediction: Float[Tensor, "sample *v c"], target: Float[Tensor, "sample *v c"], weights
) -> Float[Tensor, "sample"]:
    """Mean squared error over components; the split into mean and equivariance error is exact (Pythagoras)."""
    difference = prediction - target  # not F.mse_loss: it has no forward-mode derivative for a constant target
    return inner(difference, difference, weights)


def l2(
    prediction: Float[Tensor, "sample *v c"], target: Float[Tensor, "sample *v c"], weights
) -> Float[Tensor, "sample"]:
    """Mean length of the error vectors (not squared), as force fields are often trained.

    Its gradient is 0, not NaN, where prediction and target agree exactly (padding).
    """
    squares = ((prediction - target) ** 2).sum(-1)
    zero = squares == 0
    lengths = squares.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0) * weights
    return lengths.reshape(len(lengths), -1).sum(-1)


LOSSES = {"mse": mse, "l2": l2}


def loss_of(kind: str):
    """The loss function of that name.

    Raises:
        UserError: no such loss.
    """
    if kind not in LOSSES:
        raise UserError("loss", "the name of a loss", repr(kind), LOSSES)
    return LOSSES[kind]

"""Estimators of the gradients of the two parts of the loss, pure functions of inner products: no model in sight.

g_b is the gradient of a part of the loss on batch b of n samples; batches are independent of each other, samples and
rotations both. For b != c the product <g_b, g_c> has the expectation |G|^2, the square of the gradient on all samples,
so that the mean over all such pairs is unbiased (a U-statistic of order 2). |g_b|^2 is too large by tr(Sigma) / n with
Sigma the covariance of the gradient of a sample: a norm taken from one batch is mostly noise late in training, and
what it has too much is the gradient noise scale tr(Sigma) / |G|^2.

Source: McCandlish et al., arXiv:1812.06162, section 2.2, for the noise scale; Efron and Stein, Annals of Statistics 9,
586 (1981), for the jackknife.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Bool, Callable, Float, Int

PARTS = ("mean", "equiv", "total")
RESOLVED = 2.0  # standard errors that a quantity must be above zero before something is divided by it
WITH_TOTAL = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # total = mean + equiv, for gradients as for losses

Values = Float[Array, "..."] | float


class Batches(NamedTuple):
    """What is known of each batch; parts are mean and equiv, dimensions before are free.

    gram: products of the gradients of two parts on two batches.
    loss: both parts of the loss.
    update: products of the gradients with an update of the parameters.
    size: samples in a batch.
    """

    gram: Float[Array, "*b part part batch batch"]
    loss: Float[Array, "part batch"]
    update: Float[Array, "*b part batch"]
    size: int

    def take(self, kept: Int[Array, " kept"]) -> Batches:
        """Some of the batches."""
        gram = self.gram[..., kept, :][..., kept]
        return Batches(gram, self.loss[..., kept], self.update[..., kept], self.size)


def product_between_batches(gram: Float[Array, "*b batch batch"]) -> Values:
    """Mean product of different batches: unbiased for the product of the two gradients on all samples.

    Raises:
        ValueError: fewer than two batches.
    """
    count = gram.shape[-1]
    if count < 2:
        raise ValueError(f"{count} batch(es): products of different batches need two")
    return (gram.sum((-2, -1)) - _same(gram)) / (count * (count - 1))


def _same(gram: Float[Array, "*b batch batch"]) -> Values:
    """Sum of the products of every batch with itself."""
    return np.trace(gram, axis1=-2, axis2=-1)


def gradient_statistics(gram: Float[Array, "*b part part batch batch"], size: int) -> dict[str, Values]:
    """Everything that follows from the gradients; a squared norm may be negative by noise.

    It is kept as it is then, and NaN stands for what divides by it or takes its root. With a total that is small
    against its noise, the ratios are heavy-tailed: look at the error of the squares first.

    Args:
        gram: products of the gradients of the parts mean and equiv.
        size: samples in a batch; `noise_scale` is in samples, each with all its rotations.
    """
    gram = np.einsum("pr,qs,...rsbc->...pqbc", WITH_TOTAL, WITH_TOTAL, gram)
    product, own = product_between_batches(gram), _same(gram) / gram.shape[-1]
    square = np.diagonal(product, axis1=-2, axis2=-1)
    variance = size * (np.diagonal(own, axis1=-2, axis2=-1) - square)
    mean, equiv = square[..., 0], square[..., 1]
    ratio = equiv / positive(mean)
    return {
        "gradient_square": square,
        "gradient_inner": product[..., 0, 1],
        "gradient_cosine": product[..., 0, 1] / np.sqrt(positive(mean) * positive(equiv)),
        "gradient_square_ratio": ratio,
        "gradient_norm_ratio": np.sqrt(np.where(ratio >= 0, ratio, np.nan)),
        "gradient_variance": variance,
        "noise_scale": variance / positive(square),
    }


def loss_statistics(loss: Float[Array, "part batch"]) -> dict[str, Values]:
    """Both parts of the loss and their sum, and the share of equiv in it: a ratio of means over batches."""
    found = WITH_TOTAL @ loss.mean(-1)
    return {"gradient_loss": found, "relative_equiv": found[1] / positive(found[2])}


def update_statistics(update: Float[Array, "*b part batch"]) -> dict[str, Values]:
    """First-order change of the parts along an update, and the share of equiv in the change of the total.

    The share is below 0 or above 1 where one part rises while the other falls.
    """
    change = update.mean(-1) @ WITH_TOTAL.T
    total = change[..., 2]
    return {"update_change": change, "update_share": change[..., 1] / np.where(total == 0, np.nan, total)}


def positive(values: Values) -> Values:
    """The values, NaN where they are not above zero."""
    return np.where(values > 0, values, np.nan)


def above_noise(value: Values, error: Values) -> Bool[Array, "..."] | bool:
    """Whether a positive quantity is more than noise: only then look at what is divided by it."""
    return value > RESOLVED * error


def statistics(batches: Batches) -> dict[str, Values]:
    """All statistics, by the names under which they are stored."""
    gradients = gradient_statistics(batches.gram, batches.size)
    return gradients | loss_statistics(batches.loss) | update_statistics(batches.update)


def with_errors(batches: Batches, function: Callable[[Batches], dict[str, Values]] = statistics) -> dict[str, Values]:
    """The statistics of all batches, and under `<name>_error` their jackknife standard errors over batches.

    An error is NaN where a statistic is NaN without one of the batches: it is not determined by these data. Two
    batches give no errors.
    """
    count = batches.gram.shape[-1]
    found = function(batches)
    if count < 3:
        return found | {f"{name}_error": np.full(np.shape(value), np.nan) for name, value in found.items()}
    every = np.arange(count)
    without = [function(batches.take(np.delete(every, b))) for b in every]
    for name in list(found):
        values = np.stack([each[name] for each in without])
        found[f"{name}_error"] = np.sqrt((count - 1) * values.var(0))
    return found

"""Norms, cosines and noise scale of the gradients of the two parts of the loss, pure functions of inner products.

g_b is the gradient of a part of the loss on batch b of n samples. Batches are independent of each other, in samples
and in rotations. For b != c the product <g_b, g_c> has the expectation |G|^2, the squared norm of the gradient on all
samples. So the mean over all such pairs is unbiased (a U-statistic of order 2).

|g_b|^2 is too large by tr(Sigma) / n, with Sigma the covariance of the gradient of a sample. Late in training this
excess is most of a norm from one batch. Relative to |G|^2 and per sample it is the gradient noise scale,
tr(Sigma) / |G|^2.

Source: McCandlish et al., arXiv:1812.06162, section 2.2, for the noise scale; Efron and Stein, Annals of Statistics 9,
586 (1981), for the jackknife.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Bool, Callable, Float, Int

PARTS = ("mean", "equiv", "total")
RESOLVED = 2.0  # a quantity may be divided by only if it is this many standard errors above zero
WITH_TOTAL = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # (mean, equiv) -> (mean, equiv, total = mean + equiv)

Values = Float[Array, "..."] | float


class Batches(NamedTuple):
    """Losses and inner products of gradients by batch; parts are mean and equiv, leading dimensions are free.

    gram: products of the gradients of two parts on two batches.
    loss: both parts of the loss.
    update: products of an update of the parameters with the gradients halfway through it.
    size: samples per batch.
    """

    gram: Float[Array, "*b part part batch batch"]
    loss: Float[Array, "part batch"]
    update: Float[Array, "*b part batch"]
    size: int

    def take(self, kept: Int[Array, " kept"]) -> Batches:
        """The batches with these indices."""
        gram = self.gram[..., kept, :][..., kept]
        return Batches(gram, self.loss[..., kept], self.update[..., kept], self.size)


def product_between_batches(gram: Float[Array, "*b batch batch"]) -> Values:
    """Mean product of gradients on different batches: unbiased for the product of the gradients on all samples.

    Raises:
        ValueError: fewer than two batches.
    """
    count = gram.shape[-1]
    if count < 2:
        raise ValueError(f"{count} batch(es): products of different batches need two")
    return (gram.sum((-2, -1)) - _same(gram)) / (count * (count - 1))


def _same(gram: Float[Array, "*b batch batch"]) -> Values:
    """Sum over batches of the product of a batch with itself."""
    return np.trace(gram, axis1=-2, axis2=-1)


def gradient_statistics(gram: Float[Array, "*b part part batch batch"], size: int) -> dict[str, Values]:
    """Squared norms, their ratios, cosine, variance and noise scale of the gradients of the parts and their sum.

    Noise can make a squared norm negative. It is then kept, and its root and all quotients by it are NaN. If a squared
    norm is small against its noise, the quotients by it are heavy-tailed; check `above_noise` first.

    Args:
        gram: products of the gradients of the parts mean and equiv.
        size: samples per batch; `noise_scale` is in samples, each with all its rotations.
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
    """Both parts of the loss and their sum, and the share of equiv in the sum: a ratio of means over batches."""
    parts = WITH_TOTAL @ loss.mean(-1)
    return {"gradient_loss": parts, "relative_equiv": parts[1] / positive(parts[2])}


def update_statistics(update: Float[Array, "*b part batch"]) -> dict[str, Values]:
    """Change of the parts along an update, and the share of equiv in the change of the total.

    The share is below 0 or above 1 if one part rises while the other falls.

    Args:
        update: products of the update with the gradients halfway through it.
    """
    change = update.mean(-1) @ WITH_TOTAL.T
    total = change[..., 2]
    return {"update_change": change, "update_share": change[..., 1] / np.where(total == 0, np.nan, total)}


def positive(values: Values) -> Values:
    """The values; NaN in place of those that are not above zero."""
    return np.where(values > 0, values, np.nan)


def above_noise(value: Values, error: Values) -> Bool[Array, "..."] | bool:
    """True if a quantity is more than `RESOLVED` standard errors above zero, so that quotients by it mean something."""
    return value > RESOLVED * error


def statistics(batches: Batches) -> dict[str, Values]:
    """All statistics, by the names of the stored arrays."""
    gradients = gradient_statistics(batches.gram, batches.size)
    return gradients | loss_statistics(batches.loss) | update_statistics(batches.update)


def with_errors(batches: Batches, function: Callable[[Batches], dict[str, Values]] = statistics) -> dict[str, Values]:
    """The statistics of all batches, and as `<name>_error` their jackknife standard errors over batches.

    The errors are those of the choice of batches from a split, not of the choice of the clusters in the split.

    An error is NaN if the statistic is NaN without one of the batches, and for fewer than three batches.
    """
    count = batches.gram.shape[-1]
    result = function(batches)
    if count < 3:
        return result | {f"{name}_error": np.full(np.shape(value), np.nan) for name, value in result.items()}
    every = np.arange(count)
    leave_one_out = [function(batches.take(np.delete(every, b))) for b in every]
    for name in list(result):
        values = np.stack([statistic[name] for statistic in leave_one_out])
        result[f"{name}_error"] = np.sqrt((count - 1) * values.var(0))
    return result

"""Heavy tails: the effective number of samples behind a mean, and a warning where its interval is too narrow.

If a few samples carry most of the loss, another random choice of samples could miss them or contain larger ones. The
mean and the percent then change, and no interval computed from the present samples shows by how much. Where samples
come in clusters, whose samples are not independent, the clusters and their sums take the place of samples and values.
"""

from __future__ import annotations

import math

import numpy as np

from .._typing import Array, Bool, Float, Values
from .bootstrap import Clusters, cluster_sums

MIN_EFFECTIVE_SAMPLES = 20  # with fewer effective samples an interval is doubtful
MIN_TAIL_INDEX = 2.0  # with a smaller tail index the variance is infinite
MAX_SKEWNESS = 0.3  # of the mean: the skewness of the samples over the root of their number
TAIL_SHARE = 0.05  # share of the samples that the tail index is fitted to, at least 10 samples


def top_share(values: Float[Array, "*b sample"], share: float = 0.01, cluster: Clusters = None) -> Values:
    """Part of the sum due to the largest clusters, a `share` of all clusters and at least one; NaN for a sum <= 0."""
    values = cluster_sums(values, cluster)
    top = math.ceil(values.shape[-1] * share)
    total = values.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, np.sort(values, -1)[..., -top:].sum(-1) / total, np.nan)


def effective_samples(values: Float[Array, "*b sample"]) -> Values:
    """Number of equal samples with the same relative error of the sum, (SUM x)^2 / SUM x^2; NaN if all are 0.

    Source: Kish, Survey Sampling (1965), section 11.7.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return values.sum(-1) ** 2 / (values**2).sum(-1)


def tail_index(values: Float[Array, "*b sample"]) -> Values:
    """Hill's exponent a of the upper tail, P(X > x) ~ x^-a, from the top 5 % of samples (at least 10).

    The variance is finite only for a > 2, the mean only for a > 1. NaN if the tail is not positive, or if there are not
    more than 10 samples.

    Source: Hill, Annals of Statistics 3, 1163 (1975).
    """
    top = max(10, math.ceil(values.shape[-1] * TAIL_SHARE))
    if values.shape[-1] <= top:
        return np.full(values.shape[:-1], np.nan)
    upper = np.sort(values, -1)[..., -top - 1 :]
    with np.errstate(divide="ignore", invalid="ignore"):
        index = 1 / np.log(upper[..., 1:] / upper[..., :1]).mean(-1)
        return np.where(upper[..., 0] > 0, index, np.nan)


def skewness_of_mean(values: Float[Array, "*b sample"]) -> Values:
    """Skewness of the mean over samples, that of the samples over the root of their number; NaN if all are equal.

    To first order it is the error of coverage of an interval that takes the mean for normal.

    Source: Hall, The Bootstrap and Edgeworth Expansion (1992), section 2.6.
    """
    rest = values - values.mean(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (rest**3).sum(-1) / (rest**2).sum(-1) ** 1.5


def is_heavy(values: Float[Array, "*b sample"], cluster: Clusters = None) -> Bool[Array, "*b"] | np.bool_:
    """True if the 95 % interval of the mean is approximate: it may hold the truth in less than 92 %.

    That is if the tail index is below 2, if there are fewer than 20 effective clusters, or if the mean is too skewed.
    True, too, if the values are not finite. The share of the largest 1 % alone would miss a Pareto law of index 1.5
    four times in five. The rule knows only the samples that were drawn: of any law some draws look harmless. Its limits
    are such that intervals miss the truth unsaid in at most 8 % of draws of any law in docs/calibration.md.
    """
    values = cluster_sums(values, cluster)
    with np.errstate(invalid="ignore"):
        skewed = skewness_of_mean(values) > MAX_SKEWNESS
    return (tail_index(values) < MIN_TAIL_INDEX) | ~(effective_samples(values) >= MIN_EFFECTIVE_SAMPLES) | skewed

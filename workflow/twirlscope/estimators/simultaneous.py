"""Bounds of the largest of several ratios that are estimated from the same samples."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from .._typing import Array, Float
from .bootstrap import Clusters, cluster_sums

DRAWS, SEED = 1000, 0  # of the multipliers


def lower_bound_of_largest(
    above: Float[Array, "*ratio sample"], below: Float[Array, "*ratio sample"], cluster: Clusters = None
) -> float:
    """Lower 97.5 % bound of the largest of several ratios of means.

    The largest estimate is too large on average, because its noise is selected with it. The bound is therefore
    simultaneous: every ratio may have its largest error. An upper bound needs no such care, the largest of the single
    upper bounds is one.

    Args:
        above, below: numerator and denominator of every ratio, one number per sample.
        cluster: of every sample.

    Source: Chernozhukov, Chetverikov and Kato, Annals of Statistics 41, 2786 (2013), for the largest of normal
    multipliers; Student's t for few clusters is ours.
    """
    ratio = above.mean(-1) / below.mean(-1)
    influence = cluster_sums((above - ratio[..., None] * below) / below.sum(-1)[..., None], cluster)
    count = influence.shape[-1]
    if count < 2:
        return -math.inf
    size = np.sqrt((influence**2).sum(-1))
    error = size * math.sqrt(count / (count - 1))
    normal = np.random.default_rng(SEED).standard_normal((DRAWS, count))
    with np.errstate(invalid="ignore"):
        scaled = np.nan_to_num(influence / size[..., None])  # a ratio without any error is 0 / 0
    largest = (normal @ scaled.reshape(-1, count).T).max(-1)
    factor = stats.t.ppf(stats.norm.cdf(np.quantile(largest, 0.975)), count - 1)
    return float((ratio - factor * error).max())

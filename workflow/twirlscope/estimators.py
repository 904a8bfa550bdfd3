"""Estimators of the two parts of the loss, pure functions of inner products: no model in sight.

z_1..z_K are twisted predictions of one sample under independent Haar rotations and y is its target. The Gram matrix
<z_i, z_j>, the products <z_i, y> and <y, y> (all per component) are sufficient.
Source: Shen, Nowara, Maser, Cho, TMLR 12/2025, arXiv:2512.02303; unbiased forms: U-statistics of order 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .hints import Array, Callable, Float

Values = Float[Array, "..."] | float


class Split(NamedTuple):
    """Total loss and its two parts; `mean + equiv == total` exactly, for every draw of rotations."""

    total: Values
    mean: Values
    equiv: Values


def split(gram: Float[Array, "*b rotation rotation"], cross: Float[Array, "*b rotation"], square: Values) -> Split:
    """Unbiased squared-error split from K >= 2 independent rotations; `mean` may be negative by noise.

    Args:
        gram: <z_i, z_j>.
        cross: <z_i, y>.
        square: <y, y>, broadcast against the rest.

    Raises:
        ValueError: fewer than two rotations.
    """
    K = gram.shape[-1]
    if K < 2:
        raise ValueError(f"the split needs at least 2 rotations, got {K}")
    diagonal = np.einsum("...ii->...i", gram)
    total = (diagonal - 2 * cross).mean(-1) + square
    equiv = (diagonal.sum(-1) - gram.sum((-1, -2)) / K) / (K - 1)
    return Split(total, total - equiv, equiv)


def percent(total: Values, equiv: Values) -> Values:
    """100 equiv / total, of sums over samples (a ratio of means, not a mean of ratios); NaN where total is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, 100 * equiv / total, np.nan)


def resamples(samples: int, draws: int, seed: int) -> Float[Array, "draw sample"]:
    """Weights of bootstrap resamples of the samples; each row sums to 1. The same seed pairs all checkpoints."""
    random = np.random.default_rng(seed)
    return random.multinomial(samples, np.full(samples, 1 / samples), size=draws) / samples


def interval(
    statistic: Callable[..., Array], weights: Float[Array, "draw sample"], *values: Float[Array, "*b sample"]
) -> tuple[Values, Values]:
    """95 % percentile interval of a statistic of sample means, resampling whole samples (the clusters).

    Args:
        statistic: function of as many arrays as there are `values`, each the mean over samples.
        weights: from `resamples`.
        values: one number a sample.
    """
    draws = statistic(*(value @ weights.T for value in values))
    low, high = np.quantile(draws, [0.025, 0.975], axis=-1)
    return low, high

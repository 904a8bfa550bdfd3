"""Estimators of the two parts of the loss, pure functions of inner products: no model in sight.

z_1..z_K are twisted predictions of one sample under independent Haar rotations and y is its target. The Gram matrix
<z_i, z_j>, the products <z_i, y> and <y, y> (all per component) are sufficient.
Source: Shen, Nowara, Maser, Cho, TMLR 12/2025, arXiv:2512.02303; unbiased forms: U-statistics of order 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .hints import Array, Float

LARGEST = 4_000_000  # numbers of resampling weights in memory at once
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


def resampled_means(values: Float[Array, "*b sample"], draws: int, seed: int) -> Float[Array, "*b draw"]:
    """Means over bootstrap resamples of whole samples (the clusters). The same seed draws the same samples, so that
    means of several arrays, and of all checkpoints, are paired. Memory does not grow with draws times samples.
    """
    samples, random = values.shape[-1], np.random.default_rng(seed)
    block = max(1, LARGEST // samples)
    found = []
    for start in range(0, draws, block):
        counts = random.multinomial(samples, np.full(samples, 1 / samples), size=min(block, draws - start))
        found.append(values @ (counts.T / samples))
    return np.concatenate(found, -1)


def interval(draws: Float[Array, "*b draw"]) -> tuple[Values, Values]:
    """Ends of the 95 % percentile interval of a statistic, from its bootstrap draws."""
    low, high = np.quantile(draws, [0.025, 0.975], axis=-1)
    return low, high

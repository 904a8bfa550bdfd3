"""Bootstrap over samples: resampled means, percentile intervals, pooled values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Float
from .loss_split import Values

LARGEST = 4_000_000  # numbers of resampling weights in memory at once


class Pooled(NamedTuple):
    """Mean over samples, its standard error, and the ends of its 95 % bootstrap interval; samples are the clusters."""

    value: Values
    error: Values
    low: Values
    high: Values


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


def pooled(values: Float[Array, "*b sample"], draws: int = 2000, seed: int = 0) -> Pooled:
    """Mean over samples with two error bars: the standard error std / sqrt(samples), and the bootstrap interval.

    A spectrum has its degree last: `pooled(np.swapaxes(q, -1, -2))`.

    Args:
        values: one number a sample.
        draws: bootstrap resamples.
        seed: of the resamples, see `resampled_means`.

    Raises:
        ValueError: fewer than two samples.
    """
    samples = values.shape[-1]
    if samples < 2:
        raise ValueError(f"an error bar needs at least 2 samples, got {samples}")
    error = values.std(-1, ddof=1) / samples**0.5
    return Pooled(values.mean(-1), error, *interval(resampled_means(values, draws, seed)))

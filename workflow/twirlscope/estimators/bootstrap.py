"""Error bars of means over samples: standard errors, bootstrap resamples, percentile intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Float, Values

LARGEST = 4_000_000  # numbers of one block in memory, here and in `degree_spectrum`


class Pooled(NamedTuple):
    """Mean over samples, its standard error, and the ends of its 95 % bootstrap interval; samples are the clusters."""

    value: Values
    error: Values
    low: Values
    high: Values


def standard_error(values: Float[Array, "*b sample"]) -> Values:
    """Standard error of the mean over the last axis, std / sqrt(n), with n - 1 in the variance; NaN for n < 2."""
    count = values.shape[-1]
    if count < 2:
        return np.full(values.shape[:-1], np.nan)[()]
    return values.std(-1, ddof=1) / count**0.5


def resampled_means(values: Float[Array, "*b sample"], resamples: int, seed: int) -> Float[Array, "*b resample"]:
    """Means over bootstrap resamples of whole samples (the clusters).

    The same seed draws the same samples, so that means of several arrays, and of all checkpoints, are paired. Memory
    does not grow with resamples times samples.
    """
    samples, random = values.shape[-1], np.random.default_rng(seed)
    block = max(1, LARGEST // samples)
    means = []
    for start in range(0, resamples, block):
        counts = random.multinomial(samples, np.full(samples, 1 / samples), size=min(block, resamples - start))
        means.append(values @ (counts.T / samples))
    return np.concatenate(means, -1)


def interval(resampled: Float[Array, "*b resample"]) -> tuple[Values, Values]:
    """Ends of the 95 % percentile interval of a statistic, from its values on bootstrap resamples."""
    low, high = np.quantile(resampled, [0.025, 0.975], axis=-1)
    return low, high


def pooled(values: Float[Array, "*b sample"], resamples: int = 2000, seed: int = 0) -> Pooled:
    """Mean over samples with its standard error and bootstrap interval.

    A spectrum has its degree last: `pooled(np.swapaxes(q, -1, -2))`.

    Args:
        values: one number per sample.
        resamples: number of bootstrap resamples.
        seed: of the resamples, see `resampled_means`.

    Raises:
        ValueError: fewer than two samples.
    """
    samples = values.shape[-1]
    if samples < 2:
        raise ValueError(f"an error bar needs at least 2 samples, got {samples}")
    return Pooled(values.mean(-1), standard_error(values), *interval(resampled_means(values, resamples, seed)))

"""Error bars of means over samples: standard errors, bootstrap resamples, 95 % intervals; all resample clusters.

Samples of a cluster (frames of a molecule, chains of a family of sequences) are not independent, so that clusters are
drawn, whole, not samples. Clusters differ in size: a mean over samples is a ratio of two sums over clusters. Without
`cluster` every sample is a cluster of its own.

Percentile intervals are too narrow where values are skewed, and the fewer clusters the narrower. The bootstrap is
therefore studentised: the error of every resample is divided by its own standard error. Below 5 clusters intervals are
those of Student's t. Below 20 clusters they are approximate. So they are where tails are heavy, see `heavy_tails`.
docs/calibration.md has the coverage of all of them in simulations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Float, Int, Values
from ..errors import Deferred

special = Deferred("scipy.special")
LARGEST = 4_000_000  # numbers of one block in memory, here and in `degree_spectrum`
FEW_CLUSTERS = 20  # with fewer clusters intervals are approximate
LEAST_CLUSTERS = 5  # resamples of fewer clusters often hold a single cluster, which has no standard error

Clusters = Int[Array, " sample"] | None  # number of the cluster of every sample; None: samples are independent


class Pooled(NamedTuple):
    """Mean over samples, its standard error, and the ends of its 95 % bootstrap interval."""

    value: Values
    error: Values
    low: Values
    high: Values


def cluster_sums(values: Float[Array, "*b sample"], cluster: Clusters = None) -> Float[Array, "*b cluster"]:
    """Sums over the samples of each cluster, in the order in which clusters first appear."""
    if cluster is None:
        return values
    _, first, inverse = np.unique(cluster, return_index=True, return_inverse=True)
    if len(first) == len(cluster):
        return values
    number = first.argsort().argsort()[inverse]
    order = number.argsort(kind="stable")
    starts = np.searchsorted(number[order], np.arange(len(first)))
    return np.add.reduceat(values[..., order], starts, axis=-1)


def _sizes(values: Float[Array, "*b sample"], cluster: Clusters) -> Float[Array, " cluster"]:
    """Number of samples of each cluster."""
    return cluster_sums(np.ones(values.shape[-1]), cluster)


def standard_error(values: Float[Array, "*b sample"], cluster: Clusters = None) -> Values:
    """Standard error of the mean over the last axis; NaN for fewer than two clusters.

    Of C clusters of n_c samples, with sums s_c of their values and the mean m of all N samples, it is that of a ratio:
    sqrt(C / (C - 1) SUM_c (s_c - n_c m)^2) / N. Of independent samples it is std / sqrt(N), with N - 1 in the variance.

    Source: Cochran, Sampling Techniques (1977), section 9A.3.
    """
    sums, sizes = cluster_sums(values, cluster), _sizes(values, cluster)
    count, samples = len(sizes), values.shape[-1]
    if count < 2:
        return np.full(values.shape[:-1], np.nan)[()]
    if count == samples:
        return values.std(-1, ddof=1) / count**0.5
    residual = sums - sizes * values.mean(-1, keepdims=True)
    return np.sqrt(count / (count - 1) * (residual**2).sum(-1)) / samples


def resampled_means(
    values: Float[Array, "*b sample"], resamples: int, seed: int, cluster: Clusters = None
) -> Float[Array, "*b resample"]:
    """Means over bootstrap resamples of whole clusters: sums of the values over the number of samples drawn.

    The same seed draws the same clusters, so that means of several arrays, and of all checkpoints, are paired. Memory
    does not grow with resamples times clusters.
    """
    sums, sizes = cluster_sums(values, cluster), _sizes(values, cluster)
    random, means = np.random.default_rng(seed), []
    for number in _blocks(len(sizes), resamples):
        counts = _draws(len(sizes), number, random)
        means.append(sums @ (counts / (counts @ sizes)[:, None]).T)
    return np.concatenate(means, -1)


def _blocks(clusters: int, resamples: int) -> list[int]:
    """Numbers of resamples that are drawn at once; they add up to all."""
    block = max(1, LARGEST // clusters)
    return [min(block, resamples - start) for start in range(0, resamples, block)]


def _draws(clusters: int, resamples: int, random: np.random.Generator) -> Int[Array, "resample cluster"]:
    """Number of times that each resample contains each cluster."""
    return random.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)


def interval(
    values: Float[Array, "*b sample"],
    over: Float[Array, "*b sample"] | None,
    resamples: int,
    seed: int,
    cluster: Clusters = None,
) -> tuple[Values, Values]:
    """Ends of the 95 % interval of a mean over samples, or of the ratio of two means.

    It is NaN for a single cluster.

    Args:
        values: one number per sample.
        over: numbers whose mean divides that of the values; None for 1. The ends are NaN if their mean is not positive.
        resamples: number of bootstrap resamples.
        seed: of the resamples, see `resampled_means`.
        cluster: of every sample.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 12.5.
    """
    over = np.ones(values.shape) if over is None else over
    return _studentised_interval(cluster_sums(values, cluster), cluster_sums(over, cluster), resamples, seed)


@np.errstate(divide="ignore", invalid="ignore")
def _studentised_interval(
    top: Float[Array, "*b cluster"], bottom: Float[Array, "*b cluster"], resamples: int, seed: int
) -> tuple[Values, Values]:
    """Ends of the interval of the ratio of two sums over clusters, by standard errors of the ratio."""
    clusters, total = top.shape[-1], bottom.sum(-1)
    ratio = np.where(total > 0, top.sum(-1) / total, np.nan)
    residual = top - ratio[..., None] * bottom
    spread = (residual**2).sum(-1) / (1 - 1 / clusters) if clusters > 1 else np.full(ratio.shape, np.nan)
    error = np.sqrt(spread) / total
    if clusters < LEAST_CLUSTERS:
        high = special.stdtrit(max(clusters - 1, 1), 0.975)
        low = -high
    else:
        high, low = -_studentised(residual, bottom, resamples, seed)
    return ratio + low * error, ratio + high * error


def _studentised(
    residual: Float[Array, "*b cluster"], bottom: Float[Array, "*b cluster"], resamples: int, seed: int
) -> Float[Array, " end *b"]:
    """The 2.5 and 97.5 % points of the error of a resampled ratio over its own standard error.

    They are the numbers p (resamples + 1) of the ordered errors: the plain quantiles of few resamples are too narrow.
    Resamples without a standard error, such as those of a single cluster, are left out.

    Args:
        residual: sums of the numerator of each cluster less the ratio times those of the denominator; they sum to 0.
        bottom: sums of the denominator.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 5.2.
    """
    clusters, random, scaled = residual.shape[-1], np.random.default_rng(seed), []
    negligible = 1e-12 * (residual**2).sum(-1, keepdims=True)
    for number in _blocks(clusters, resamples):
        counts = _draws(clusters, number, random).T.astype(float)
        moved, below = residual @ counts, bottom @ counts
        shift = moved / below  # of the resampled ratio from the ratio
        square = residual**2 @ counts - 2 * shift * ((residual * bottom) @ counts) + shift**2 * (bottom**2 @ counts)
        each = moved / np.sqrt(square / (1 - 1 / clusters))
        scaled.append(np.where(square > negligible, each, np.where(moved == 0, 0.0, np.nan)))
    scaled = np.concatenate(scaled, -1)
    scaled[np.isnan(scaled).all(-1)] = 0.0  # of values that are not finite: nor is the error that this multiplies
    return np.nanquantile(scaled, [0.025, 0.975], axis=-1, method="weibull")


def pooled(values: Float[Array, "*b sample"], resamples: int = 2000, seed: int = 0, cluster: Clusters = None) -> Pooled:
    """Mean over samples with its standard error and its 95 % interval.

    A spectrum has its degree last: `pooled(np.swapaxes(q, -1, -2))`.

    Args:
        values: one number per sample.
        resamples: number of bootstrap resamples.
        seed: of the resamples, see `resampled_means`.
        cluster: of every sample.

    Raises:
        ValueError: fewer than two samples.
    """
    samples = values.shape[-1]
    if samples < 2:
        raise ValueError(f"an error bar needs at least 2 samples, got {samples}")
    ends = interval(values, None, resamples, seed, cluster)
    return Pooled(values.mean(-1), standard_error(values, cluster), *ends)

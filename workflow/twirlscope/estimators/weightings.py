"""Other weightings of the same losses: means of ratios over batches, and the plug-in variance of a few rotations."""

from __future__ import annotations

import numpy as np

from .._typing import Array, Float


def mean_of_batch_ratios(
    total: Float[Array, " sample"], equiv: Float[Array, " sample"], batch: int, partitions: int = 1, seed: int = 0
) -> float:
    """Mean over batches of the ratio of sums equiv / total, mean over random divisions of the samples into batches.

    It exceeds the ratio of means by - cov(r, T) / mean(T), of the ratios r and losses T of batches of one size: it is
    larger where batches with a small loss have a large share. One batch of all samples gives the ratio of means. The
    last batch of a division may be smaller; it counts as a batch.

    Args:
        batch: samples of a batch, at least 1.
        partitions: number of divisions; the first is the order of the samples.
        seed: of the others.

    Raises:
        ValueError: a batch without a sample.
    """
    if batch < 1:
        raise ValueError(f"a batch has at least 1 sample, got {batch}")
    random, found = np.random.default_rng(seed), []
    starts = np.arange(0, len(total), batch)
    if len(starts) == 1:
        partitions = 1
    for k in range(partitions):
        order = np.arange(len(total)) if k == 0 else random.permutation(len(total))
        sums = [np.add.reduceat(values[order], starts) for values in (equiv, total)]
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(float((sums[0] / sums[1]).mean()))
    return float(np.mean(found))


def plugin(equiv: Float[Array, "*b sample"], rotations: int) -> Float[Array, "*b sample"]:
    """Plug-in variance of K rotations, from the unbiased one: (K - 1) / K times it, so that it is too small.

    The loss of the mean over these rotations is too high by as much, equiv / K.

    Args:
        rotations: K, at least 2.
    """
    return equiv * (rotations - 1) / rotations

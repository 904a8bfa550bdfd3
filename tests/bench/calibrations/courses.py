"""Intervals of a course: time to 2 %, dip, rise after it; lognormal samples, common and of single checkpoints."""

from __future__ import annotations

import numpy as np

from twirlscope.estimators.course import between, course, measured_course

from .row import Row, covering

STEPS = np.unique(np.geomspace(10, 100_000, 41).astype(int))
KNOTS = ((10, 20.0), (300, 12.0), (5_000, 0.1), (17_000, 0.4), (100_000, 0.05))  # as published force fields
SIZES = ((54, 6, "54 clusters of 6"), (200, 1, "200 samples"), (400, 1, "400 samples"))
NOISES = ((0.3, "noise mostly common to all checkpoints"), (0.8, "noise mostly of single checkpoints"))
WORDS = {"first": "time to 2 %", "dip": "dip", "highest": "highest after the dip"}


def truth() -> np.ndarray:
    """The true percentage at every checkpoint."""
    x, y = np.log(np.array(KNOTS)).T
    return np.exp(np.interp(np.log(STEPS), x, y))


def losses(random: np.random.Generator, clusters: int, each: int, own: float) -> tuple[np.ndarray, ...]:
    """Loss and equivariance error of every sample at every checkpoint, and the clusters.

    Args:
        own: standard deviation of the logarithm of a sample's share at one checkpoint.
    """
    cluster = np.repeat(np.arange(clusters), each)
    hard = 0.7 * random.standard_normal(clusters)[cluster] + 0.4 * random.standard_normal(len(cluster))
    share = 0.5 * random.standard_normal(clusters)[cluster]  # the same at every checkpoint
    single = own * random.standard_normal((len(STEPS), len(cluster)))
    total = np.exp(hard) * np.ones((len(STEPS), 1))
    equiv = np.exp(hard + share + single - 0.5**2 / 2 - own**2 / 2) * truth()[:, None] / 100
    return total, equiv, cluster


def rows(repeats: int) -> list[Row]:
    """Coverage of the intervals of a course, and of the range of checkpoints that the time to 2 % is given as."""
    exact, found = course(STEPS, truth(), 2.0), []
    for clusters, each, size in SIZES:
        for own, law in NOISES:
            hits = {name: [] for name in (*WORDS, "range")}
            for seed in range(repeats):
                data = losses(np.random.default_rng(seed), clusters, each, own)
                one = measured_course(STEPS, *data[:2], 2.0, data[2], resamples=500)
                for name in WORDS:
                    hits[name].append(getattr(one.low, name) <= getattr(exact, name) <= getattr(one.high, name))
                low, high = between(STEPS, one.low.first, one.high.first)
                hits["range"].append(low <= exact.first <= high)
            found += [covering(WORDS[name], law, size, hits[name]) for name in WORDS]
            found.append(covering("checkpoints around the time to 2 %", law, size, hits["range"], "at least 95 %"))
    return found

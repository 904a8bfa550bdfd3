"""Ratios of condition numbers from all eigenvalues: intervals over samples, and over samples and seeds."""

from __future__ import annotations

import numpy as np
from sample_ratios import SIZE, jacobians

from twirlscope.estimators.curvature.condition_numbers import MEASURES
from twirlscope.estimators.curvature.eigenvalues import Spectrum
from twirlscope.estimators.curvature.exact_ratios import exact_ratio, ratio_over_seeds

from .row import Row, covering

NAMES = {"kappa_E90": "κ_E90", "kappa_E99": "κ_E99", "kappa_GD10": "κ_GD10", "effective_rank": "effective rank"}
SIZES = ((6, 3), (8, 4), (12, 6))  # samples and groups
SEEDS, SPREAD = 3, 0.2  # of a training: number, and standard deviation of the logarithm of its decays
DECAY = {"mean": 0.8, "equiv": 0.4}

Pair = tuple[Spectrum, Spectrum]


def rows(repeats: int) -> list[Row]:
    """Coverage of the median ratio over draws of as many samples, and of seeds."""
    found = []
    for samples, groups in SIZES:
        drawn = [_drawn(np.random.default_rng(seed), samples, groups, 1) for seed in range(repeats)]
        found += _coverage("ratio of {}, exact", f"{samples} samples in {groups} groups", drawn)
    samples, groups = SIZES[1]
    drawn = [_drawn(np.random.default_rng(seed), samples, groups, SEEDS) for seed in range(repeats)]
    where = f"{SEEDS} seeds, {samples} samples in {groups} groups"
    return found + _coverage("ratio of {}, exact, over seeds", where, drawn)


def _coverage(words: str, size: str, drawn: list) -> list[Row]:
    """One row per condition number."""
    found = []
    for name, label in NAMES.items():
        each = np.array([_interval(seeds, MEASURES[name][0]) for seeds in drawn])
        truth = np.median(each[:, 0])
        hits = list((each[:, 1] <= truth) & (truth <= each[:, 2]))
        found.append(covering(words.format(label), "means of random matrices", size, hits))
    return found


def _interval(seeds: list, measure) -> tuple[float, float, float]:
    """The ratio and its interval, as the stage and the report compute them."""
    if len(seeds) == 1:
        (pair, left_out), *_ = seeds
        return exact_ratio(*pair, measure, left_out=left_out)
    ratio = np.array([exact_ratio(*pair, measure)[0] for pair, _ in seeds])
    left_out = np.array([[exact_ratio(*p, measure)[0] for p in others] for _, others in seeds])
    return ratio_over_seeds(ratio, left_out)


def _drawn(random: np.random.Generator, samples: int, groups: int, seeds: int) -> list[tuple[Pair, list[Pair]]]:
    """Both spectra of every seed on the same draw of samples, and those without each group."""
    state, found = random.integers(2**31), []
    for _ in range(seeds):
        shift = SPREAD * random.normal(size=2) if seeds > 1 else np.zeros(2)
        draws = np.random.default_rng(state)  # the same samples for every seed
        both = [jacobians(samples, d * np.exp(s), draws) for d, s in zip(DECAY.values(), shift, strict=True)]
        number = np.arange(samples) % groups
        keep = [np.ones(samples, bool), *(number != k for k in range(groups))]
        whole, *others = [tuple(_spectrum(rows[some]) for rows in both) for some in keep]
        found.append((whole, others))
    return found


def _spectrum(rows: np.ndarray) -> Spectrum:
    """All eigenvalues of the mean curvature of the samples: squares of singular values, and zeros."""
    value = np.zeros(SIZE)
    singular = np.linalg.svd(rows.reshape(-1, SIZE) / len(rows) ** 0.5, compute_uv=False)
    value[: len(singular)] = singular**2
    value = np.sort(value)
    error = np.full(SIZE, SIZE**0.5 * np.finfo(float).eps * value[-1])
    return Spectrum(value, error, np.full((1, SIZE), 1 / SIZE), SIZE, True, np.zeros(0))

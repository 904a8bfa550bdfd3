"""Ratios of condition numbers of two random matrices, each a mean over samples, whose law over samples is known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from twirlscope.curvature.lanczos import lanczos
from twirlscope.estimators.curvature.condition_numbers import MEASURES, Spectrum, ratio

SIZE, ROWS = 200, 12  # parameters, and components of the prediction of a sample
DECAY = {"mean": 0.8, "equiv": 0.4}  # of the root of the mean curvature along the axes
SPREAD = (0.5, 0.2)  # standard deviations over samples: of the logarithm of the size, and of the decay


def jacobians(samples: int, decay: float, random: np.random.Generator) -> np.ndarray:
    """Random Jacobians of predictions, `[sample, row, parameter]`; curvature is the mean of J'J, as of Gauss-Newton."""
    size, decay = np.exp(SPREAD[0] * random.normal(size=samples)), decay + SPREAD[1] * random.normal(size=samples)
    scale = size[:, None] * np.arange(1.0, SIZE + 1) ** -decay[:, None]
    return random.normal(size=(samples, ROWS, SIZE)) * scale[:, None]


def spectrum(rows: np.ndarray, probes: int, steps: int) -> Spectrum:
    """Lanczos run on the mean curvature of the samples."""
    flat = torch.as_tensor(rows.reshape(-1, SIZE) / len(rows) ** 0.5)
    start = torch.randn(SIZE, probes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return lanczos(lambda v: flat.T @ (flat @ v), start, steps)


def drawn(seed: int, samples: int, groups: int, depth: tuple[int, int]) -> tuple:
    """Both spectra of a draw of samples, and those of its groups at half the depth."""
    random = np.random.default_rng(seed)
    both = [jacobians(samples, decay, random) for decay in DECAY.values()]
    run = partial(_pair, both, depth[0])
    return run(depth[1], slice(None)), [run(depth[1] // 2, slice(k, None, groups)) for k in range(groups)]


def _pair(both: Sequence[np.ndarray], probes: int, steps: int, some: slice) -> tuple[Spectrum, Spectrum]:
    return tuple(spectrum(rows[some], probes, steps) for rows in both)


def coverage(
    draws: int, samples: int, groups: int, measures: Sequence[str], depth: tuple[int, int] = (3, 8)
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the intervals that hold the median ratio over draws of as many samples, with and without the groups.

    Args:
        depth: probes and steps.
    """
    found = [drawn(seed, samples, groups, depth) for seed in range(draws)]
    hits, bare = [], []
    for name in measures:
        measure = MEASURES[name][0]
        each = np.array([ratio(*pair, measure, groups=parts) for pair, parts in found])
        truth = np.median(each[:, 0])
        hits.append(np.mean((each[:, 1] <= truth) & (truth <= each[:, 2])))
        alone = np.array([ratio(*pair, measure) for pair, _ in found])
        bare.append(np.mean((alone[:, 1] <= truth) & (truth <= alone[:, 2])))
    return np.array(hits), np.array(bare)

"""Means and ratios over seeds: intervals of three and five seeds whose logarithms are normal, or have a long tail."""

from __future__ import annotations

import numpy as np

from twirlscope.estimators import over_seeds

from .row import Row, covering

SEEDS = ((2, 2), (3, 3), (3, 2), (5, 5))
SPREADS = ((0.05, 0.05), (0.2, 0.02))  # standard deviations of the logarithms on both sides
LAWS = {"normal logarithms": np.inf, "logarithms of Student's t, 4 degrees of freedom": 4}


def rows(repeats: int) -> list[Row]:
    """Coverage of geometric means and of their ratios."""
    found = []
    for counts in SEEDS:
        for spread in SPREADS:
            for law, freedom in LAWS.items():
                random, hits = np.random.default_rng(counts), {"mean": [], "ratio": []}
                for _ in range(repeats):
                    sides = [
                        np.exp(s * random.standard_t(freedom, n) if np.isfinite(freedom) else s * random.normal(size=n))
                        for s, n in zip(spread, counts, strict=True)
                    ]
                    mean, ratio = over_seeds.geometric_mean(sides[0]), over_seeds.ratio(*sides)
                    hits["mean"].append(mean.low <= 1 <= mean.high)
                    hits["ratio"].append(ratio.low <= 1 <= ratio.high)
                words = f"{law}, spread {spread[0]:g} and {spread[1]:g}"
                size = f"{counts[0]} and {counts[1]} seeds"
                found.append(covering("geometric mean over seeds", words, size, hits["mean"]))
                found.append(covering("ratio of geometric means", words, size, hits["ratio"], "95 % or more"))
    return found

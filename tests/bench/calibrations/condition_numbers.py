"""Condition numbers: the rule of convergence, standard errors over probes, intervals of ratios over samples."""

from __future__ import annotations

from itertools import chain

import numpy as np
import sample_ratios
from known_spectra import exact, run, spectra
from scipy.stats import t as student

from twirlscope.estimators.curvature.condition_numbers import MEASURES, TOLERANCE, estimate
from twirlscope.estimators.curvature.exact_measures import EXACT_ONLY

from .row import Row, covering

DEPTHS = ((3, 8), (3, 24), (4, 40))  # the default, and deeper
SIZE = 2000
RATIOS = {"kappa_E90": "κ_E90", "kappa_GD10": "κ_GD10", "effective_rank": "effective rank"}


def rows(repeats: int) -> list[Row]:
    """Converged numbers that are off, coverage of the intervals over probes, coverage of ratios over samples."""
    found = [row for depth in DEPTHS for row in _converged(depth, max(repeats // 8, 1))]
    for probes, steps in DEPTHS[:2]:
        hits, _ = sample_ratios.coverage(repeats, 6, 3, list(RATIOS), (probes, steps))
        size = f"6 samples in 3 groups, {probes} probes, {steps} steps"
        for words, share in zip(RATIOS.values(), hits, strict=True):
            found.append(Row(f"ratio of {words}", "means of random matrices", size, "95 %", float(share), repeats))
    return found


def _converged(depth: tuple[int, int], seeds: int) -> list[Row]:
    """Share of the converged numbers that are off by more than the tolerance, and coverage of their interval."""
    off: dict[str, list] = {name: [] for name, (measure, _) in MEASURES.items() if measure not in EXACT_ONLY}
    held: dict[str, list] = {name: [] for name in off}
    every = 0
    for value in spectra(SIZE).values():
        truth = {name: exact(name, value) for name in off}
        for one in (run(value, *depth, seed) for seed in range(seeds)):
            for name in off:
                measure = MEASURES[name][0]
                found = estimate(one, measure)
                every += 1
                if found.converged and truth[name]:
                    off[name].append(abs(found.value / truth[name] - 1) > TOLERANCE)
                    width = student.ppf(0.975, depth[0] - 1) * found.error + found.change
                    held[name].append(abs(found.value - truth[name]) <= width)
    size, law = f"{depth[0]} probes, {depth[1]} steps", f"{len(spectra(SIZE))} spectra of {SIZE} eigenvalues"
    share = f"{100 * np.mean([len(each) for each in off.values()]) * len(off) / every:.0f} % of all have converged"
    pooled = [covering(f"converged, but off ({share})", law, size, list(chain(*off.values())), "at most 5 %")]
    pooled += [covering(f"converged, but off: {name}", law, size, off[name], "at most 5 %") for name in RATIOS]
    return [
        *pooled,
        covering("converged numbers, probes and depth", law, size, list(chain(*held.values())), "95 % or more"),
    ]

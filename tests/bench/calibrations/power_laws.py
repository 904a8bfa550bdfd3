"""Exponents of power laws, their differences, and ratios of two laws, at the sizes of config/mini_scaling.yaml."""

from __future__ import annotations

from power_worlds import WORDS, coverage, frontier_coverage, resampled_coverage

from .row import Row, covering

SIZES = ((4, 2), (5, 2), (6, 2), (5, 3))  # runs and seeds
NOISES = ((0.1, 0.0), (0.05, 0.05), (0.03, 0.1))  # of seeds and of runs
GRIDS = ((3, 5, 2), (3, 6, 2), (4, 6, 2))  # sizes, budgets, seeds


def rows(repeats: int) -> list[Row]:
    """Coverage of all intervals, and of those of the runs with the lowest loss at their cost."""
    found = []
    for runs, seeds in SIZES:
        for noise in NOISES:
            law, size = "errors of seeds {:g}, of runs {:g}".format(*noise), f"{runs} runs, {seeds} seeds"
            shares = coverage(repeats, runs, seeds, *noise)
            found += [Row(WORDS[name], law, size, "95 %", share, repeats) for name, share in shares.items()]
            hits = resampled_coverage(repeats, runs, seeds, *noise)
            found.append(covering("exponent by resampled runs and seeds, not used", law, size, hits, "90 to 99 %"))
    for sizes, budgets, seeds in GRIDS:
        for noise in NOISES:
            law = "errors of seeds {:g}, of runs {:g}".format(*noise)
            size = f"{sizes} sizes, {budgets} budgets, {seeds} seeds"
            hits = frontier_coverage(repeats, sizes, budgets, seeds, *noise)
            found.append(covering("exponent of the lowest loss of every octave", law, size, hits, "92 % or more"))
    return found

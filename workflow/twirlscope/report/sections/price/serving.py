"""Losses that one total budget allows, when a part of it pays for inferences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...._typing import Array, Float, Mapping
from .comparison import BUILT_IN, LEARNED, TWIRLED, Axis, Comparison
from .crossover import best, difference, last_change, measured_range

POINTS, DECADES = 49, 3  # of the grid of numbers of inferences, below the largest one


@dataclass(frozen=True)
class BudgetCurve:
    """Lowest loss within one total budget against the number of inferences, by family.

    budget: of training and inferences together, the largest that both families were trained for.
    inferences: a logarithmic grid, up to the number at which inferences use the whole budget.
    loss: the estimate first, then the resamples; infinite if the budget does not suffice.
    alone: True if a run has one seed, so that nothing has an interval.
    """

    axis: str
    budget: float
    inferences: Float[Array, " number"]
    loss: Mapping[str, Float[Array, "resample number"]]
    alone: bool = False


@dataclass(frozen=True)
class BestRange:
    """A range of numbers of inferences within which one family has the lowest loss.

    low, high: ends of the range on the grid.
    from_low, from_high: 95 % interval of its beginning; 0 for the first range.
    share: least share of the resamples, over the range, in which the family has the lowest loss.

    The interval and the share are NaN where a run has one seed.
    """

    family: str
    low: float
    high: float
    from_low: float
    from_high: float
    share: float


def budget_curve(axis: Axis, comparison: Comparison) -> BudgetCurve | None:
    """The losses within the largest common budget; None if inferences have no cost here, or no family has learned."""
    limits = measured_range([axis.families[LEARNED], axis.families[BUILT_IN]], comparison.learned)
    if TWIRLED not in axis.families or limits is None:
        return None
    end, cheapest = limits[1], min(axis.serving[LEARNED] + axis.serving[BUILT_IN])
    most = math.exp(end) / cheapest
    grid = np.geomspace(most * 10.0**-DECADES, most, POINTS)
    loss = {family: _losses(axis, family, grid, math.exp(end)) for family in axis.families}
    return BudgetCurve(axis.name, math.exp(end), grid, loss, bool(comparison.alone))


def _losses(axis: Axis, family: str, grid: Float[Array, " number"], budget: float) -> Float[Array, "resample number"]:
    """The lowest loss of the family; its inferences are paid first, and the rest of the budget is for training."""
    losses = []
    for curves, serving in zip(axis.families[family], axis.serving[family], strict=True):
        with np.errstate(divide="ignore"):
            left = np.log(np.maximum(budget - grid * serving, 0))
        losses.append(best([curves], left[None]))
    return np.exp(np.min(losses, 0))


def best_ranges(curve: BudgetCurve) -> list[BestRange]:
    """The best family by number of inferences, as ranges; numbers that no family can serve are in none."""
    families, stack = list(curve.loss), np.stack(list(curve.loss.values()))
    chosen = np.where(np.isfinite(stack[:, 0].min(0)), stack[:, 0].argmin(0), -1)
    lowest = np.where(np.isfinite(stack[:, 1:].min(0)), stack[:, 1:].argmin(0), -1)
    edges = [0, *(np.flatnonzero(np.diff(chosen)) + 1), len(chosen)]
    ranges = []
    for a, b in pairwise(edges):
        if chosen[a] < 0:
            continue
        first, *ends = float(curve.inferences[a]), 0.0, 0.0
        if a and chosen[a - 1] >= 0:
            first, *ends = _change(curve, families[chosen[a - 1]], families[chosen[a]])
        share = float((lowest[:, a:b] == chosen[a]).mean(0).min())
        if curve.alone:
            ends, share = [math.nan, math.nan], math.nan
        ranges.append(BestRange(families[chosen[a]], first, float(curve.inferences[b - 1]), *ends, share))
    return ranges


def _change(curve: BudgetCurve, before: str, after: str) -> tuple[float, float, float]:
    """The number of inferences from which one family stays better than another, and its 95 % interval.

    Resamples in which neither has learned within the budget may have it anywhere: they widen the interval at both ends.
    """
    one, other = (np.log(curve.loss[f]) for f in (before, after))
    finite = np.isfinite(np.minimum(one, other))
    some = finite.any(1)
    known = finite[some].all(0)
    points = np.tile(np.log(curve.inferences[known]), (some.sum(), 1))
    gap = difference(one[some][:, known], other[some][:, known])
    changes = np.where(gap[:, -1] <= 0, np.inf, last_change(points, gap))
    low, high = (
        np.quantile(np.append(changes[1:], np.full((~some).sum(), unknown)), share, method="inverted_cdf")
        for unknown, share in ((-np.inf, 0.025), (np.inf, 0.975))
    )
    return math.exp(changes[0]), math.exp(low), math.exp(high)

"""What a total budget buys: the loss within reach after training, when part of the budget goes to inferences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...._typing import Array, Float, Mapping
from .comparison import BUILT_IN, LEARNED, TWIRLED, Axis
from .crossover import best, difference, last_change, measured_range

POINTS, DECADES = 49, 3  # numbers of inferences on the grid, and how far below the largest it begins


@dataclass(frozen=True)
class Reach:
    """Loss within reach at one total budget against the number of inferences, by family, in every bootstrap draw.

    budget: of training and inferences together, the largest that both families were trained for.
    inferences: a logarithmic grid, up to where the budget buys inferences alone.
    loss: infinite where the family cannot be had.
    """

    axis: str
    budget: float
    inferences: Float[Array, " number"]
    loss: Mapping[str, Float[Array, "draw number"]]


@dataclass(frozen=True)
class Stretch:
    """A range of numbers of inferences within which one family is best.

    low, high: ends of the range on the grid; its begin has the 95 % interval `from_low`, `from_high`, 0 where the range
        is the first.
    share: least share of the bootstrap draws, over the range, in which it is the best one.
    """

    family: str
    low: float
    high: float
    from_low: float
    from_high: float
    share: float


def reach(axis: Axis, learned: float) -> Reach | None:
    """The losses within reach; None where serving has no cost on this axis, or nothing is learned."""
    limits = measured_range([axis.families[LEARNED], axis.families[BUILT_IN]], learned)
    if TWIRLED not in axis.families or limits is None:
        return None
    end, cheapest = limits[1], min(axis.serving[LEARNED] + axis.serving[BUILT_IN])
    most = math.exp(end) / cheapest
    grid = np.geomspace(most * 10.0**-DECADES, most, POINTS)
    loss = {family: _losses(axis, family, grid, math.exp(end)) for family in axis.families}
    return Reach(axis.name, math.exp(end), grid, loss)


def _losses(axis: Axis, family: str, grid: Float[Array, " number"], budget: float) -> Float[Array, "draw number"]:
    """The lowest loss of the family, each of its runs trained with what its inferences leave of the budget."""
    found = []
    for curves, serving in zip(axis.families[family], axis.serving[family], strict=True):
        with np.errstate(divide="ignore"):
            left = np.log(np.maximum(budget - grid * serving, 0))
        found.append(best([curves], left[None]))
    return np.exp(np.min(found, 0))


def stretches(found: Reach) -> list[Stretch]:
    """The best family by number of inferences, as ranges; where none can be had there is none."""
    families, stack = list(found.loss), np.stack(list(found.loss.values()))
    chosen = np.where(np.isfinite(stack[:, 0].min(0)), stack[:, 0].argmin(0), -1)
    lowest = stack[:, 1:].argmin(0)
    edges = [0, *(np.flatnonzero(np.diff(chosen)) + 1), len(chosen)]
    made = []
    for a, b in pairwise(edges):
        if chosen[a] < 0:
            continue
        first, *ends = float(found.inferences[a]), 0.0, 0.0
        if a and chosen[a - 1] >= 0:
            first, *ends = _turn(found, families[chosen[a - 1]], families[chosen[a]])
        share = float((lowest[:, a:b] == chosen[a]).mean(0).min())
        made.append(Stretch(families[chosen[a]], first, float(found.inferences[b - 1]), *ends, share))
    return made


def _turn(found: Reach, before: str, after: str) -> tuple[float, float, float]:
    """Number of inferences from which one family is better than another, for good, and its 95 % interval."""
    one, other = (np.log(found.loss[f]) for f in (before, after))
    known = np.isfinite(np.minimum(one, other)).all(0)
    points = np.tile(np.log(found.inferences[known]), (len(one), 1))
    gap = difference(one[:, known], other[:, known])
    turns = np.where(gap[:, -1] <= 0, np.inf, last_change(points, gap))
    low, high = np.quantile(turns[1:], [0.025, 0.975], method="inverted_cdf")
    return math.exp(turns[0]), math.exp(low), math.exp(high)

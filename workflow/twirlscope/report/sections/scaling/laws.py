"""Power laws of families of trainings, and learned against built-in symmetry by them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from ...._typing import Sequence
from ....estimators import power_laws
from ....estimators.over_seeds import Interval
from ....estimators.power_laws import NOTHING, PowerLaw
from ...numbers import Column, Numbers, ends_of, numbers, with_ends
from .families import AXES, LOSS, Family, Run

AXIS_WORDS = {"flops": "FLOPs of training", "samples": "training samples", "parameters": "parameters"}
UNITS = {"flops": "TFLOP", "samples": "1", "parameters": "1"}
QUANTITIES = {
    LOSS: "held-out loss",
    "loss_mean": "twirled prediction error",
    "loss_equiv": "equivariance error",
    "percent_equiv": "percent of the loss",
}
ROUNDING = "rounding error alone"


COLUMNS = (
    Column("family", "network and objective"),
    Column("along", "in"),
    Column("runs", "runs"),
    Column("seeds", "seeds"),
    Column("octaves", "octaves", "1"),
    *with_ends("exponent", "exponent"),
    *with_ends("bend", "change of the exponent over the range"),
    Column("reason", "no exponent because"),
)
PAIRS = (
    Column("along", "in"),
    Column("built_in", "built in"),
    *with_ends("difference", "exponent, learned less built in"),
    *with_ends("ratio_start", "loss at the start, learned over built in"),
    *with_ends("ratio_end", "loss at the end, learned over built in"),
)


@dataclass(frozen=True)
class Law:
    """A quantity of a family against an axis.

    runs: by x.
    fitted: None without a law; `reason` then says why.
    """

    family: Family
    axis: str
    quantity: str
    runs: tuple[Run, ...]
    fitted: PowerLaw | None
    reason: str

    @property
    def octaves(self) -> float:
        """Range of x as a number of doublings; NaN of a single run."""
        return math.nan if len(self.runs) < 2 else math.log2(self.runs[-1].at(self.axis) / self.runs[0].at(self.axis))

    @property
    def interval(self) -> Interval:
        """The exponent with its interval; NaN without a law."""
        return self.fitted.interval if self.fitted else NOTHING


@dataclass(frozen=True)
class Pair:
    """The held-out loss of a learned and of a built-in symmetry by the same axis.

    difference: of the exponents, learned less built in: positive where built-in symmetry scales better.
    ends: common range of x.
    ratios: loss of the learned symmetry over that of the built-in one at both ends.
    """

    learned: Law
    built_in: Law
    difference: Interval
    ends: tuple[float, float] | None
    ratios: tuple[Interval, Interval]


def law(family: Family, axis: str, quantity: str) -> Law | None:
    """The law of a quantity; None for a family of which no run has learned."""
    runs = family.along(axis)
    if not runs:
        return None
    x, y = np.array([r.at(axis) for r in runs]), [r.values(quantity) for r in runs]
    reason = power_laws.obstacle(x, y)
    if quantity in ("loss_equiv", "percent_equiv") and any(r.is_at_floor for r in runs):
        reason = ROUNDING
    idle = sum(not r.has_learned for r in family.along(axis, learned=False))
    reason += f"; not yet learned: {idle}" if reason and idle else ""
    return Law(family, axis, quantity, tuple(runs), None if reason else power_laws.fit(x, y), reason)


def laws(every: Sequence[Family]) -> list[Law]:
    """All laws of families that have runs enough for one."""
    found = []
    for axis in AXES:
        enough = [f for f in every if len(f.along(axis, learned=False)) >= power_laws.RUNS]
        found += [one for q in QUANTITIES for f in enough if (one := law(f, axis, q)) is not None]
    return found


def pairs(found: Sequence[Law]) -> list[Pair]:
    """Every learned symmetry with every built-in one on the same task and data, where both have a law of the loss."""
    fitted = [one for one in found if one.fitted and one.quantity == LOSS]
    return [
        _pair(one, other)
        for one in fitted
        for other in fitted
        if not one.family.built_in and other.family.built_in and _place(one) == _place(other)
    ]


def _place(one: Law) -> tuple[str, str, str]:
    return one.family.dataset, one.family.task, one.axis


def _pair(one: Law, other: Law) -> Pair:
    ends = power_laws.common_range(one.fitted, other.fitted)
    ratios = tuple(power_laws.ratio(one.fitted, other.fitted, x) for x in ends) if ends else (NOTHING, NOTHING)
    return Pair(one, other, power_laws.difference(one.fitted, other.fitted), ends, ratios)


def law_numbers(found: Sequence[Law]) -> Numbers:
    """One row per law or reason."""
    rows = [
        {
            "dataset": one.family.dataset,
            "symmetry": one.family.symmetry,
            "family": one.family.name,
            "along": AXIS_WORDS[one.axis],
            "quantity": QUANTITIES[one.quantity],
            "runs": len(one.runs),
            "seeds": min(len(r.seeds) for r in one.runs),
            "octaves": one.octaves,
            **ends_of("exponent", one.interval),
            **ends_of("bend", one.fitted.bend if one.fitted else NOTHING),
            "reason": one.reason,
        }
        for one in found
    ]
    return numbers(pd.DataFrame(rows), COLUMNS)


def pair_numbers(found: Sequence[Pair]) -> Numbers:
    """One row per pair and axis."""
    rows = [
        {
            "dataset": one.learned.family.dataset,
            "along": AXIS_WORDS[one.learned.axis],
            "learned": one.learned.family.name,
            "built_in": one.built_in.family.name,
            **ends_of("difference", one.difference),
            **ends_of("ratio_start", one.ratios[0]),
            **ends_of("ratio_end", one.ratios[1]),
        }
        for one in found
    ]
    return numbers(pd.DataFrame(rows), PAIRS)


def by_place(found: Sequence[Law]) -> list[list[Law]]:
    """The laws of each dataset and task."""
    place = lambda one: (one.family.dataset, one.family.task)  # noqa: E731
    return [list(group) for _, group in groupby(sorted(found, key=place), key=place)]

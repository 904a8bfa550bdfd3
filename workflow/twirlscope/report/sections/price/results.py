"""Numbers of a comparison of built-in and learned symmetry: curves, crossovers, and losses within a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...._typing import Mapping, Sequence
from ...numbers import Column, Numbers, numbers
from ...trainings import Training
from .comparison import AXES, BUILT_IN, Axis, Comparison, axes, comparisons, pairs
from .crossover import Crossover, Curves
from .serving import BestRange, BudgetCurve, best_ranges, budget_curve

LOSS = ("loss", "loss_low", "loss_high")
CURVES = (
    Column("axis", "cost axis"),
    Column("cost", "cost", "1"),
    Column("inferences", "inferences", "1"),
    *(Column(n, f"loss{end}", "1") for n, end in zip(LOSS, ("", ", from", ", to"), strict=True)),
)
CROSSOVERS = (
    Column("inferences", "inferences", "1"),
    Column("other", "built in against"),
    Column("ahead", "ahead at the end"),
    Column("from", "from", "1"),
    Column("from_low", "from, low", "1"),
    Column("from_high", "from, high", "1"),
    Column("start", "range, start", "1"),
    Column("end", "range, end", "1"),
    Column("crossing", "gets ahead within", "%"),
    Column("throughout", "ahead throughout", "%"),
    Column("behind", "behind at the end", "%"),
    Column("ratio", "loss ratio", "1"),
    Column("ratio_low", "loss ratio, low", "1"),
    Column("ratio_high", "loss ratio, high", "1"),
)


@dataclass(frozen=True)
class Result:
    """A comparison and its numbers.

    crossovers: by axis and number of inferences, built-in symmetry against each other family.
    budgets: by axis, losses within one total budget; only where an inference has a cost.
    ranges: by axis, the best family within that budget by number of inferences.
    curves: best losses so far against every cost of training.
    """

    comparison: Comparison
    axes: Mapping[str, Axis]
    crossovers: Mapping[str, Mapping[float, Mapping[str, Crossover]]]
    budgets: Mapping[str, BudgetCurve]
    ranges: Mapping[str, Sequence[BestRange]]
    curves: Numbers | None
    served: Numbers | None


def results(trainings: Sequence[Training]) -> list[Result]:
    """One result per group of runs that holds both families."""
    return [_result(comparison) for comparison in comparisons(trainings)]


def _result(comparison: Comparison) -> Result:
    known = {axis.name: axis for axis in axes(comparison)}
    found = {name: budget_curve(axis, comparison) for name, axis in known.items()}
    budgets = {name: one for name, one in found.items() if one is not None}
    crossovers = {
        name: {n: pairs(axis, n, comparison) for n in [0.0, *_decades(budgets.get(name))]}
        for name, axis in known.items()
    }
    ranges = {name: best_ranges(curve) for name, curve in budgets.items()}
    curves = curve_numbers(comparison, known) if known else None
    return Result(comparison, known, crossovers, budgets, ranges, curves, budget_numbers(budgets) if budgets else None)


def _decades(curve: BudgetCurve | None) -> list[float]:
    """Powers of ten on the grid of numbers of inferences."""
    if curve is None:
        return []
    low, high = (math.log10(curve.inferences[i]) for i in (0, -1))
    return [10.0**e for e in range(math.ceil(low), math.floor(high) + 1)]


def curve_numbers(comparison: Comparison, known: Mapping[str, Axis]) -> Numbers:
    """Cost and best loss so far with its 95 % interval, one row per axis, run and checkpoint after step 0.

    A run of one seed has no interval.
    """
    parts = []
    for name, axis in known.items():
        for family, runs in comparison.runs.items():
            for run, curves in zip(runs, axis.families[family], strict=True):
                row = _interval(curves, run in comparison.alone)
                parts.append(pd.DataFrame({"axis": name, "family": family, "run": run} | row))
    return numbers(pd.concat(parts, ignore_index=True), CURVES)


def _interval(curves: Curves, alone: bool) -> dict[str, np.ndarray]:
    low, high = np.quantile(curves.loss[1:], [0.025, 0.975], axis=0, method="inverted_cdf") + (np.nan if alone else 0)
    return dict(zip(("cost", *LOSS), np.exp([curves.cost[0], curves.loss[0], low, high]), strict=True))


def budget_numbers(budgets: Mapping[str, BudgetCurve]) -> Numbers:
    """Losses within the budget, one row per axis, family and number of inferences that every resample can serve.

    There is no interval where a run has one seed.
    """
    parts = []
    for curve in budgets.values():
        for family, loss in curve.loss.items():
            known = np.isfinite(loss).all(0)
            low, high = np.quantile(loss[1:, known], [0.025, 0.975], axis=0) + (np.nan if curve.alone else 0)
            values = (curve.inferences[known], loss[0, known], low, high)
            columns = dict(zip(("inferences", *LOSS), values, strict=True))
            parts.append(pd.DataFrame({"axis": curve.axis, "family": family} | columns))
    return numbers(pd.concat(parts, ignore_index=True), CURVES)


def crossover_numbers(found: Sequence[Result]) -> Numbers | None:
    """One row per comparison, axis, number of inferences and pair of families; None if nothing can be compared."""
    rows = [
        _row(result.comparison.dataset, axis, inferences, family, one)
        for result in found
        for axis, by_inferences in result.crossovers.items()
        for inferences, families in by_inferences.items()
        for family, one in families.items()
    ]
    return numbers(pd.DataFrame(rows), CROSSOVERS) if rows else None


def _row(dataset: str, axis: str, inferences: float, family: str, found: Crossover) -> dict:
    return {
        "dataset": dataset,
        "cost": Column(axis, axis, AXES[axis]).title,
        "inferences": inferences,
        "other": family,
        "ahead": (family, BUILT_IN)[found.ahead],
        "from": found.cost,
        "from_low": found.low,
        "from_high": found.high,
        "start": found.start,
        "end": found.end,
        "crossing": 100 * found.crossing,
        "throughout": 100 * found.throughout,
        "behind": 100 * found.behind,
        "ratio": found.ratio,
        "ratio_low": found.ratio_low,
        "ratio_high": found.ratio_high,
    }

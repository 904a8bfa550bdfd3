"""Sentences on a comparison of built-in and learned symmetry: who is ahead by which cost, and within a budget."""

from __future__ import annotations

import math

from ...._typing import Sequence
from ...trainings import Training
from ...wording import plural, say
from .comparison import AXES, BUILT_IN, LEARNED, Comparison, groups
from .crossover import Crossover
from .results import Result
from .serving import BestRange, BudgetCurve

NAMES = {LEARNED: "learned symmetry", BUILT_IN: "built-in symmetry"}
UNITS = {"time": "s", "FLOPs": "FLOPs", "updates": "updates"}


def sentences(result: Result) -> list[str]:
    """The families, who is ahead by each cost and from where, and the best family within one budget.

    The first two are the families and the first cost.
    """
    found = [_families(result.comparison)]
    for axis in AXES:
        if axis in result.axes:
            found.append(_crossover(axis, result.crossovers[axis][0.0].get(LEARNED)))
        else:
            found.append(f"By {axis} they cannot be compared: it is not known for all, or not on the same device.")
    return found + [_budget(result.budgets[axis], ranges) for axis, ranges in result.ranges.items()]


def unpaired(trainings: Sequence[Training]) -> list[str]:
    """The runs with built-in symmetry that have no counterpart with learned symmetry."""
    found = []
    for group in groups(trainings):
        if group[BUILT_IN] and not group[LEARNED]:
            names = ", ".join(dict.fromkeys(t.run for t in group[BUILT_IN]))
            found.append(
                f"Symmetry is built into {names}, but no run with learned symmetry has the same data, task, number of "
                "training samples and held-out samples: there is nothing to compare its cost with."
            )
    return found


def _families(comparison: Comparison) -> str:
    """Both families, their runs and seeds, and the equivariance error of built-in symmetry."""
    built = [t for seeds in comparison.runs[BUILT_IN].values() for t in seeds]
    samples = built[0].twirl.sizes["sample"]
    left = max(float(t.twirl["percent_equiv"].sel(term="weighted")[-1]) for t in built)
    text = (
        f"On {comparison.dataset}, by {samples} held-out samples, {_family(comparison, LEARNED)} is compared with "
        f"{_family(comparison, BUILT_IN)}. At most {say(max(left, 0.0))} % of the final loss of the latter is "
        "equivariance error."
    )
    alone = ", ".join(comparison.alone)
    return text + (
        f" One seed of {alone}: variation between seeds is unknown, nothing has an interval." if alone else ""
    )


def _family(comparison: Comparison, family: str) -> str:
    """`learned symmetry (small, 3 seeds; large, 3 seeds)`."""
    counts = (f"{run}, {plural(len(seeds), 'seed')}" for run, seeds in comparison.runs[family].items())
    return f"{NAMES[family]} ({'; '.join(counts)})"


def _crossover(axis: str, found: Crossover | None) -> str:
    """The family that is ahead, and from which cost on, or that there is no crossing."""
    if found is None:
        return f"By {axis} neither has learned before the other's measurement ends."
    first, other = (NAMES[f] for f in ((LEARNED, BUILT_IN) if found.ahead == 0 else (BUILT_IN, LEARNED)))
    alone = math.isnan(found.ratio_low)
    ends = "one seed, no interval" if alone else f"95 % interval {say(found.ratio_low)} to {say(found.ratio_high)}"
    ratio = f"{say(found.ratio)} times that of {other} ({ends})"
    if found.cost is None:
        shares = (
            f", in {_percent(found.throughout)} of the resamples (a crossing in {_percent(found.crossing)}, behind at "
            f"the end in {_percent(found.behind)})"
        )
        return (
            f"By {axis} the curves do not cross in the measured range, {_amount(axis, found.start)} to "
            f"{_amount(axis, found.end)}: {first} is ahead throughout{'' if alone else shares}. At the end its loss is "
            f"{ratio}."
        )
    ends = "one seed, no interval" if alone else f"95 % interval {_ends(axis, found)}"
    text = (
        f"By {axis} the curves cross: {first} is ahead from {_amount(axis, found.cost)} on ({ends}), "
        f"to the end of what both were trained for, {_amount(axis, found.end)}"
    )
    text += f"; in {_percent(found.behind)} of the resamples it is behind there." if found.behind > 0 else "."
    return f"{text} Its loss there is {ratio}."


def _ends(axis: str, found: Crossover) -> str:
    """The interval of the crossing."""
    return f"{_end(axis, found.low, found)} to {_end(axis, found.high, found)}"


def _end(axis: str, value: float, found: Crossover) -> str:
    """An end of an interval, which may lie outside the measured range."""
    if value == 0:
        return f"before {_amount(axis, found.start)}"
    return f"beyond {_amount(axis, found.end)}" if math.isinf(value) else _amount(axis, value)


def _amount(axis: str, value: float) -> str:
    """A cost with its unit; times from one hour on in hours."""
    return f"{say(value / 3600)} h" if axis == "time" and value >= 3600 else f"{say(value)} {UNITS[axis]}"


def _percent(value: float) -> str:
    return f"{say(100 * value)} %"


def _budget(curve: BudgetCurve, ranges: Sequence[BestRange]) -> str:
    """The best family within a total budget, by number of inferences."""
    text = f"With {_amount(curve.axis, curve.budget)} for training and inferences together, "
    return text + ", then ".join(_range(one, i == 0) for i, one in enumerate(ranges)) + "."


def _range(one: BestRange, first: bool) -> str:
    name = NAMES.get(one.family, "learned symmetry twirled at test time")
    alone = math.isnan(one.share)
    ends = "one seed, no interval" if alone else f"95 % interval {_number(one.from_low)} to {_number(one.from_high)}"
    begin = "up to" if first else f"from {say(one.low)} ({ends}) to"
    share = "" if alone else f" (in at least {_percent(one.share)} of the resamples)"
    return f"{name} is best {begin} {say(one.high)} inferences{share}"


def _number(value: float) -> str:
    """A number of inferences, which may lie outside the grid."""
    if value == 0:
        return "less than the least examined"
    return "never" if math.isinf(value) else say(value)

"""What symmetry costs, in words and in a table: every number from the curves, every case said as what it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ...._typing import Mapping, Sequence
from ...tables import Table
from ...trainings import Training
from ...wording import say
from .comparison import AXES, BUILT_IN, LEARNED, Axis, Comparison, axes, comparisons, groups, pairs
from .crossover import Crossover
from .serving import Reach, Stretch, reach, stretches

NAMES = {LEARNED: "learned symmetry", BUILT_IN: "built-in symmetry"}
UNITS = {"time": "s", "FLOPs": "FLOPs", "updates": "updates"}


@dataclass(frozen=True)
class Verdict:
    """A comparison and what follows from it.

    crossovers: by axis and number of inferences, built-in symmetry against each other family.
    reaches: by axis, what a total budget buys; only where serving has a cost.
    """

    comparison: Comparison
    axes: Mapping[str, Axis]
    crossovers: Mapping[str, Mapping[float, Mapping[str, Crossover]]]
    reaches: Mapping[str, Reach]


def verdicts(trainings: Sequence[Training]) -> list[Verdict]:
    """One a group of runs that holds both families."""
    return [_verdict(comparison) for comparison in comparisons(trainings)]


def _verdict(comparison: Comparison) -> Verdict:
    known = {axis.name: axis for axis in axes(comparison)}
    found = {name: reach(axis, comparison.learned) for name, axis in known.items()}
    reaches = {name: each for name, each in found.items() if each is not None}
    crossed = {
        name: {n: pairs(axis, n, comparison.learned) for n in [0.0, *_decades(reaches.get(name))]}
        for name, axis in known.items()
    }
    return Verdict(comparison, known, crossed, reaches)


def _decades(found: Reach | None) -> list[float]:
    """Powers of ten on the grid of numbers of inferences."""
    if found is None:
        return []
    low, high = (math.log10(found.inferences[i]) for i in (0, -1))
    return [10.0**e for e in range(math.ceil(low), math.floor(high) + 1)]


def sentences(verdict: Verdict) -> list[str]:
    """What was compared, who is ahead by each cost and from where, and what a total budget buys."""
    said = [_compared(verdict.comparison)]
    for name in AXES:
        if name in verdict.axes:
            said.append(_crossed(name, verdict.crossovers[name][0.0].get(LEARNED)))
        else:
            said.append(f"By {name} they cannot be compared: it is not known for all, or not on the same device.")
    said += [_served(found) for found in verdict.reaches.values()]
    return said


def unpaired(trainings: Sequence[Training]) -> list[str]:
    """The runs with built-in symmetry that nothing stands beside."""
    said = []
    for group in groups(trainings):
        if group[BUILT_IN] and not group[LEARNED]:
            names = ", ".join(dict.fromkeys(t.run for t in group[BUILT_IN]))
            said.append(
                f"Symmetry is built into {names}, but no run with learned symmetry has the same data, task, number of "
                "training samples and held-out samples: there is nothing to compare its cost with."
            )
    return said


def _compared(comparison: Comparison) -> str:
    built = [t for seeds in comparison.runs[BUILT_IN].values() for t in seeds]
    samples = built[0].twirl.sizes["sample"]
    left = max(float(t.twirl["percent_equiv"].sel(term="weighted")[-1]) for t in built)
    text = f"On {comparison.dataset}, by {samples} held-out samples, {_family(comparison, LEARNED)} stands against "
    text += (
        f"{_family(comparison, BUILT_IN)}, of whose final loss at most {say(max(left, 0.0))} % is equivariance error."
    )
    alone = [run for runs in comparison.runs.values() for run, seeds in runs.items() if len(seeds) == 1]
    if alone:
        text += (
            f" There is one seed alone of {', '.join(alone)}: the intervals know of held-out samples, not of its luck."
        )
    return text


def _family(comparison: Comparison, family: str) -> str:
    """`learned symmetry (small, 3 seeds; large, 3 seeds)`."""
    counts = (f"{run}, {len(s)} seed{'s' * (len(s) > 1)}" for run, s in comparison.runs[family].items())
    return f"{NAMES[family]} ({'; '.join(counts)})"


def _crossed(axis: str, found: Crossover | None) -> str:
    """Who is ahead, and from which cost on, or that there is no crossing."""
    if found is None:
        return f"By {axis} neither has learned anything before the other's measurement ends."
    first, other = (NAMES[f] for f in ((LEARNED, BUILT_IN) if found.ahead == 0 else (BUILT_IN, LEARNED)))
    if found.cost is None:
        text = f"By {axis} the curves do not cross in the measured range, {_amount(axis, found.start)} to "
        text += (
            f"{_amount(axis, found.end)}: {first} is ahead throughout, in {_share(found.throughout)} of the bootstrap "
        )
        text += f"draws (a crossing in {_share(found.crossing)}, behind at the end in {_share(found.behind)})."
    else:
        ends = f"{_end(axis, found.low, found)} to {_end(axis, found.high, found)}"
        text = (
            f"By {axis} the curves cross: {first} is ahead from {_amount(axis, found.cost)} on (95 % interval {ends}), "
        )
        text += f"to the end of what both were trained for, {_amount(axis, found.end)}"
        text += f"; in {_share(found.behind)} of the bootstrap draws it is behind there." if found.behind else "."
    ratio = (
        f"{say(found.ratio)} times that of {other} (95 % interval {say(found.ratio_low)} to {say(found.ratio_high)})"
    )
    return f"{text} Its loss there is {ratio}." if found.cost is not None else f"{text} At the end its loss is {ratio}."


def _end(axis: str, value: float, found: Crossover) -> str:
    """An end of an interval, which may lie outside of what was measured."""
    if value == 0:
        return f"before {_amount(axis, found.start)}"
    return f"beyond {_amount(axis, found.end)}" if math.isinf(value) else _amount(axis, value)


def _amount(axis: str, value: float) -> str:
    """A cost with its unit; hours from one on."""
    return f"{say(value / 3600)} h" if axis == "time" and value >= 3600 else f"{say(value)} {UNITS[axis]}"


def _share(value: float) -> str:
    return f"{say(100 * value)} %"


def _served(found: Reach) -> str:
    """Which family is best at a total budget, by number of inferences."""
    parts = stretches(found)
    text = f"With {_amount(found.axis, found.budget)} for training and inferences together, "
    return text + ", then ".join(_stretch(part, i == 0) for i, part in enumerate(parts)) + "."


def _stretch(part: Stretch, first: bool) -> str:
    name = NAMES.get(part.family, "learned symmetry twirled at test time")
    begin = (
        "" if first else f"from {say(part.low)} (95 % interval {_number(part.from_low)} to {_number(part.from_high)}) "
    )
    return f"{name} is best {begin}to {say(part.high)} inferences (in {_share(part.share)} of the draws at least)"


def _number(value: float) -> str:
    """A number of inferences, which may lie outside of the grid."""
    if value == 0:
        return "less than was looked at"
    return "never" if math.isinf(value) else say(value)


def crossover_table(verdicts: Sequence[Verdict]) -> Table | None:
    """One row a comparison, cost, number of inferences and pair of families; None where nothing can be compared."""
    rows = [
        _row(verdict.comparison.dataset, axis, number, family, found)
        for verdict in verdicts
        for axis, numbers in verdict.crossovers.items()
        for number, families in numbers.items()
        for family, found in families.items()
    ]
    if not rows:
        return None
    caption = (
        "The total cost of training and inferences from which the family that is ahead at the end of the measured "
        "range is ahead, with its 95 % interval (bootstrap over seeds and held-out samples); none where it is ahead "
        "throughout. 0 and infinity: before or beyond the measured range. Then the shares of the bootstrap draws in "
        "which it gets ahead within the range, is ahead throughout, or is behind at the end, and its loss at the end "
        "over that of the other family."
    )
    return Table("crossover", caption, pd.DataFrame(rows))


def _row(dataset: str, axis: str, number: float, family: str, found: Crossover) -> dict:
    names = (family, BUILT_IN)
    return {
        "dataset": dataset,
        "cost": f"{axis} [{AXES[axis]}]" if AXES[axis] != "1" else axis,
        "inferences [1]": number,
        "built in against": family,
        "ahead at the end": names[found.ahead],
        "from [1]": found.cost,
        "from, low [1]": found.low,
        "from, high [1]": found.high,
        "range, start [1]": found.start,
        "range, end [1]": found.end,
        "gets ahead within [%]": 100 * found.crossing,
        "ahead throughout [%]": 100 * found.throughout,
        "behind at the end [%]": 100 * found.behind,
        "loss ratio [1]": found.ratio,
        "loss ratio, low [1]": found.ratio_low,
        "loss ratio, high [1]": found.ratio_high,
    }

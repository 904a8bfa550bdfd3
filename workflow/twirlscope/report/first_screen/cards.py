"""Cards of the first screen: symmetry, speed, quality and cost of the networks of one task."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..._typing import Mapping, Sequence
from ..headline import physical_error
from ..sections.chains import generated_chains
from ..sections.course.courses import course_of
from ..sections.course.tables import range_words, row
from ..sections.price.comparison import LEARNED
from ..sections.price.results import Result
from ..trainings import (
    PRIMARY,
    Training,
    at_floor,
    by_run,
    claims_equivariance,
    primary_term,
    under_all_rotations,
)
from ..wording import plural, say

EXACT = "rounding error"  # in place of a percentage


@dataclass(frozen=True)
class Card:
    """Results of the trainings of one task on one dataset, in words.

    networks: models, parameters, seeds.
    error: the equivariance error at the end, in percent of the loss of the term; the range over trainings.
    interval: its 95 % intervals, and what the error is a share of.
    facts: by name, in the order of the card.
    """

    heading: str
    networks: str
    error: str
    interval: str
    facts: Mapping[str, str]


def cards(trainings: Sequence[Training], comparisons: Sequence[Result], threshold: float) -> list[Card]:
    """One card per task and dataset, in the order of the trainings."""
    groups: dict[tuple[str, str], list[Training]] = {}
    for training in trainings:
        groups.setdefault((task_words(training), training.dataset), []).append(training)
    return [_card(*names, group, comparisons, threshold) for names, group in groups.items()]


def task_words(training: Training) -> str:
    """The name of the task in words, `network` where the store does not say."""
    return str(training.spec.get("task", {}).get("name", "network")).replace("_", " ")


def _card(task: str, dataset: str, group: Sequence[Training], comparisons: Sequence[Result], threshold: float) -> Card:
    learned = [t for t in group if not claims_equivariance(t)]
    built = [t for t in group if claims_equivariance(t)]
    about, term = learned or built, primary_term(group[0])
    error, interval = _error(about)
    facts = {f"Below {threshold:g} %": _below(learned, threshold)} if learned else {}
    facts |= _quality(about, term) | {"Built in": _built_in(built, learned, comparisons)}
    heading = f"{task[:1].upper()}{task[1:]}" + (f" · {dataset}" if dataset else "")
    share = f"of the loss of the {term} is equivariance error"
    return Card(heading, _networks(about), error, f"{share}{interval}", facts)


def _networks(group: Sequence[Training]) -> str:
    """Models, parameters, seeds and time of a training."""
    runs = by_run(group)
    models = list(dict.fromkeys(str(t.spec.get("model", {}).get("name", t.run)) for t in group))
    sizes = sorted({int(t.attrs["parameters"]) for t in group if "parameters" in t.attrs})
    size = f"{sizes[0]:,}" + (f" to {sizes[-1]:,}" if len(sizes) > 1 else "") + " parameters" if sizes else ""
    first = models[0] if len(models) == 1 else plural(len(models), "model")
    count = plural(len(group), "seed") if len(runs) == 1 else f"{len(runs)} runs, {plural(len(group), 'training')}"
    seconds = [float(t.attrs["seconds"]) / 60 for t in group if "seconds" in t.attrs]
    time = f"{_range(np.array(seconds))} min" if seconds else ""
    return ", ".join(filter(None, (first, size, count, time)))


def _error(group: Sequence[Training]) -> tuple[str, str]:
    """The error at the end over all trainings, and its intervals in words."""
    above = [t for t in group if not at_floor(t, PRIMARY)[-1]]
    if not above:
        return EXACT, ""
    last = [t.last(PRIMARY) for t in above]
    ends = [np.array([float(one[f"percent_equiv{end}"]) for one in last]) for end in ("", "_low", "_high")]
    words = f" (95 % interval {say(ends[1].min())} to {say(ends[2].max())} %)"
    words = words.replace("interval", "intervals within") if len(above) > 1 else words
    if any(under_all_rotations(t, primary_term(t))[1] for t in above):
        words += ", a lower bound from the 24 rotations of a cube"
    if any(bool(one["trivial"]) for one in last):
        words += "; not every training has learned"
    return f"{_range(ends[0])} %", words


def _range(values: np.ndarray) -> str:
    """The value, or the smallest and the largest of several."""
    low, high = say(float(values.min())), say(float(values.max()))
    return low if low == high else f"{low} to {high}"


def _below(group: Sequence[Training], threshold: float) -> str:
    """The steps from which the error stays below the threshold, as a range over trainings."""
    ends = []
    for training in group:
        one = course_of(training, primary_term(training), threshold)
        cells = row(one.step, one.measured) if one.measured else {}
        if math.isfinite(cells.get("last_to", math.inf)):
            ends.append((cells["last_from"], cells["last_to"]))
    if not ends:
        return "not at the end of the training"
    words = range_words(min(low for low, _ in ends), max(high for _, high in ends))
    words = f"for good {words}" if words.startswith("by") else f"for good from step {words} on"
    words = words.replace("by ", "by step ")
    return words + (f", in {len(ends)} of {len(group)} seeds" if len(ends) < len(group) else "")


def _quality(group: Sequence[Training], term: str) -> dict[str, str]:
    """The task's own metric and the learned fraction at the end."""
    learned = f"{_range(np.array([100 * float(t.last(PRIMARY)['learned_fraction']) for t in group]))} % learned"
    found = {"Quality": learned}
    if "merit_value" in group[0].twirl:
        last = group[0].twirl["merit_value"].isel(step=-1)
        name = str(last["merit"].values[0])
        values = np.array([100 * float(t.twirl["merit_value"].sel(merit=name)[-1]) for t in group])
        found = {"Quality": f"{_range(values)} % of the atoms {name.removeprefix('atoms ')}; {learned}"}
    elif "generated_positions" in group[0].twirl:
        values = np.array([100 * generated_chains(t).difference for t in group if "generated_positions" in t.twirl])
        found = {"Quality": f"generated chains differ from data in {_range(values)} % of distances; {learned}"}
    elif str(group[0].twirl.attrs.get(f"unit_{term}", "1")) != "1":
        pairs = [physical_error(t, term) for t in group]
        found = {"Quality": f"RMSE {_range(np.array([value for value, _ in pairs]))} {pairs[0][1]}; {learned}"}
    return found


def _built_in(built: Sequence[Training], learned: Sequence[Training], comparisons: Sequence[Result]) -> str:
    """Error and cost of networks with built-in symmetry; a note if there are none."""
    if not built:
        return "not tested here"
    model = str(built[0].spec.get("model", {}).get("name", built[0].run))
    exact = all(at_floor(t, PRIMARY)[-1] for t in built)
    error = f"{model}: {EXACT}" if exact else f"{model}: {_error(built)[0]}"
    return "; ".join([error, *_ratios(built, learned, comparisons)])


def _ratios(built: Sequence[Training], learned: Sequence[Training], comparisons: Sequence[Result]) -> list[str]:
    """Loss after the same training time, and time of an inference, both over those of learned symmetry."""
    found, runs = [], set(by_run(built))
    for result in comparisons:
        one = result.crossovers.get("time", {}).get(0.0, {}).get(LEARNED)
        if one is not None and runs & {run for names in result.comparison.runs.values() for run in names}:
            ends = (one.ratio, one.ratio_low, one.ratio_high) if one.ahead else _inverse(one)
            sure = f" ({say(ends[1])} to {say(ends[2])})" if math.isfinite(ends[1]) else ""
            found.append(f"loss {say(ends[0])} times{sure} after the same time")
    cost = [[float(t.train["seconds_inference"]) for t in some if _timed(t)] for some in (built, learned)]
    if all(cost):
        times = say(float(np.median(cost[0]) / np.median(cost[1])))
        found.append("the same time per inference" if times == "1" else f"{times} times the time per inference")
    return found


def _inverse(one) -> tuple[float, float, float]:
    return 1 / one.ratio, 1 / one.ratio_high, 1 / one.ratio_low


def _timed(training: Training) -> bool:
    return training.train is not None and "seconds_inference" in training.train

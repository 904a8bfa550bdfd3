"""Tables and sentences of courses: start, time to 2 %, dip, rise, and end, of trainings and of published ones."""

from __future__ import annotations

import math
from typing import Any

from ...._typing import Array, Real, Sequence
from ....estimators.course import Measured, between
from ...numbers import Column, Numbers, numbers, percentage, rows_to_data
from ...published.curves import published_curves, source
from ...tables import Table, with_intervals
from ...trainings import Training, distinct_terms, off_floor, primary_term, with_term
from ...wording import listed, say
from .courses import EVERY, TimeBin, course_of, published_course, time_bins

VALUES = {"start": "start", "dip": "dip", "highest": "highest after the dip", "end": "end"}
PLACES = {"start": "start_step", "dip": "dip_step", "highest": "highest_step", "end": "end_step"}
TIMES = {"first": "first small", "last": "small from then on"}
COLUMNS = (
    *(column for name, words in VALUES.items() for column in percentage(name, words)),
    *(Column(PLACES[name], f"{words}, step", "1") for name, words in VALUES.items()),
    *(
        Column(f"{name}_{end}", f"{words}, {word}", "1")
        for name, words in TIMES.items()
        for end, word in (("from", "after"), ("to", "by"))
    ),
    *(Column(name, words, "steps") for name, words in TIMES.items()),
    Column("samples", "samples"),
    Column("bound", "lower bounds"),
)


# numbers


def row(step: Real[Array, " step"], found: Measured) -> dict[str, Any]:
    """The columns of a course.

    Args:
        step: checkpoints.
    """
    places = {"start": float(step[0]), "end": float(step[-1])}
    places |= {name: float(getattr(found.value, PLACES[name])) for name in ("dip", "highest")}
    cells: dict[str, Any] = {}
    for name in VALUES:
        for end, part in zip(("", "_low", "_high"), found, strict=True):
            cells[f"{name}{end}"] = float(getattr(part, name))
        cells[PLACES[name]] = places[name]
    for name in TIMES:
        ends = [float(getattr(part, name)) for part in found[1:]]
        ends = [float(getattr(found.value, name))] * 2 if math.isnan(sum(ends)) and not math.isinf(sum(ends)) else ends
        cells[f"{name}_from"], cells[f"{name}_to"] = between(step, *ends)
    return cells


def course_numbers(trainings: Sequence[Training], threshold: float) -> Numbers | None:
    """Courses of all trainings, one row per term and per bin of times; None without a checkpoint that has learned."""
    rows = [
        _training_row(training, term, threshold, part)
        for term in distinct_terms(trainings)
        for training in off_floor(with_term(trainings, term), term)
        for part in (None, *time_bins(training))
        if course_of(training, term, threshold, part).measured is not None
    ]
    return numbers(rows_to_data(rows), COLUMNS) if rows else None


def _training_row(training: Training, term: str, threshold: float, part: TimeBin | None) -> dict[str, Any]:
    one = course_of(training, term, threshold, part)
    name = {"run": training.run, "seed": training.seed, "term": term, "time": part.words if part else EVERY}
    return name | row(one.step, one.measured) | {"bound": one.bound}


def published_numbers(tasks: Sequence[str], threshold: float) -> Numbers | None:
    """Courses of the published trainings of these tasks; None without any."""
    rows = [
        {"training": curve.label, "task": curve.task} | row(curve.step, published_course(curve, threshold))
        for task in tasks
        for curve in published_curves(task, "percent_equiv")
        if curve.complete
    ]
    return numbers(rows_to_data(rows), COLUMNS) if rows else None


# tables


def brief(full: Numbers) -> Numbers:
    """The numbers for the page: intervals and steps in the cells of their values."""
    shown = with_intervals(full, list(VALUES))
    data = shown.data.copy()
    for name in ("dip", "highest"):
        steps = full.data[PLACES[name]]
        data[name] = [
            f"{cell}\nat {say(step)}" if step == step else cell for cell, step in zip(data[name], steps, strict=True)
        ]
    for name in TIMES:
        cells = zip(full.data[f"{name}_from"], full.data[f"{name}_to"], strict=True)
        data[name] = [range_words(*ends) for ends in cells]
    order = [c for c in data if c not in TIMES]
    place = order.index("dip")
    order = [*order[:place], "first", *order[place:], "last"]
    hidden = {*PLACES.values(), *(f"{name}_{end}" for name in TIMES for end in ("from", "to"))}
    hidden |= {"bound"} if "bound" in data and not data["bound"].any() else set()
    kept = [c for c in order if c not in hidden]
    return numbers(data[kept], COLUMNS)


def range_words(low: float, high: float) -> str:
    """A range of steps, such as `398 to 1000`.

    It is `by 46` for the first checkpoint that has learned, and `after 3500` for a time that was not reached.
    """
    if math.isinf(high):
        return f"after {say(low)}"
    return f"by {say(high)}" if low == high else f"{say(low)} to {say(high)}"


def course_table(trainings: Sequence[Training], threshold: float) -> Table | None:
    """The courses of all trainings; None without a checkpoint that has learned."""
    found = course_numbers(trainings, threshold)
    caption = (
        "Course of the equivariance error in percent of the held-out loss, at the checkpoints that have learned: first "
        f"value, range of steps in which it is first at {threshold:g} % or less, dip (the lowest value before the "
        "first rise of a quarter or more that is clear of noise), highest value after the dip, last value, and range "
        f"of steps from which it stays at {threshold:g} % or less. In brackets 95 % intervals, bootstrap over clusters "
        "of samples, the same resamples at all checkpoints; ranges of steps lie between checkpoints. After a step: "
        "not within the training. No dip: no such rise. Flow matching also by the time on its path."
    )
    return None if found is None else Table("courses", caption, found, brief(found))


def published_table(trainings: Sequence[Training], threshold: float) -> Table | None:
    """The courses of the published trainings of the same tasks; None without any."""
    found = published_numbers(tasks_of(trainings), threshold)
    caption = (
        "The same for the published trainings of the same tasks, calculated from the published curves by the same "
        f"definitions. In brackets the error of reading figures alone. {source()}. Published force fields were trained "
        "without rotated samples, but for one."
    )
    return None if found is None else Table("published_courses", caption, found, brief(found))


def tasks_of(trainings: Sequence[Training]) -> list[str]:
    """Names of the tasks."""
    return list(dict.fromkeys(str(t.spec["task"]["name"]) for t in trainings if t.spec))


# sentences


def sentences(trainings: Sequence[Training], threshold: float) -> list[str]:
    """One sentence per training on its primary term, and the bins of times that end above the threshold."""
    return [found for t in trainings if (found := _sentence(t, threshold))]


def _sentence(training: Training, threshold: float) -> str:
    term = primary_term(training)
    one = course_of(training, term, threshold)
    if one.measured is None or not off_floor([training], term):
        return ""
    cells = row(one.step, one.measured)
    first, limit = range_words(cells["first_from"], cells["first_to"]), f"{threshold:g} %"
    words = f"{training.label}, {term}: from {say(cells['start'])} % at step {say(cells['start_step'])}"
    words += (
        f", first at {limit} or less {_at_steps(first)}" if math.isfinite(cells["first_to"]) else f", not at {limit}"
    )
    if math.isfinite(cells["dip"]):
        words += f"; lowest {say(cells['dip'])} % at step {say(cells['dip_step'])}, then up to "
        words += f"{say(cells['highest'])} % at step {say(cells['highest_step'])}"
    words += f"; {say(cells['end'])} % at the end."
    above = [part.words for part in time_bins(training) if _ends_above(training, term, threshold, part)]
    return words + (f" Above {limit} at the end for {listed(above)}." if above else "")


def _at_steps(first: str) -> str:
    """A range of steps in a sentence."""
    return f"by step {first.removeprefix('by ')}" if first.startswith("by") else f"in steps {first}"


def _ends_above(training: Training, term: str, threshold: float, part: TimeBin) -> bool:
    measured = course_of(training, term, threshold, part).measured
    return measured is not None and float(measured.value.end) > threshold

"""Courses of the equivariance error of trainings and of published ones, by term and by time on the path of a flow.

Only checkpoints that have learned count: before, a percentage means nothing. The times of a flow are in bins around
those of the published curves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...._typing import Array, Bool, Int
from ....estimators.course import Course, Measured, course, measured_course
from ...published.curves import PublishedCurve
from ...trainings import Training, under_all_rotations

EVERY = "all"  # samples
TIME_EDGES = (0.0, 0.3, 0.5, 0.7, 0.85, 1.0)
LEAST = 8  # samples of a bin
RESAMPLES = 500
NEEDED = ("trivial", "sample_loss_equiv", "sample_loss_mean", "cluster")  # arrays of the store


class TimeBin(NamedTuple):
    """Held-out samples of a flow whose times lie between two edges."""

    words: str
    chosen: Bool[Array, " sample"]


def bin_words(number: int) -> str:
    """The edges of a bin, such as `t 0.7 to 0.85`."""
    return f"t {TIME_EDGES[number]:g} to {TIME_EDGES[number + 1]:g}"


def bin_of(time: float) -> str:
    """The bin of a time in words."""
    return bin_words(min(int(np.searchsorted(TIME_EDGES, time, side="right")) - 1, len(TIME_EDGES) - 2))


def time_bins(training: Training) -> list[TimeBin]:
    """Bins of times with samples enough; empty for tasks without a time."""
    words = str(training.twirl.attrs.get("covariate", ""))
    if "sample_covariate" not in training.twirl or not words.startswith("time"):
        return []
    place = np.searchsorted(TIME_EDGES[1:-1], training.twirl["sample_covariate"].values, side="right")
    bins = [TimeBin(bin_words(k), place == k) for k in range(len(TIME_EDGES) - 1)]
    return [one for one in bins if one.chosen.sum() >= LEAST]


class TrainingCourse(NamedTuple):
    """The course of one training, of all samples or of a bin.

    step: checkpoints that have learned; empty without any, and `measured` is then None.
    percent, low, high: at these checkpoints.
    bound: True if the percentages are under the rotations of a cube alone, a lower bound.
    """

    step: Int[Array, " step"]
    measured: Measured | None
    bound: bool


def course_of(training: Training, term: str, threshold: float, part: TimeBin | None = None) -> TrainingCourse:
    """The course of a training, calculated once."""
    key = (f"{term} {threshold:g}", part.words if part else EVERY)
    if key not in training.courses:
        training.courses[key] = _course_of(training, term, threshold, part)
    return training.courses[key]


def _course_of(training: Training, term: str, threshold: float, part: TimeBin | None) -> TrainingCourse:
    data, bound = under_all_rotations(training, term)
    data = data[[name for name in NEEDED if name in data]]
    data = data.isel(step=np.flatnonzero(~data["trivial"].values))
    step = data["step"].values
    if not len(step):
        return TrainingCourse(step, None, bound)
    equiv, mean = (data[f"sample_loss_{name}"].values for name in ("equiv", "mean"))
    chosen = np.ones(equiv.shape[-1], bool) if part is None else part.chosen
    cluster = data["cluster"].values[chosen] if "cluster" in data else None
    equiv, mean = equiv[:, chosen], mean[:, chosen]
    found = measured_course(step, equiv + mean, equiv, threshold, cluster, RESAMPLES)
    return TrainingCourse(step, found, bound)


def published_course(curve: PublishedCurve, threshold: float) -> Measured:
    """The course of a published curve; its intervals hold the error of reading alone."""
    curves = (curve.value * (1 + sign * curve.error) for sign in (0, -1, 1))
    first = course(curve.step, curve.value, threshold)
    value, low, high = (course(curve.step, values, threshold) for values in curves)
    return Measured(first if np.isfinite(value.dip) else value, low, high)


def highest_from(step: Int[Array, " step"], value: Course) -> Bool[Array, " step"]:
    """True at the checkpoints from the first small one on."""
    return np.asarray(step, float) >= value.first

"""Course of a percentage over training: its start, when it becomes small, its dip, the rise after it, and its end.

A DIP is the lowest value before the first rise of a quarter or more. The course of one training is measured at a few
checkpoints: between two of them the logarithm of the percentage is taken as linear in that of the step. A time is
therefore given as a range of steps, from one checkpoint to another.

Intervals resample the samples (whole clusters), the same for all checkpoints. A rise counts if it is large against its
error: noise makes no dip. `tests/bench/calibrations/courses.py` simulates courses and counts how often the intervals
hold the truth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .._typing import Array, Float, Int, Real, Values
from . import loss_split
from .bootstrap import Clusters, resampled_means
from .simultaneous import lower_bound_of_largest

RISE = 1.25  # factor from the lowest value so far that ends a dip
SURE = 4.0  # standard errors of a rise that is no noise: the largest of all pairs of checkpoints often has three


class Course(NamedTuple):
    """The course of a percentage, or of its resamples.

    start, end: first and last value.
    first: step at which the percentage is first at or below the threshold; infinite if it never is, and the first step
        if it always is.
    last: step from which it stays at or below the threshold; infinite if the last value is above.
    dip, dip_step: the lowest value before the first rise of a quarter; NaN without such a rise.
    highest, highest_step: the highest value after the dip; NaN without a dip.
    """

    start: Values
    end: Values
    first: Values
    last: Values
    dip: Values
    dip_step: Values
    highest: Values
    highest_step: Values


def course(
    step: Real[Array, " step"], percent: Float[Array, "*b step"], threshold: float, risen: int | None = None
) -> Course:
    """The course of percentages that are known at these steps.

    Args:
        step: ascending.
        threshold: a percentage at or below it is small.
        risen: index of the checkpoint that has risen from the dip, -1 for none; None looks for it, in a single course.
    """
    step, percent = np.asarray(step, float), np.asarray(percent, float)
    if np.isnan(percent).any():
        return Course(*[math.nan] * len(Course._fields))
    small = percent <= threshold
    count = len(step)
    entered = np.where(small.any(-1), small.argmax(-1), count)
    left = np.where(small.all(-1), 0, count - (~small)[..., ::-1].argmax(-1))  # after the last value above
    times = [_crossing(step, percent, threshold, at) for at in (entered, left)]
    risen = first_rise(percent) if risen is None else risen
    if risen < 0:
        return Course(percent[..., 0], percent[..., -1], *times, *[np.full(percent.shape[:-1], np.nan)[()]] * 4)
    place = percent[..., :risen].argmin(-1)
    later = risen + percent[..., risen:].argmax(-1)
    lowest, highest = percent[..., :risen].min(-1), percent[..., risen:].max(-1)
    return Course(percent[..., 0], percent[..., -1], *times, lowest, step[place], highest, step[later])


def first_rise(percent: Float[Array, " step"], resamples: Float[Array, "resample step"] | None = None) -> int:
    """Index of the first value that is a quarter above the lowest before it; -1 without one.

    Args:
        resamples: of the percentages. A rise counts if it is large against its error: noise makes no dip.
    """
    lowest = 0
    for k in range(1, len(percent)):
        if percent[k] >= RISE * percent[lowest] and percent[k] > percent[lowest]:
            if resamples is None or _is_sure(resamples[:, k] / resamples[:, lowest], percent[k] / percent[lowest]):
                return k
        elif percent[k] < percent[lowest]:
            lowest = k
    return -1


@np.errstate(divide="ignore", invalid="ignore")
def _is_sure(resamples: Float[Array, " resample"], ratio: float) -> bool:
    """True if a ratio above 1 is so by many standard errors, of its logarithm or else of itself."""
    if (resamples > 0).all():
        return bool(math.log(ratio) >= SURE * np.log(resamples).std()) if ratio < math.inf else False
    return bool(ratio - 1 >= SURE * resamples.std())


@np.errstate(divide="ignore", invalid="ignore")
def _crossing(
    step: Real[Array, " step"], percent: Float[Array, "*b step"], threshold: float, at: Int[Array, "*b"]
) -> Values:
    """Step between checkpoints `at` - 1 and `at` at which the threshold is crossed, linear in logarithms."""
    count = len(step)
    after = np.clip(at, 1, count - 1) if count > 1 else np.zeros_like(at)
    before = np.maximum(after - 1, 0)
    p0, p1 = (
        np.log(np.maximum(np.take_along_axis(percent, k[..., None], -1)[..., 0], 1e-300)) for k in (before, after)
    )
    share = np.clip((p0 - math.log(threshold)) / (p0 - p1), 0, 1)
    x0, x1 = (np.log(np.maximum(step[k], 1.0)) for k in (before, after))
    found = np.clip(np.exp(x0 + np.where(np.isfinite(share), share, 1.0) * (x1 - x0)), step[before], step[after])
    return np.where(at >= count, np.inf, np.where(at == 0, step[0], found))[()]


class Measured(NamedTuple):
    """The course of one training, and the ends of its 95 % intervals."""

    value: Course
    low: Course
    high: Course


def measured_course(
    step: Real[Array, " step"],
    total: Float[Array, "step sample"],
    equiv: Float[Array, "step sample"],
    threshold: float,
    cluster: Clusters = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Measured:
    """The course of 100 equiv / total, of means over samples, with its intervals.

    Both ends of the intervals of all checkpoints are curves, too. An interval goes from the course of one curve to that
    of the other: the true dip is not below the lowest of the low ends, unless the interval of its own checkpoint fails.

    Args:
        total, equiv: loss and its part, of every sample at every step.
        cluster: of every sample; intervals are NaN for a single one.
    """
    percent = loss_split.percent(total.mean(-1), equiv.mean(-1))
    ends = loss_split.percent_interval(total, equiv, resamples, seed, cluster)
    means = resampled_means(np.stack([equiv, total]), resamples, seed, cluster)
    risen = first_rise(percent, loss_split.percent(means[1], means[0]).T)
    found = Measured(*(course(step, curve, threshold, risen) for curve in (percent, *ends)))
    return found if risen < 0 or np.isnan(ends).any() else _with_choice(found, total, equiv, ends, risen, cluster)


def _with_choice(
    found: Measured,
    total: Float[Array, "step sample"],
    equiv: Float[Array, "step sample"],
    ends: tuple[Values, Values],
    risen: int,
    cluster: Clusters,
) -> Measured:
    """The course with room for the choice of the lowest and of the highest checkpoint."""
    before, after = ([values[part] for values in (total, equiv, *ends)] for part in (slice(risen), slice(risen, None)))
    return Measured(
        found.value,
        found.low._replace(highest=interval_of_highest(*after, cluster)[0]),
        found.high._replace(dip=interval_of_lowest(*before, cluster)[1]),
    )


def interval_of_lowest(
    total: Float[Array, "step sample"],
    equiv: Float[Array, "step sample"],
    low: Float[Array, " step"],
    high: Float[Array, " step"],
    cluster: Clusters = None,
) -> tuple[float, float]:
    """Ends of the 95 % interval of the lowest percentage of several checkpoints.

    The lowest estimate is too low on average, because its noise is selected with it. The high end is therefore a
    simultaneous bound, of the checkpoints that may be the lowest by their own intervals.

    Args:
        low, high: ends of the interval of the percentage at each checkpoint.
    """
    may_be = low <= high.min()
    lowest = float((100 * equiv.mean(-1) / total.mean(-1)).min())
    bound = -100 * lower_bound_of_largest(-equiv[may_be], total[may_be], cluster)
    if 0 < lowest < bound < math.inf:
        bound = lowest * math.exp(bound / lowest - 1)  # the errors of a positive number lean to the high side
    return float(low.min()), max(float(high.min()), bound)


def interval_of_highest(
    total: Float[Array, "step sample"],
    equiv: Float[Array, "step sample"],
    low: Float[Array, " step"],
    high: Float[Array, " step"],
    cluster: Clusters = None,
) -> tuple[float, float]:
    """Ends of the 95 % interval of the highest percentage, see `interval_of_lowest`."""
    may_be = high >= low.max()
    bound = 100 * lower_bound_of_largest(equiv[may_be], total[may_be], cluster)
    return min(float(low.max()), bound), float(high.max())


def between(step: Real[Array, " step"], low: float, high: float) -> tuple[float, float]:
    """Checkpoints around a time from `low` to `high`: the time is unknown between two checkpoints.

    Infinity stands for a time after the last checkpoint.
    """
    step = np.asarray(step, float)
    below = step[step <= low].max(initial=step[0]) if low < math.inf else step[-1]
    return float(below), float(step[step >= high].min(initial=math.inf))

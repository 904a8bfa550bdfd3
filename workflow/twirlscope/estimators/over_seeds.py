"""Means and ratios of positive numbers over seeds, with intervals: a few trainings stand for all that could be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from .._typing import Array, Float, Sequence


class Interval(NamedTuple):
    """A number and the ends of its 95 % interval, which are NaN where there is no second seed."""

    value: float
    low: float
    high: float


def geometric_mean(values: Sequence[float] | Float[Array, " seed"]) -> Interval:
    """Geometric mean over seeds, with Student's interval of the mean logarithm; values at or below 0 give NaN."""
    logs = _logarithms(values)
    return _interval(logs.mean(), logs.var(ddof=1) / len(logs) if len(logs) > 1 else np.nan, len(logs) - 1.0)


def ratio(over: Sequence[float] | Float[Array, " seed"], under: Sequence[float] | Float[Array, " other"]) -> Interval:
    """Ratio of two geometric means, with Welch's interval of the difference of the mean logarithms."""
    logs = [_logarithms(values) for values in (over, under)]
    if min(len(each) for each in logs) < 2:
        return _interval(logs[0].mean() - logs[1].mean(), np.nan, 0.0)
    parts = np.array([each.var(ddof=1) / len(each) for each in logs])
    weights = np.array([len(each) - 1 for each in logs])
    freedom = parts.sum() ** 2 / max((parts**2 / weights).sum(), np.finfo(float).tiny)
    return _interval(logs[0].mean() - logs[1].mean(), parts.sum(), float(max(freedom, 1.0)))


def _logarithms(values: Sequence[float] | Float[Array, " seed"]) -> Float[Array, " seed"]:
    values = np.asarray(values, np.float64)
    return np.log(np.where(values > 0, values, np.nan))


def _interval(middle: float, variance: float, freedom: float) -> Interval:
    """The interval of a mean logarithm as one of the number itself."""
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance) if np.isfinite(variance) else np.nan
    return Interval(*(float(np.exp(middle + sign * half)) if sign else float(np.exp(middle)) for sign in (0, -1, 1)))

"""Power laws of a loss in FLOPs, samples or parameters: exponents with intervals over runs and seeds, comparisons.

The mean logarithm over the seeds of a run lies on a straight line in log x, up to an error of the run. That error holds
the luck of the seeds and whatever else moves a run off the line, such as a learning rate that suits it less. Student's
t of the residuals therefore covers runs and seeds together. A bootstrap of the few runs of a law does not: resampling
runs and their seeds, intervals of 95 % held the exponent in 90 to 98 % of simulations, depending on which of both
errors was the larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .._typing import Array, Float, Int, Sequence, Values
from .over_seeds import Interval

OCTAVES = 4.0  # least range of x; over less, other laws look like power laws, too
BENT = 0.01  # of all straight lines are called bent: a report has many
RUNS = 4  # least number of different x
Seeds = Sequence[float] | Float[Array, " seed"]
Runs = Sequence[Seeds] | Float[Array, "run seed"]

NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class PowerLaw:
    """A straight line through log y against log x, by least squares.

    level: log y at `centre`, the mean of log x.
    spread: sum of squares of log x - centre.
    variance: of a run about the line.
    x: range of the runs.
    bend: change of the exponent over the range, with its interval.
    chance: probability that a straight line shows such a bend.
    """

    exponent: float
    level: float
    centre: float
    spread: float
    variance: float
    runs: int
    x: tuple[float, float]
    bend: Interval = NOTHING
    chance: float = 1.0

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variance."""
        return self.runs - 2

    @property
    def octaves(self) -> float:
        """Range of x as a number of doublings."""
        return math.log2(self.x[1] / self.x[0])

    @property
    def bends(self) -> bool:
        """True if a straight line would hardly show such a bend."""
        return self.chance < BENT

    @property
    def interval(self) -> Interval:
        """The exponent with its interval."""
        half = stats.t.ppf(0.975, self.freedom) * math.sqrt(self.variance / self.spread)
        return Interval(self.exponent, self.exponent - half, self.exponent + half)

    def log(self, x: Values) -> Values:
        """Logarithm of y on the line."""
        return self.level + self.exponent * (np.log(x) - self.centre)

    def error(self, x: Values) -> Values:
        """Standard error of the logarithm of y on the line."""
        return np.sqrt(self.variance * (1 / self.runs + (np.log(x) - self.centre) ** 2 / self.spread))

    def at(self, x: Float[Array, " n"]) -> Float[Array, "end n"]:
        """Value of y on the line, and both ends of its interval."""
        half = stats.t.ppf(0.975, self.freedom) * self.error(x)
        return np.exp(self.log(x) + np.multiply.outer([0.0, -1.0, 1.0], half))


def obstacle(x: Float[Array, " run"], y: Runs) -> str:
    """The reason why there is no law; empty if there is one.

    Args:
        x: of every run, positive.
        y: by run, one number per seed.
    """
    values = np.unique(x)
    if not all(np.isfinite(each).all() and np.min(each) > 0 for each in y):
        return "values at or below zero"
    if len(values) < RUNS:
        return f"too few runs: {len(values)} of {RUNS}"
    octaves = math.log2(values[-1] / values[0])
    return "" if octaves >= OCTAVES - 1e-9 else f"too short a range: {octaves:.1f} octaves"


def fit(x: Float[Array, " run"], y: Runs) -> PowerLaw:
    """The law of runs without an obstacle. Every run counts once, whatever the number of its seeds.

    Args:
        x: of every run, positive.
        y: by run, one number per seed.
    """
    log_x, log_y = np.log(x), np.array([np.log(each).mean() for each in y])
    centre, runs = float(log_x.mean()), len(log_x)
    away = log_x - centre
    spread = float(away @ away)
    exponent, level = float(away @ log_y) / spread, float(log_y.mean())
    rest = log_y - level - exponent * away
    variance = float(rest @ rest) / (runs - 2)
    x_range = float(min(x)), float(max(x))
    return PowerLaw(exponent, level, centre, spread, variance, runs, x_range, *_bend(away, log_y))


def _bend(away: Float[Array, " run"], log_y: Float[Array, " run"]) -> tuple[Interval, float]:
    """Change of the slope over the range by a parabola, with Student's interval, and its probability by chance."""
    freedom = len(away) - 3
    if freedom < 1 or len(np.unique(away)) < 3:
        return NOTHING, 1.0
    design = np.stack([np.ones_like(away), away, away**2], 1)
    found = np.linalg.lstsq(design, log_y)[0]
    rest = log_y - design @ found
    error = math.sqrt(rest @ rest / freedom * np.linalg.inv(design.T @ design)[2, 2])
    half = stats.t.ppf(0.975, freedom) * error
    ends = (float(2 * np.ptp(away) * (found[2] + sign * half)) for sign in (0, -1, 1))
    return Interval(*ends), float(2 * stats.t.sf(abs(found[2]) / max(error, 1e-300), freedom))


def best_per_octave(x: Float[Array, " run"], y: Float[Array, " run"]) -> Int[Array, " best"]:
    """Numbers of the runs with the lowest y of each octave of x, by x.

    Runs that no cheaper one beats would lie nearer to each other than chance allows, since each is chosen by the one
    before. Their intervals held the exponent in 88 to 99 % of simulations, those of octaves in 93 to 99 %.
    """
    octave = np.floor(np.log2(x / x.min()) + 1e-9)
    every = [np.flatnonzero(octave == number) for number in np.unique(octave)]
    return np.array([runs[y[runs].argmin()] for runs in every], np.int64)


def difference(one: PowerLaw, other: PowerLaw) -> Interval:
    """Exponent of one law less that of another, with Welch's interval."""
    parts = [(law.variance / law.spread, law.freedom) for law in (one, other)]
    return _welch(one.exponent - other.exponent, parts)


def ratio(one: PowerLaw, other: PowerLaw, x: float) -> Interval:
    """Value of one law over that of another at x, with Welch's interval of the logarithm."""
    parts = [(float(law.error(x)) ** 2, law.freedom) for law in (one, other)]
    return Interval(*(math.exp(end) for end in _welch(float(one.log(x) - other.log(x)), parts)))


def common_range(one: PowerLaw, other: PowerLaw) -> tuple[float, float] | None:
    """Range of x that both laws have runs in; None without any."""
    low, high = max(one.x[0], other.x[0]), min(one.x[1], other.x[1])
    return (low, high) if low < high else None


def _welch(value: float, parts: Sequence[tuple[float, int]]) -> Interval:
    """A difference with its interval, from the variances of both sides and their degrees of freedom.

    Source: Welch, Biometrika 34, 28 (1947).
    """
    total = sum(variance for variance, _ in parts)
    if not total:
        return Interval(value, value, value)
    freedom = total**2 / sum(variance**2 / each for variance, each in parts)
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(total)
    return Interval(value, value - half, value + half)

"""Statistics of two numbers along one training, whose checkpoints are not independent.

Successive checkpoints of a training share most of their weights, so their errors are correlated: autocorrelations of
0.5 to 0.97 are common. Formulas for independent points then give intervals that are too narrow by factors.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats

from .._typing import Array, Float

POINTS = 6  # least number of checkpoints
AUTOCORRELATIONS = np.sin(np.linspace(0, np.arcsin(0.98), 25))  # Jeffreys' prior, dense towards 1
TAILS = 0.025, 0.975

Estimate = tuple[float, float, float]  # value, and the ends of its 95 % interval


def correlation_of_changes(x: Float[Array, " point"], y: Float[Array, " point"]) -> Estimate | None:
    """Correlation of the changes between successive checkpoints with its 95 % interval; None for fewer than 6 points.

    Two unrelated random walks, or two numbers that both merely fall, are correlated over checkpoints, but their changes
    are not. Ranks replace the changes, as normal scores, so that early and large ones do not decide alone. The
    interval is Fisher's for the effective number of changes (Bartlett). It is at least as wide as one with the
    empirical variance of the correlation. docs/calibration.md has how often unrelated walks are called correlated.

    Source: Bartlett, J. Royal Statistical Society 98, 536 (1935), for the effective number.
    """
    if len(x) < POINTS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    u, v = (_normal_scores(np.diff(values)) for values in (x, y))
    count = len(u)
    r = float(np.clip((u * v).mean(), -1 + 1e-9, 1 - 1e-9))
    repeated = float((u[1:] * u[:-1]).sum() * (v[1:] * v[:-1]).sum()) / count**2
    error = 1 / math.sqrt(max(count / max(1.0, 1 + 2 * repeated) - 3, 0.5))
    influence = u * v - r * (u**2 + v**2) / 2
    empirical = math.sqrt((influence**2).mean() / max(count - 3, 1)) / (1 - r**2)
    half = max(stats.norm.ppf(TAILS[1]) * error, stats.t.ppf(TAILS[1], count - 2) * empirical)
    return r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def _normal_scores(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """Ranks as quantiles of the normal distribution (Blom), with mean 0 and variance 1."""
    scores = stats.norm.ppf((stats.rankdata(values) - 0.375) / (len(values) + 0.25))
    scores = scores - scores.mean()
    return scores / max(scores.std(), 1e-300)


def power_law(x: Float[Array, " point"], y: Float[Array, " point"]) -> Estimate | None:
    """Exponent of y as a power of x, both measured with error; None for fewer than 6 points.

    Errors of log x flatten the regression of log y on log x, errors of log y steepen the inverse of the regression of
    log x on log y. Whatever the ratio of both errors, the exponent lies between the two slopes (Frisch). The interval
    therefore goes from the low end of the first to the high end of the second. The value is the ratio of both standard
    deviations, the geometric mean of the slopes of least squares. Without a clear correlation an end is infinite.

    The errors of successive checkpoints may be correlated. Their autocorrelation is unknown, and integrated out
    (Zellner and Tiao). docs/calibration.md has how often exponents are wrong for several autocorrelations.

    Args:
        x, y: positive, in the order of training.

    Source: Frisch, Statistical Confluence Analysis (1934); Zellner and Tiao, J. American Statistical Association 59,
    763 (1964).
    """
    if len(x) < POINTS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    first, low, high = _slope(np.log(x), np.log(y))
    _, inverse_low, inverse_high = _slope(np.log(y), np.log(x))
    if low > 0 or first > 0:
        high = 1 / inverse_low if inverse_low > 0 else math.inf
    else:
        low = 1 / inverse_high if inverse_high < 0 else -math.inf
    value = math.copysign(float(np.log(y).std() / np.log(x).std()), first)
    return min(max(value, low), high), low, high


def _slope(x: Float[Array, " point"], y: Float[Array, " point"]) -> Estimate:
    """Slope of y against x with its 95 % interval, for errors of y with any autocorrelation from 0 to 0.98.

    For each autocorrelation the slope is that of generalised least squares, with Student's t. They are averaged with
    the probability of each, given the data and the prior of `AUTOCORRELATIONS`.
    """
    count, design = len(x), np.stack([np.ones(len(x)), x], 1)
    lag = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    found = []
    for rho in AUTOCORRELATIONS:
        covariance = rho**lag
        weighted = np.linalg.solve(covariance, design)
        normal = design.T @ weighted
        slope = np.linalg.solve(normal, weighted.T @ y)
        rest = y - design @ slope
        square = max(float(rest @ np.linalg.solve(covariance, rest)), 1e-24 * float(y @ y) + 1e-300)
        dets = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(normal)[1]
        error = math.sqrt(square / (count - 2) * np.linalg.inv(normal)[1, 1])
        found.append((-(dets + (count - 2) * math.log(square)) / 2, slope[1], error))
    logs, slopes, errors = np.array(found).T
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()

    def exceeded(at: float, tail: float) -> float:
        return float(weight @ stats.t.cdf((at - slopes) / errors, count - 2)) - tail

    reach = (slopes - 1e3 * errors).min(), (slopes + 1e3 * errors).max()
    low, high = (float(optimize.brentq(exceeded, *reach, args=(tail,))) for tail in TAILS)
    return float(weight @ slopes), low, high

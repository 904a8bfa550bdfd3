"""Condition numbers of a spectrum that survive its null space, with error bars: functions of nodes and weights alone.

The ratio of the largest to the smallest magnitude is rounding for a network: hundreds of eigenvalues are zero. So no
number is given without the question that it answers. With magnitudes a_i = |lambda_i|, how many times c_i each counts
(n times its weight), A the largest of them, and energy the sum over c_i a_i:

    kappa_E90            A / a, where the eigenvalues of magnitude a and above hold 90 % of the energy (E99: 99 %)
    kappa_GD10           2 T / ln 10, T the steps of gradient descent at rate 1 / A until 10 % of the loss of a
                         quadratic bowl is left, from an isotropic start:
                         sum c a (1 - a / A)^(2 T) = 0.1 sum c a; at least 1 (GD50: half of the loss)
    count_E90            how many eigenvalues of the largest magnitudes hold 90 % of the energy
    effective_rank       sum c a / A
    participation_ratio  (sum c a)^2 / sum c a^2
    stable_rank          sum c a^2 / A^2
    negative_energy      share of the energy in negative eigenvalues

A spectrum of k equal eigenvalues, and zeros without number, has condition numbers 1 and ranks k. The `positive` side
counts positive eigenvalues alone: the Hessian of a mean part can be strongly indefinite.

Two error bars, because neither sees what the other does: the jackknife over probes knows how few probes there were, and
the change since half depth knows what the quadrature has not resolved.

Source: Rudelson and Vershynin, J. ACM 54, 21 (2007), for the stable rank; Roy and Vetterli, EUSIPCO 2007, and Bartlett
et al., PNAS 117, 30063 (2020), for effective ranks; Efron, The Jackknife (1982).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student

from .._typing import Array, Callable, Float
from .eigenvalues import Spectrum

SIDES = ("absolute", "positive")
TOLERANCE = 0.15  # a number that changed by more than this share since half depth has not converged
LEAST_PROBES = 3  # a standard error of fewer says nothing: with two, its own error is 70 % of it

Measure = Callable[[Array, Array], float]  # of eigenvalues and how many times each counts


def energy_condition(value: Float[Array, " ritz"], count: Float[Array, " ritz"], share: float) -> float:
    """Largest magnitude over the one at which magnitudes from the largest on hold `share` of the energy."""
    magnitude, _, before = _holding(value, count, share)
    return float(np.abs(value).max() / magnitude[len(before)])


def energy_count(value: Float[Array, " ritz"], count: Float[Array, " ritz"], share: float) -> float:
    """How many of the largest magnitudes hold `share` of the energy: those that `energy_condition` is a fact of.

    A node that is needed in part counts in part.
    """
    magnitude, left, before = _holding(value, count, share)
    return float(before.sum() + left / magnitude[len(before)])


def _holding(value: Array, count: Array, share: float) -> tuple[Array, float, Array]:
    """Magnitudes, falling; the counts of those before the one at which they hold `share` of the energy; and what these
    lack of it.
    """
    order = np.argsort(-np.abs(value), kind="stable")
    magnitude, count = np.abs(value)[order], count[order]
    energy = np.cumsum(count * magnitude)
    wanted = share * energy[-1] * (1 - 1e-12)  # a sum may round down
    place = int(np.searchsorted(energy, wanted))
    return magnitude, wanted - (energy[place - 1] if place else 0.0), count[:place]


def descent_condition(value: Float[Array, " ritz"], count: Float[Array, " ritz"], left: float) -> float:
    """2 T / ln(1 / left): T steps of gradient descent at rate 1 / largest leave `left` of the energy. At least 1.

    For a bowl of one curvature a far below the largest it is largest / a.
    """
    relative = np.abs(value) / np.abs(value).max()
    energy = count * relative
    with np.errstate(divide="ignore"):
        rate = 2 * np.log1p(-relative)

    def excess(log_steps: float) -> float:
        return float(energy @ np.exp(math.exp(log_steps) * rate)) / energy.sum() - left

    low, high = math.log(math.log(1 / left) / 2), 1.0
    if excess(low) <= 0:
        return 1.0
    while excess(high) > 0:
        high += 5
    return 2 * math.exp(brentq(excess, low, high, xtol=1e-10)) / math.log(1 / left)


def effective_rank(value: Float[Array, " ritz"], count: Float[Array, " ritz"]) -> float:
    """Energy over the largest magnitude: how many eigenvalues as large as the largest hold as much."""
    return float(count @ np.abs(value) / np.abs(value).max())


def participation_ratio(value: Float[Array, " ritz"], count: Float[Array, " ritz"]) -> float:
    """How many equal eigenvalues would have this energy and this sum of squares."""
    relative = np.abs(value) / np.abs(value).max()
    return float((count @ relative) ** 2 / (count @ relative**2))


def stable_rank(value: Float[Array, " ritz"], count: Float[Array, " ritz"]) -> float:
    """Sum of squares over the square of the largest."""
    return float(count @ (value / np.abs(value).max()) ** 2)


def negative_energy(value: Float[Array, " ritz"], count: Float[Array, " ritz"]) -> float:
    """Share of the energy in negative eigenvalues."""
    return float(count @ np.maximum(-value, 0) / (count @ np.abs(value)))


MEASURES: dict[str, tuple[Measure, str]] = {
    "kappa_E90": (
        partial(energy_condition, share=0.9),
        "largest magnitude over that at which the largest hold 90 % of the sum of magnitudes",
    ),
    "kappa_E99": (
        partial(energy_condition, share=0.99),
        "largest magnitude over that at which the largest hold 99 % of the sum of magnitudes",
    ),
    "kappa_GD10": (
        partial(descent_condition, left=0.1),
        "2 T / ln 10, T steps of gradient descent at rate 1 / largest leave 10 % of the loss of an isotropic start",
    ),
    "kappa_GD50": (
        partial(descent_condition, left=0.5),
        "2 T / ln 2, T steps of gradient descent at rate 1 / largest leave half of the loss of an isotropic start",
    ),
    "count_E90": (partial(energy_count, share=0.9), "how many of the largest hold 90 % of the sum of magnitudes"),
    "effective_rank": (effective_rank, "sum of magnitudes over the largest"),
    "participation_ratio": (participation_ratio, "square of the sum of magnitudes over the sum of their squares"),
    "stable_rank": (stable_rank, "sum of squares over the square of the largest"),
    "negative_energy": (negative_energy, "share of negative eigenvalues in the sum of magnitudes"),
}


def measured(
    measure: Measure, value: Float[Array, " ritz"], count: Float[Array, " ritz"], side: str = "absolute"
) -> float:
    """A measure of one side of a spectrum; NaN where nothing of that side is left of zero. NaN nodes are padding."""
    real = np.isfinite(value)
    value, count = value[real], count[real]
    value = np.maximum(value, 0) if side == "positive" else value
    return measure(value, count) if (count * np.abs(value)).any() else math.nan


@dataclass(frozen=True)
class Estimate:
    """A number with both of its error bars.

    error: standard error over probes; NaN for fewer than `LEAST_PROBES`, 0 where the spectrum is complete.
    depth_bias: its value less that at half depth; NaN where there is none, 0 where the spectrum is complete.
    """

    value: float
    error: float
    depth_bias: float

    @property
    def converged(self) -> bool:
        """Whether half the products gave the same number, to `TOLERANCE` of itself. NaN has not converged."""
        return abs(self.depth_bias) <= TOLERANCE * abs(self.value)


def estimate(spectrum: Spectrum, measure: Measure, side: str = "absolute") -> Estimate:
    """A measure of a spectrum, with its errors."""
    value = _of(spectrum, measure, side)
    if spectrum.complete:
        return Estimate(value, 0.0, 0.0)
    half = _of(spectrum.half, measure, side) if spectrum.half else math.nan
    return Estimate(value, _jackknife(_without(spectrum, measure, side)), value - half)


def ratio(one: Spectrum, other: Spectrum, measure: Measure, side: str = "absolute") -> tuple[float, float, float]:
    """A measure of one spectrum over that of another from the same probes, and its 95 % interval, both errors in it.

    The logarithm of the ratio is jackknifed, so what both spectra owe to the probes cancels; its Student interval is
    widened on both sides by what changed since half depth. NaN ends where the probes or the steps are too few to say.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(_of(s, measure, side)) for s in (one, other)]
        middle = float(logs[0] - logs[1])
        if one.complete and other.complete:
            return (float(np.exp(middle)),) * 3
        each = np.log(_without(one, measure, side)) - np.log(_without(other, measure, side))
        halves = [np.log(_of(s.half or s, measure, side)) for s in (one, other)]
        bias = abs(middle - float(halves[0] - halves[1])) if one.half and other.half else math.nan
        spread = student.ppf(0.975, max(len(each) - 1, 1)) * _jackknife(each) + bias
    with np.errstate(over="ignore"):
        return float(np.exp(middle)), float(np.exp(middle - spread)), float(np.exp(middle + spread))


def _of(spectrum: Spectrum, measure: Measure, side: str) -> float:
    return measured(measure, spectrum.value, spectrum.size * spectrum.deflated.mean(0), side)


def _without(spectrum: Spectrum, measure: Measure, side: str) -> Float[Array, " probe"]:
    """The measure without each of the probes in turn."""
    counts, probes = spectrum.size * spectrum.deflated, len(spectrum.deflated)
    if probes < LEAST_PROBES:
        return np.full(probes, np.nan)
    left = ((counts.sum(0) - row) / (probes - 1) for row in counts)
    return np.array([measured(measure, spectrum.value, count, side) for count in left])


def _jackknife(each: Float[Array, " probe"]) -> float:
    """Standard error from the values without each probe."""
    return float(np.sqrt((len(each) - 1) / len(each) * ((each - each.mean()) ** 2).sum()))

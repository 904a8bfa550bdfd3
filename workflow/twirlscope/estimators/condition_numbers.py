"""Condition numbers and ranks of a matrix with a large null space, with error bars, from Ritz values and weights.

The Hessian of a network has hundreds of eigenvalues that are zero, so the ratio of the largest to the smallest
magnitude is rounding. The numbers here are defined by what they measure. Magnitudes are a_i = |lambda_i|, c_i is the
multiplicity of each (n times its weight), A the largest magnitude, and the energy is the sum over c_i a_i:

    kappa_E90            A / a, where the eigenvalues of magnitude a and above hold 90 % of the energy (E99: 99 %)
    kappa_GD10           2 T / ln 10, T the steps of gradient descent at rate 1 / A that reduce the loss of a
                         quadratic bowl to 10 %, from an isotropic start:
                         sum c a (1 - a / A)^(2 T) = 0.1 sum c a; at least 1 (GD50: half of the loss)
    count_E90            number of eigenvalues, the largest magnitudes, that hold 90 % of the energy
    effective_rank       sum c a / A
    participation_ratio  (sum c a)^2 / sum c a^2
    stable_rank          sum c a^2 / A^2
    negative_energy      share of the energy in negative eigenvalues

A spectrum of k equal eigenvalues and any number of zeros has condition numbers 1 and ranks k. The side `positive`
counts positive eigenvalues alone, because the Hessian of the mean part can be strongly indefinite.

Every number has two error bars. The jackknife over probes measures the noise of few probes. The change since half the
depth of the Lanczos run measures the error of the quadrature.

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
LEAST_PROBES = 3  # for a standard error; that of two probes is uncertain by 70 %

Measure = Callable[[Array, Array], float]  # function of eigenvalues and their multiplicities


def energy_condition(value: Float[Array, " ritz"], count: Float[Array, " ritz"], share: float) -> float:
    """Largest magnitude over the one at which magnitudes, summed from the largest on, hold `share` of the energy."""
    magnitude, _, before = _split_at_share(value, count, share)
    return float(np.abs(value).max() / magnitude[len(before)])


def energy_count(value: Float[Array, " ritz"], count: Float[Array, " ritz"], share: float) -> float:
    """Number of the largest magnitudes that hold `share` of the energy, the same as in `energy_condition`.

    A node of which only a part is needed counts with that part.
    """
    magnitude, missing, before = _split_at_share(value, count, share)
    return float(before.sum() + missing / magnitude[len(before)])


def _split_at_share(value: Array, count: Array, share: float) -> tuple[Array, float, Array]:
    """Descending magnitudes, split where their running sum reaches `share` of the energy.

    Returns:
        The magnitudes, the energy that those before the split lack of the share, and the counts before the split.
    """
    order = np.argsort(-np.abs(value), kind="stable")
    magnitude, count = np.abs(value)[order], count[order]
    energy = np.cumsum(count * magnitude)
    wanted = share * energy[-1] * (1 - 1e-12)  # a sum may round down
    place = int(np.searchsorted(energy, wanted))
    return magnitude, wanted - (energy[place - 1] if place else 0.0), count[:place]


def descent_condition(value: Float[Array, " ritz"], count: Float[Array, " ritz"], left: float) -> float:
    """2 T / ln(1 / left), T the steps of gradient descent at rate 1 / largest until `left` of the energy remains.

    At least 1. For a bowl with one curvature a, far below the largest, it is largest / a.
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
    """Energy over the largest magnitude: the number of eigenvalues of that magnitude with the same energy."""
    return float(count @ np.abs(value) / np.abs(value).max())


def participation_ratio(value: Float[Array, " ritz"], count: Float[Array, " ritz"]) -> float:
    """Number of equal eigenvalues with the same energy and the same sum of squares."""
    relative = np.abs(value) / np.abs(value).max()
    return float((count @ relative) ** 2 / (count @ relative**2))


def stable_rank(value: Float[Array, " ritz"], count: Float[Array, " ritz"]) -> float:
    """Sum of squares over the square of the largest magnitude."""
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


def measure_side(
    measure: Measure, value: Float[Array, " ritz"], count: Float[Array, " ritz"], side: str = "absolute"
) -> float:
    """A measure of one side of a spectrum; NaN if all eigenvalues of that side are zero. NaN nodes are padding."""
    real = np.isfinite(value)
    value, count = value[real], count[real]
    value = np.maximum(value, 0) if side == "positive" else value
    return measure(value, count) if (count * np.abs(value)).any() else math.nan


@dataclass(frozen=True)
class Estimate:
    """A condition number or rank with both of its error bars.

    error: standard error over probes; NaN for fewer than `LEAST_PROBES`, 0 if the spectrum is complete.
    depth_bias: the value less that at half depth; NaN if the run has no half, 0 if the spectrum is complete.
    """

    value: float
    error: float
    depth_bias: float

    @property
    def converged(self) -> bool:
        """True if half the products give the same number, to the share `TOLERANCE` of itself; False for NaN."""
        return abs(self.depth_bias) <= TOLERANCE * abs(self.value)


def estimate(spectrum: Spectrum, measure: Measure, side: str = "absolute") -> Estimate:
    """A measure of a spectrum, with its error bars."""
    value = _value(spectrum, measure, side)
    if spectrum.complete:
        return Estimate(value, 0.0, 0.0)
    half = _value(spectrum.half, measure, side) if spectrum.half else math.nan
    return Estimate(value, _jackknife(_leave_one_out(spectrum, measure, side)), value - half)


def ratio(one: Spectrum, other: Spectrum, measure: Measure, side: str = "absolute") -> tuple[float, float, float]:
    """Ratio of a measure of two spectra from the same probes, and its 95 % interval, which includes both errors.

    The logarithm of the ratio is jackknifed, so noise of the probes that both spectra share cancels. Its Student
    interval is widened on both sides by the change since half depth. The ends are NaN for too few probes or steps.

    Returns:
        The ratio, and the low and the high end of its interval.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(_value(s, measure, side)) for s in (one, other)]
        middle = float(logs[0] - logs[1])
        if one.complete and other.complete:
            return (float(np.exp(middle)),) * 3
        left_out = np.log(_leave_one_out(one, measure, side)) - np.log(_leave_one_out(other, measure, side))
        halves = [np.log(_value(s.half or s, measure, side)) for s in (one, other)]
        bias = abs(middle - float(halves[0] - halves[1])) if one.half and other.half else math.nan
        spread = student.ppf(0.975, max(len(left_out) - 1, 1)) * _jackknife(left_out) + bias
    with np.errstate(over="ignore"):
        return float(np.exp(middle)), float(np.exp(middle - spread)), float(np.exp(middle + spread))


def _value(spectrum: Spectrum, measure: Measure, side: str) -> float:
    """A measure of a spectrum, with the mean weights of all probes."""
    return measure_side(measure, spectrum.value, spectrum.size * spectrum.deflated.mean(0), side)


def _leave_one_out(spectrum: Spectrum, measure: Measure, side: str) -> Float[Array, " probe"]:
    """The measure of a spectrum without each of the probes in turn; NaN for fewer than `LEAST_PROBES`."""
    counts, probes = spectrum.size * spectrum.deflated, len(spectrum.deflated)
    if probes < LEAST_PROBES:
        return np.full(probes, np.nan)
    others = ((counts.sum(0) - row) / (probes - 1) for row in counts)
    return np.array([measure_side(measure, spectrum.value, count, side) for count in others])


def _jackknife(left_out: Float[Array, " probe"]) -> float:
    """Standard error from the values without each probe."""
    return float(np.sqrt((len(left_out) - 1) / len(left_out) * ((left_out - left_out.mean()) ** 2).sum()))

"""Condition numbers and ranks of a matrix with a large null space, with error bars, from Ritz values and weights.

The Hessian of a network has hundreds of eigenvalues that are zero, so the ratio of the largest to the smallest
magnitude is rounding. The numbers here are defined by what they measure. Magnitudes are a_i = |lambda_i|, c_i is the
multiplicity of each (n times its weight), A the largest magnitude, and the energy is the sum over c_i a_i:

    kappa_E90            A / a(p), where the eigenvalues of magnitude a(p) and above hold the share p of the energy; the
                         geometric mean over p from 85 to 95 % (E99: from 98.5 to 99.5 %)
    kappa_GD10           2 T / ln 10, T the steps of gradient descent at rate 1 / A that reduce the loss of a
                         quadratic bowl to 10 %, from an isotropic start:
                         sum c a (1 - a / A)^(2 T) = 0.1 sum c a; at least 1 (GD50: half of the loss)
    count_E90            number of eigenvalues, the largest magnitudes, that hold 90 % of the energy
    effective_rank       sum c a / A
    participation_ratio  (sum c a)^2 / sum c a^2
    stable_rank          sum c a^2 / A^2
    negative_energy      share of the energy in negative eigenvalues

and, of exact spectra alone, in which magnitudes up to the rounding error count as zero:

    kappa_smallest       A over the smallest magnitude that is not zero
    kappa_median         A over the median of the magnitudes that are not zero
    rank                 number of magnitudes that are not zero

A spectrum of k equal eigenvalues and any number of zeros has condition numbers 1 and ranks k. The side `positive`
counts positive eigenvalues alone, because the Hessian of the mean part can be strongly indefinite.

At a single p, A / a(p) would be a quantile of a few nodes. It jumps from node to node, and its jackknife is often zero,
because all probes share the nodes. The mean over p is smooth in the weights.

Every number has two error bars. The jackknife over probes measures the noise of few probes. The change since smaller
depths of the Lanczos run measures the error of the quadrature. A number has converged if both are small; the limits are
calibrated on simulated spectra, see docs/calibration.md. The ratio of two parts of a loss has a third error, the spread
over samples, which is usually the largest. Exact spectra have this error alone.

Source: Rudelson and Vershynin, J. ACM 54, 21 (2007), for the stable rank; Roy and Vetterli, EUSIPCO 2007, and Bartlett
et al., PNAS 117, 30063 (2020), for effective ranks; Efron, The Jackknife (1982). The mean over p is an L-estimator:
Harrell and Davis, Biometrika 69, 635 (1982).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..._typing import Array, Callable, Float, Sequence
from ...errors import Deferred
from ..bootstrap import standard_error
from .eigenvalues import Spectrum
from .exact_measures import EXACT_ONLY, median_condition, rank, smallest_condition

optimize, special = Deferred("scipy.optimize"), Deferred("scipy.special")
SIDES = ("absolute", "positive")
TOLERANCE = 0.15  # a number with a larger relative error, of probes and depth together, has not converged
LEAST_PROBES = 3  # for a standard error; that of two probes is uncertain by 70 %
LEAST_GROUPS = 3  # of samples, for their spread

Measure = Callable[[Array, Array], float]  # function of eigenvalues and their multiplicities


def energy_condition(value: Float[Array, " ritz"], count: Float[Array, " ritz"], share: float) -> float:
    """Largest magnitude over the one at which magnitudes, summed from the largest on, hold a share of the energy.

    The geometric mean over shares from `share` less half of the rest to `share` plus half of the rest.
    """
    magnitude, energy = _running_energy(value, count)
    low, high = share - (1 - share) / 2, share + (1 - share) / 2
    inside = np.clip(energy[1:], low, high) - np.clip(energy[:-1], low, high)
    part = inside > 0
    return float(magnitude[0] * np.exp(-inside[part] @ np.log(magnitude[part]) / inside.sum()))


def energy_count(value: Float[Array, " ritz"], count: Float[Array, " ritz"], share: float) -> float:
    """Number of the largest magnitudes that hold `share` of the energy; a node needed in part counts with that part."""
    _, energy = _running_energy(value, count)
    number = np.concatenate([[0.0], np.cumsum(count[np.argsort(-np.abs(value), kind="stable")])])
    return float(np.interp(share, energy, number))


def _running_energy(value: Array, count: Array) -> tuple[Float[Array, " ritz"], Float[Array, " node"]]:
    """Descending magnitudes, and the share of the energy in the first 0, 1, 2 ... of them."""
    order = np.argsort(-np.abs(value), kind="stable")
    magnitude = np.abs(value)[order]
    energy = np.concatenate([[0.0], np.cumsum(count[order] * magnitude)])
    return magnitude, energy / energy[-1]


def descent_condition(value: Float[Array, " ritz"], count: Float[Array, " ritz"], left: float) -> float:
    """2 T / ln(1 / left), T the steps of gradient descent at rate 1 / largest until `left` of the energy remains.

    At least 1. For a bowl with one curvature a, far below the largest, it is largest / a.
    """
    relative = np.abs(value) / np.abs(value).max()
    energy = count * relative
    with np.errstate(divide="ignore"):
        rate = 2 * np.log1p(-relative)

    excess = partial(_excess_energy, energy=energy, rate=rate, left=left)
    low, high = math.log(math.log(1 / left) / 2), 1.0
    if excess(low) <= 0:
        return 1.0
    while excess(high) > 0:
        high += 5
    return 2 * math.exp(optimize.brentq(excess, low, high, xtol=1e-10)) / math.log(1 / left)


def _excess_energy(log_steps: float, energy: Float[Array, " ritz"], rate: Float[Array, " ritz"], left: float) -> float:
    """Share of the energy that remains after so many steps, less `left`."""
    return float(energy @ np.exp(math.exp(log_steps) * rate)) / energy.sum() - left


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
        "largest magnitude over that at which the largest hold 90 % of the sum of magnitudes, mean over 85 to 95 %",
    ),
    "kappa_E99": (
        partial(energy_condition, share=0.99),
        "largest magnitude over that at which the largest hold 99 % of the sum of magnitudes, mean over 98.5 to 99.5 %",
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
    "kappa_smallest": (smallest_condition, "largest magnitude over the smallest above the rounding error"),
    "kappa_median": (median_condition, "largest magnitude over the median of those above the rounding error"),
    "rank": (rank, "number of magnitudes above the rounding error"),
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
    change: largest magnitude of the changes since half and since three quarters of the depth.
    probes: number of probes.
    """

    value: float
    error: float
    depth_bias: float
    change: float
    probes: int

    @property
    def converged(self) -> bool:
        """True if the 95 % interval over probes and the change with depth are together within `TOLERANCE` of the value.

        False for NaN, so also for fewer than `LEAST_PROBES`.
        """
        return math.hypot(self.change, student_width(self.probes) * self.error) <= TOLERANCE * abs(self.value)


def estimate(spectrum: Spectrum, measure: Measure, side: str = "absolute") -> Estimate:
    """A measure of a spectrum, with its error bars."""
    value, probes = _value(spectrum, measure, side), len(spectrum.weight)
    if spectrum.complete:
        return Estimate(value, 0.0, 0.0, 0.0, probes)
    half, most = (math.nan if s is None else _value(s, measure, side) for s in (spectrum.half, spectrum.most))
    error = jackknife(_leave_one_out(spectrum, measure, side))
    return Estimate(value, error, value - half, float(np.maximum(abs(value - half), abs(value - most))), probes)


def ratio(
    one: Spectrum,
    other: Spectrum,
    measure: Measure,
    side: str = "absolute",
    groups: Sequence[tuple[Spectrum, Spectrum]] | None = None,
) -> tuple[float, float, float]:
    """Ratio of a measure of two spectra from the same probes, and its 95 % interval.

    The interval is of the logarithm. The noise of probes is jackknifed, so that noise which both spectra share cancels.
    The spread over samples is that of the ratios of independent groups of the samples, over the root of their number.
    Both have Student intervals, added in squares. The largest change with depth widens the interval on both sides; if
    one of the numbers has not converged, it can be wide beyond use, and the report shows neither ratio nor interval.

    Args:
        groups: both spectra of every group of the samples; None for an interval of these very samples.

    Returns:
        The ratio, and the low and the high end of its interval: NaN for too few probes, steps or groups.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = log_ratio(one, other, measure, side)
        noise, bias = _noise_of_probes(one, other, measure, side)
        spread = noise if groups is None else math.hypot(noise, _spread_over_groups(groups, measure, side))
    with np.errstate(over="ignore"):
        width = spread + bias
        return float(np.exp(middle)), float(np.exp(middle - width)), float(np.exp(middle + width))


def log_ratio(one: Spectrum, other: Spectrum, measure: Measure, side: str) -> float:
    """Logarithm of the ratio of a measure of two spectra."""
    return float(np.log(_value(one, measure, side)) - np.log(_value(other, measure, side)))


def _noise_of_probes(one: Spectrum, other: Spectrum, measure: Measure, side: str) -> tuple[float, float]:
    """Half-width of the Student interval of a log-ratio over probes, and its largest change with depth."""
    if one.complete and other.complete:
        return 0.0, 0.0
    left_out = np.log(_leave_one_out(one, measure, side)) - np.log(_leave_one_out(other, measure, side))
    middle, changes = log_ratio(one, other, measure, side), []
    for name in ("half", "most"):
        pair = [getattr(s, name) for s in (one, other)]
        changes.append(math.nan if None in pair else abs(middle - log_ratio(*pair, measure, side)))
    return student_width(len(left_out)) * jackknife(left_out), float(np.max(changes))


def _spread_over_groups(groups: Sequence[tuple[Spectrum, Spectrum]], measure: Measure, side: str) -> float:
    """Half-width of the Student interval of a log-ratio over samples; NaN for fewer than `LEAST_GROUPS`."""
    if len(groups) < LEAST_GROUPS:
        return math.nan
    each = np.array([log_ratio(*pair, measure, side) for pair in groups])
    return student_width(len(each)) * float(standard_error(each))


def student_width(count: int) -> float:
    """Half-width of a 95 % interval from so many numbers, in standard errors."""
    return float(special.stdtrit(max(count - 1, 1), 0.975))


def _value(spectrum: Spectrum, measure: Measure, side: str) -> float:
    """A measure of a spectrum, with the mean weights of all probes; of an exact one without values up to rounding."""
    if measure in EXACT_ONLY and not spectrum.complete:
        return math.nan
    value = spectrum.value
    if spectrum.complete:
        value = np.where(np.abs(value) <= spectrum.error, 0.0, value)
    return measure_side(measure, value, spectrum.size * spectrum.deflated.mean(0), side)


def _leave_one_out(spectrum: Spectrum, measure: Measure, side: str) -> Float[Array, " probe"]:
    """The measure of a spectrum without each of the probes in turn; NaN for fewer than `LEAST_PROBES`."""
    counts, probes = spectrum.size * spectrum.deflated, len(spectrum.deflated)
    if probes < LEAST_PROBES or measure in EXACT_ONLY:
        return np.full(probes, np.nan)
    others = ((counts.sum(0) - row) / (probes - 1) for row in counts)
    return np.array([measure_side(measure, spectrum.value, count, side) for count in others])


def jackknife(left_out: Float[Array, " probe"]) -> float:
    """Standard error from the values without each probe."""
    return float(np.sqrt((len(left_out) - 1) / len(left_out) * ((left_out - left_out.mean()) ** 2).sum()))

"""Ratios of condition numbers of exact spectra, with intervals over samples and over seeds."""

from __future__ import annotations

import math

import numpy as np

from ..._typing import Array, Float, Sequence
from .condition_numbers import LEAST_GROUPS, Measure, jackknife, log_ratio, student_width
from .eigenvalues import Spectrum

LEAST_SEEDS = 2


def exact_ratio(
    one: Spectrum,
    other: Spectrum,
    measure: Measure,
    side: str = "absolute",
    left_out: Sequence[tuple[Spectrum, Spectrum]] = (),
) -> tuple[float, float, float]:
    """Ratio of a measure of two exact spectra, and its 95 % interval over samples.

    The interval is of the logarithm: a delete-one jackknife over groups of samples, with the Student factor of their
    number. The numbers of a group itself would differ in size: a matrix of few samples has a lower rank.

    Args:
        left_out: both spectra without each of the groups of the samples.

    Returns:
        The ratio, and the low and the high end of its interval: NaN for fewer than `LEAST_GROUPS` groups.

    Source: Efron, The Jackknife (1982), chapter 3; Shao and Wu, Annals of Statistics 17, 1176 (1989), for groups.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        middle, width = log_ratio(one, other, measure, side), math.nan
        if len(left_out) >= LEAST_GROUPS:
            each = np.array([log_ratio(*pair, measure, side) for pair in left_out])
            width = student_width(len(each)) * jackknife(each)
        return float(np.exp(middle)), float(np.exp(middle - width)), float(np.exp(middle + width))


def ratio_over_seeds(ratio: Float[Array, " seed"], left_out: Float[Array, "seed group"]) -> tuple[float, float, float]:
    """Geometric mean of ratios over seeds of a training, and its 95 % interval over seeds and samples.

    The seeds are measured on the same samples, so that the error over samples does not fall with their number. Both
    errors are added in squares, as Student intervals of the logarithm. The spread over seeds holds a part of the spread
    over samples too, so the interval is rather too wide.

    Args:
        ratio: of each seed, on all samples.
        left_out: the same without each of the groups of the samples.

    Returns:
        The ratio, and the low and the high end: NaN for fewer than `LEAST_SEEDS` seeds or `LEAST_GROUPS` groups.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        each, groups = np.log(ratio), np.log(left_out).mean(0)
        middle, width = float(each.mean()), math.nan
        if len(each) >= LEAST_SEEDS and len(groups) >= LEAST_GROUPS:
            seeds = student_width(len(each)) * float(each.std(ddof=1)) / math.sqrt(len(each))
            width = math.hypot(seeds, student_width(len(groups)) * jackknife(groups))
        return float(np.exp(middle)), float(np.exp(middle - width)), float(np.exp(middle + width))

"""Intervals of ratios of exact condition numbers, over samples and over seeds."""

import numpy as np
import pytest
from scipy import stats

from twirlscope.estimators.curvature.condition_numbers import MEASURES
from twirlscope.estimators.curvature.eigenvalues import Spectrum
from twirlscope.estimators.curvature.exact_ratios import exact_ratio, ratio_over_seeds

RANK = MEASURES["effective_rank"][0]


def spectrum(*values):
    value = np.sort(np.array(values, float))
    return Spectrum(
        value, np.full(len(value), 1e-12), np.full((1, len(value)), 1 / len(value)), len(value), True, np.zeros(0)
    )


def test_exact_ratio__has_the_jackknife_interval_of_its_logarithm():
    ones, others = spectrum(4, 2, 2), spectrum(1, 1, 1)
    left_out = [(spectrum(4, x, x), others) for x in (1, 2, 3)]
    ratio, low, high = exact_ratio(ones, others, RANK, left_out=left_out)
    assert ratio == pytest.approx(2 / 3)
    each = np.log([1.5 / 3, 2 / 3, 2.5 / 3])
    width = stats.t.ppf(0.975, 2) * np.sqrt(2 / 3 * ((each - each.mean()) ** 2).sum())
    assert (np.log(high / ratio), np.log(ratio / low)) == pytest.approx((width, width))


def test_exact_ratio__of_two_groups_has_no_interval():
    pair = (spectrum(4, 2), spectrum(1, 1))
    assert np.isnan(exact_ratio(*pair, RANK, left_out=[pair, pair])[1:]).all()


def test_measures__of_exact_spectra_take_values_up_to_rounding_for_zero():
    noisy = spectrum(8, 4, 2, 1e-13, -1e-14)
    for name, truth in (("rank", 3), ("kappa_smallest", 4), ("kappa_median", 2)):
        assert exact_ratio(noisy, spectrum(1, 1), MEASURES[name][0])[0] == pytest.approx(
            truth / (2 if name == "rank" else 1)
        )


def test_ratio_over_seeds__adds_both_errors_in_squares():
    ratio, left_out = np.array([2.0, 3.0, 4.0]), np.array([[2.0, 2.2, 1.9], [3.0, 3.3, 2.8], [4.0, 4.4, 3.9]])
    middle, low, high = ratio_over_seeds(ratio, left_out)
    assert middle == pytest.approx(24 ** (1 / 3))
    seeds = stats.sem(np.log(ratio))
    groups = np.log(left_out).mean(0)
    samples = np.sqrt(2 / 3 * ((groups - groups.mean()) ** 2).sum())
    width = stats.t.ppf(0.975, 2) * np.hypot(seeds, samples)
    assert (np.log(high / middle), np.log(middle / low)) == pytest.approx((width, width))


def test_ratio_over_seeds__needs_two_seeds():
    assert np.isnan(ratio_over_seeds(np.array([2.0]), np.ones((1, 4)))[1:]).all()

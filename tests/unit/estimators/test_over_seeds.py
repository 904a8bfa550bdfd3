"""Means and ratios over seeds against SciPy."""

import numpy as np
import pytest
from scipy import stats

from twirlscope.estimators import over_seeds


def test_ratio__has_the_interval_of_welchs_test():
    a, b = np.exp(np.random.default_rng(0).normal(size=(2, 4)))
    found = over_seeds.ratio(a, b)
    expected = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(0.95)
    assert np.log([found.low, found.high]) == pytest.approx([expected.low, expected.high])
    assert found.value == pytest.approx(stats.gmean(a) / stats.gmean(b))


def test_mean__has_students_interval_and_none_of_one_seed():
    values = np.array([1.0, 1.2, 0.9])
    found = over_seeds.geometric_mean(values)
    expected = stats.ttest_1samp(np.log(values), 0).confidence_interval(0.95)
    assert np.log([found.low, found.high]) == pytest.approx([expected.low, expected.high])
    assert np.isnan(over_seeds.geometric_mean(values[:1]).low)
    assert np.isnan(over_seeds.ratio(values[:1], values).low)


@pytest.mark.filterwarnings("error")
def test_one_seed__has_no_interval_and_no_warning():
    found = over_seeds.geometric_mean([2.0])
    assert found.value == pytest.approx(2)
    assert np.isnan([found.low, found.high]).all()
    assert np.isnan(over_seeds.ratio([2.0], [1.0, 3.0])[1:]).all()


def test_ratio__of_two_seeds_of_very_unequal_spread_has_about_one_degree_of_freedom():
    a, b = np.exp([0.0, 1.0]), np.exp([0.0, 1e-3])
    found = over_seeds.ratio(a, b)
    expected = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(0.95)
    assert np.log([found.low, found.high]) == pytest.approx([expected.low, expected.high], rel=1e-4)
    assert np.log(found.high / found.value) == pytest.approx(12.706 * 0.5, rel=1e-3)


def test_values__at_zero_have_no_mean_and_those_in_single_precision_lose_nothing():
    assert np.isnan(over_seeds.geometric_mean([0.0, 1.0]).value)
    values = np.array([1.1, 1.3, 0.7], np.float32)
    assert over_seeds.geometric_mean(values).value == pytest.approx(stats.gmean(values.astype(float)), rel=1e-12)

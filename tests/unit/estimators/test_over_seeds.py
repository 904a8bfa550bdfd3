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

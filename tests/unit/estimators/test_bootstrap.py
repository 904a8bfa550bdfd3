"""Error bars of means: the standard error against scipy, and its value for a single sample."""

import numpy as np
from scipy import stats

from twirlscope.estimators.bootstrap import standard_error


def test_standard_error__is_that_of_scipy_over_the_last_axis():
    values = np.random.default_rng(0).normal(size=(3, 4, 17))
    np.testing.assert_allclose(standard_error(values), stats.sem(values, axis=-1), rtol=1e-14)


def test_standard_error__of_a_single_sample_is_nan():
    assert np.isnan(standard_error(np.ones(1)))
    np.testing.assert_array_equal(standard_error(np.ones((3, 2, 1))), np.full((3, 2), np.nan))

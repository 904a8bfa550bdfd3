"""Lower bounds of the largest of several ratios."""

import numpy as np
import pytest
from scipy import stats

from twirlscope.estimators import simultaneous
from twirlscope.estimators.bootstrap import standard_error


def test_lower_bound__of_one_mean_is_that_of_students_t():
    values = np.random.default_rng(0).standard_normal((1, 30)) + 3
    expected = values.mean() - stats.t.ppf(0.975, 29) * values.std(ddof=1) / 30**0.5
    found = simultaneous.lower_bound_of_largest(values, np.ones((1, 30)))
    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("count", [1, 10])
def test_lower_bound__holds_for_the_largest_of_equal_ratios(count):
    random, trials = np.random.default_rng(count), 300
    above = 0.1 * np.exp(0.5 * random.standard_normal((trials, count, 60)) - 0.125)
    missed = np.mean([simultaneous.lower_bound_of_largest(a, np.ones((count, 60))) > 0.1 for a in above])
    assert missed < 0.05
    alone = above.mean(-1) - 2 * above.std(-1) / 60**0.5
    at = above.mean(-1).argmax(-1)
    naive = np.mean(np.take_along_axis(alone, at[:, None], 1) > 0.1)
    assert count == 1 or naive > 2 * missed  # the interval of the checkpoint that was selected


def test_lower_bound__of_clusters_is_wider():
    values = np.repeat(np.random.default_rng(1).standard_normal(10), 8)[None] + 5
    cluster = np.repeat(np.arange(10), 8)
    one, other = (simultaneous.lower_bound_of_largest(values, np.ones((1, 80)), c) for c in (None, cluster))
    assert other < one
    expected = values.mean() - stats.t.ppf(0.975, 9) * standard_error(values[0], cluster)
    assert other == pytest.approx(expected, abs=0.05)
    assert simultaneous.lower_bound_of_largest(values, np.ones((1, 80)), np.zeros(80, int)) == -np.inf

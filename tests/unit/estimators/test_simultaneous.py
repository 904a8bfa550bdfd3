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


@pytest.fixture
def many_draws(monkeypatch):
    monkeypatch.setattr(simultaneous, "DRAWS", 100_000)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_lower_bound__of_one_ratio_of_few_clusters_is_that_of_students_t(count, many_draws):
    random = np.random.default_rng(count)
    above, below = random.gamma(4, size=(2, 1, count))
    ratio = above.sum() / below.sum()
    error = standard_error(above[0] - ratio * below[0]) / below.mean()
    found = simultaneous.lower_bound_of_largest(above, below)
    assert (ratio - found) / error == pytest.approx(stats.t.ppf(0.975, count - 1), rel=0.02)


def test_lower_bound__of_several_ratios_is_that_of_correlated_normal_errors(many_draws):
    """Simulated from the correlation of the errors, with no sample left; dimensions of the ratios are free."""
    random = np.random.default_rng(3)
    common = random.standard_normal(6)
    above = 4 + np.stack([[common, 2 * common + 0.3 * random.standard_normal(6)], random.standard_normal((2, 6))])
    below = random.gamma(9, 1 / 9, (2, 2, 6))
    ratio = above.mean(-1) / below.mean(-1)
    rest = above - ratio[..., None] * below
    error = np.array([standard_error(r) for r in rest.reshape(4, 6)]).reshape(2, 2) / below.mean(-1)
    scaled = rest.reshape(4, 6)
    correlation = scaled @ scaled.T / np.sqrt(np.outer(*[(scaled**2).sum(1)] * 2))
    largest = np.random.default_rng(4).multivariate_normal(np.zeros(4), correlation, 200_000).max(-1)
    factor = stats.t.ppf(stats.norm.cdf(np.quantile(largest, 0.975)), 5)
    expected = (ratio - factor * error).max()
    found = simultaneous.lower_bound_of_largest(above, below)
    assert found == pytest.approx(expected, abs=0.02 * error.max())
    assert found == simultaneous.lower_bound_of_largest(above, below)  # the same random numbers


@pytest.mark.filterwarnings("error")
def test_lower_bound__of_numbers_without_any_error_is_the_number():
    assert simultaneous.lower_bound_of_largest(np.full((2, 9), 3.0), np.full((2, 9), 2.0)) == 1.5
    assert simultaneous.lower_bound_of_largest(np.ones((2, 1)), np.ones((2, 1))) == -np.inf


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

"""Heavy tails: closed forms, and the warning against the simulated coverage of intervals."""

import numpy as np
import pytest
from scipy import stats

from twirlscope.estimators import bootstrap, heavy_tails

LIGHT = {"gamma 2": stats.gamma(2), "uniform": stats.uniform(), "lognormal 0.5": stats.lognorm(0.5)}
HEAVY = {"Pareto 1.2": stats.pareto(1.2), "lognormal 2.5": stats.lognorm(2.5), "Pareto 1.5": stats.pareto(1.5)}


def coverage(law, samples=500, repeats=1000, seed=0):
    """Shares of repeats in which the 95 % interval of the mean holds the truth, and in which the rule warns."""
    values = law.rvs((repeats, samples), random_state=seed)
    parts = [bootstrap.interval(part, None, 600, seed) for seed, part in enumerate(np.split(values, 8))]
    low, high = np.concatenate(parts, 1)
    return np.mean((low <= law.mean()) & (law.mean() <= high)), np.mean(heavy_tails.is_heavy(values))


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_interval__covers_the_mean_of_light_tails_without_a_warning(name):
    covered, warned = coverage(LIGHT[name])
    assert 0.92 < covered < 0.98
    assert warned < 0.03


@pytest.mark.parametrize("name", sorted(HEAVY))
def test_is_heavy__warns_where_the_interval_misses_the_mean(name):
    covered, warned = coverage(HEAVY[name])
    assert covered < 0.85
    assert warned > 0.9


def test_top_share__is_that_of_at_least_one_sample():
    values = np.ones((2, 200))
    values[0, 3] = 100
    np.testing.assert_allclose(heavy_tails.top_share(values), [101 / 299, 0.01])
    assert heavy_tails.top_share(np.array([1.0, 3.0])) == pytest.approx(0.75)
    assert np.isnan(heavy_tails.top_share(np.zeros(5)))


def test_effective_samples__counts_equal_samples_and_ignores_empty_ones():
    assert heavy_tails.effective_samples(np.full(30, 0.2)) == pytest.approx(30)
    assert heavy_tails.effective_samples(np.array([0.0, 1.0, 1.0, 0.0])) == pytest.approx(2)


def test_tail_index__is_the_exponent_of_a_pareto_law_at_any_scale():
    values = stats.pareto(1.7).rvs((200, 2000), random_state=0)
    found = heavy_tails.tail_index(values)
    assert found.mean() == pytest.approx(1.7, rel=0.03)
    np.testing.assert_allclose(heavy_tails.tail_index(1e-6 * values), found)


@pytest.mark.parametrize("values", [np.ones(10), np.full(100, np.nan), np.full(100, np.inf)], ids=["few", "nan", "inf"])
def test_is_heavy__warns_where_nothing_can_be_said(values):
    assert heavy_tails.is_heavy(values)


def test_is_heavy__does_not_warn_of_equal_samples():
    assert not heavy_tails.is_heavy(np.ones(64))
    assert heavy_tails.is_heavy(np.ones((3, 2, 64))).shape == (3, 2)


def test_heavy_tails__of_clusters_are_those_of_their_sums():
    """500 equal samples, of which one cluster has 300: the sum of that cluster is another than the others."""
    values, cluster = np.ones(500), np.repeat(np.arange(201), [300, *[1] * 200]).astype(np.int32)
    assert not heavy_tails.is_heavy(values)
    assert heavy_tails.is_heavy(values, cluster)
    assert heavy_tails.top_share(values, cluster=cluster) == pytest.approx(302 / 500)
    assert heavy_tails.is_heavy(values, np.repeat(np.arange(10), 50).astype(np.int32))  # few clusters
    one_each = np.arange(500, dtype=np.int32)
    assert not heavy_tails.is_heavy(values, one_each)

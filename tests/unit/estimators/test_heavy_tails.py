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


def test_top_share__is_that_of_the_largest_of_every_row_and_rounds_their_number_up():
    values = np.stack([[np.arange(1.0, 151)], [np.full(150, 2.0)]])
    np.testing.assert_allclose(heavy_tails.top_share(values), [[(150 + 149) / (150 * 151 / 2)], [2 / 150]])
    np.testing.assert_allclose(heavy_tails.top_share(values, 0.1), [[sum(range(136, 151)) / 11325], [0.1]])


@pytest.mark.filterwarnings("error")
def test_heavy_tails__of_nothing_are_not_a_number_without_a_warning():
    zeros = np.zeros((2, 3, 40))
    for found in (heavy_tails.top_share(zeros), heavy_tails.top_share(-1 - zeros)):
        np.testing.assert_array_equal(found, np.full((2, 3), np.nan))
    for function in (heavy_tails.effective_samples, heavy_tails.tail_index, heavy_tails.skewness_of_mean):
        np.testing.assert_array_equal(function(zeros), np.full((2, 3), np.nan))
    assert heavy_tails.is_heavy(zeros).all()
    inf = np.ones(40)
    inf[3] = np.inf
    with np.errstate(invalid="ignore"):
        assert heavy_tails.is_heavy(inf)


@pytest.mark.parametrize("shape", [(200,), (3, 200), (2, 3, 200)])
def test_skewness_of_mean__is_that_of_scipy_over_the_root_of_the_number(shape):
    values = np.random.default_rng(0).gamma(2, size=shape)
    np.testing.assert_allclose(heavy_tails.skewness_of_mean(values), stats.skew(values, axis=-1) / 200**0.5)
    np.testing.assert_allclose(
        heavy_tails.effective_samples(values) / 200, 1 / (1 + np.var(values, -1) / values.mean(-1) ** 2)
    )


@pytest.mark.parametrize(("samples", "top"), [(11, 10), (200, 10), (201, 11), (300, 15)])
def test_tail_index__is_hills_of_a_twentieth_of_the_samples_and_of_ten_at_least(samples, top):
    values = np.random.default_rng(samples).pareto(2, (2, 2, samples)) + 0.5
    found = heavy_tails.tail_index(values)
    for place in np.ndindex(2, 2):
        largest = sorted(values[place], reverse=True)[: top + 1]
        assert found[place] == pytest.approx(1 / np.mean([np.log(v / largest[-1]) for v in largest[:-1]]))
    assert np.isnan(heavy_tails.tail_index(values[..., :10])).all()
    assert np.isnan(heavy_tails.tail_index(np.append(np.zeros(samples), [1.0, 2.0]))).all()


def test_is_heavy__is_true_for_each_of_its_three_reasons_alone():
    light = np.linspace(1, 2, 400)
    tail = np.append(np.full(380, 0.9), np.full(20, 2.0))  # the mean logarithm of the top over the next is ln(2 / 0.9)
    few = np.linspace(9, 10, 18)
    skewed = np.append(np.linspace(1, 3, 400), 30.0)
    found = [
        (heavy_tails.tail_index(v) < 2, heavy_tails.effective_samples(v) < 20, heavy_tails.skewness_of_mean(v) > 0.3)
        for v in (light, tail, few, skewed)
    ]
    reasons = np.array([[False] * 3, [True, False, False], [False, True, False], [False, False, True]])
    np.testing.assert_array_equal(found, reasons)
    assert [bool(heavy_tails.is_heavy(v)) for v in (light, tail, few, skewed)] == [False, True, True, True]
    assert not heavy_tails.is_heavy(np.ones(20))
    assert heavy_tails.is_heavy(np.ones(19))

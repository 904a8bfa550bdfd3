"""Power laws: exact ones, SciPy as a second road, and how often intervals hold the truth."""

import numpy as np
import pytest
from power_worlds import coverage, drawn, frontier_coverage
from scipy import stats

from twirlscope.estimators import power_laws

X = np.array([1.0, 3.0, 8.0, 20.0, 64.0])


def test_fit__of_an_exact_power_law_is_that_law_without_an_error():
    law = power_laws.fit(X, [[7 * x**-0.35] * 2 for x in X])
    assert law.interval == pytest.approx((-0.35, -0.35, -0.35), abs=1e-12)
    np.testing.assert_allclose(law.at(X), np.tile(7 * X**-0.35, (3, 1)), rtol=1e-12)
    assert law.octaves == pytest.approx(6)
    assert law.bend == pytest.approx((0, 0, 0), abs=1e-10)


def test_fit__is_the_regression_of_scipy_on_means_over_seeds():
    y = np.exp(np.random.default_rng(0).normal(size=(5, 3)))
    law, expected = power_laws.fit(X, y), stats.linregress(np.log(X), np.log(y).mean(1))
    half = stats.t.ppf(0.975, 3) * expected.stderr
    found = (law.exponent, law.level - law.exponent * law.centre)
    assert found == pytest.approx((expected.slope, expected.intercept))
    assert law.interval[1:] == pytest.approx((expected.slope - half, expected.slope + half))
    assert law.error(1.0) == pytest.approx(expected.intercept_stderr)


def test_bend__is_the_change_of_the_slope_of_a_parabola():
    along = np.log(X)
    law = power_laws.fit(X, np.exp(-0.5 * along + 0.05 * along**2)[:, None])
    assert law.bend.value == pytest.approx(0.1 * np.log(64))
    assert law.bends
    noisy = np.exp(-0.5 * along + 0.05 * along**2 + [0.02, -0.02, 0.02, 0.01, -0.03])[:, None]
    expected = np.polynomial.Polynomial.fit(along, np.log(noisy[:, 0]), 2).convert().coef[2]
    assert power_laws.fit(X, noisy).bend.value == pytest.approx(2 * expected * np.log(64))
    assert not power_laws.fit(X, np.exp(np.random.default_rng(1).normal(size=(5, 2)))).bends
    assert np.isnan(power_laws.fit(X[:3], X[:3, None] ** -1).bend.value)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([1, 2, 3, 4], 1.0, "too short a range: 2.0 octaves"),
        ([1, 4, 16], 1.0, "too few runs: 3 of 4"),
        ([1, 1, 4, 16], 1.0, "too few runs: 3 of 4"),
        ([1, 2, 4, 16], 0.0, "values at or below zero"),
        ([1, 2, 4, 16], np.nan, "values at or below zero"),
        ([1, 2, 4, 16], 1.0, ""),
    ],
)
def test_obstacle__says_why_there_is_no_law(x, y, reason):
    assert power_laws.obstacle(np.array(x, float), [[1.0, y]] * len(x)) == reason


def test_best_per_octave__has_the_lowest_run_of_each():
    x, y = np.array([3, 3, 5, 6.0, 11.9, 40]), np.array([5, 4, 6, 2, 3, 7.0])
    assert power_laws.best_per_octave(x, y).tolist() == [1, 3, 5]


def test_comparisons__of_exact_laws_are_exact():
    steep, flat = (power_laws.fit(X * f, [[c * (x * f) ** -e] for x in X]) for f, c, e in ((1, 2, 0.5), (4, 1, 0.2)))
    assert power_laws.difference(steep, flat) == pytest.approx((-0.3,) * 3)
    assert power_laws.ratio(steep, flat, 10.0) == pytest.approx((2 * 10**-0.3,) * 3)
    assert power_laws.common_range(steep, flat) == pytest.approx((4, 64))
    assert power_laws.common_range(steep, power_laws.fit(X * 100, X[:, None])) is None


def test_difference__is_that_of_welch():
    one, other = (power_laws.fit(X, drawn(np.random.default_rng(s), X, -0.4, 2, 0.1, 0.1)) for s in (0, 1))
    found = power_laws.difference(one, other)
    parts = [law.variance / law.spread for law in (one, other)]
    freedom = sum(parts) ** 2 / sum(p**2 / 3 for p in parts)
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, freedom) * sum(parts) ** 0.5)


@pytest.mark.parametrize(("seed_noise", "run_noise"), [(0.1, 0.0), (0.05, 0.05), (0.03, 0.1)])
def test_intervals__hold_the_exponent_in_95_of_100_simulations(seed_noise, run_noise):
    found = coverage(800, 5, 2, seed_noise, run_noise)
    assert all(0.92 <= share <= 0.98 for share in found.values()), found


def test_intervals__hold_the_exponent_of_the_lowest_losses_too():
    found = frontier_coverage(600, 3, 6, 2, 0.05, 0.05)
    assert len(found) == 600
    assert 0.92 <= np.mean(found) <= 0.98

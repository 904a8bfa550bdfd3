"""Correlations and exponents along trainings, whose checkpoints are not independent."""

import claim_worlds
import numpy as np
import pytest
from scipy import stats

from twirlscope.estimators import trajectories


@pytest.mark.parametrize("points", [8, 12, 25])
def test_correlation__of_unrelated_walks_is_rarely_positive(points):
    """Over the checkpoints themselves it is in one of ten to one of four pairs of walks."""
    random, trials = np.random.default_rng(points), 300
    walks = np.cumsum(random.standard_normal((trials, 2, points)), -1)
    found = [trajectories.correlation_of_changes(*pair)[1] > 0 for pair in walks]
    naive = [stats.pearsonr(*pair).confidence_interval(0.95).low > 0 for pair in walks]
    assert np.mean(found) <= 0.05
    assert np.mean(naive) > 0.1


@pytest.mark.parametrize("rho", [0.5, 0.8, 0.97])
def test_correlation__interval_covers_the_truth_for_autocorrelated_points(rho):
    random, trials, truth, covered = np.random.default_rng(0), 300, 0.6, 0
    for _ in range(trials):
        x, other = (claim_worlds.autocorrelated(random, 14, rho) for _ in range(2))
        _, low, high = trajectories.correlation_of_changes(x, truth * x + (1 - truth**2) ** 0.5 * other)
        covered += low <= truth <= high
    assert 0.92 <= covered / trials <= 0.99


def test_correlation__needs_six_points_that_vary():
    x = np.array([0.0, 1, 3, 2, 5, 4])
    assert trajectories.correlation_of_changes(x[:5], x[:5]) is None
    assert trajectories.correlation_of_changes(x, np.ones(6)) is None
    assert trajectories.correlation_of_changes(x, 2 * x)[0] == pytest.approx(1)
    assert trajectories.correlation_of_changes(x, -x)[0] == pytest.approx(-1)


@pytest.mark.parametrize("noise", [(0.0, 0.3), (0.3, 0.0), (0.1, 0.2)])
@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_power_law__interval_covers_the_truth_whichever_number_has_errors(noise, rho):
    random, trials, covered = np.random.default_rng(3), 150, 0
    true = np.linspace(0, 2.2, 10)
    for _ in range(trials):
        x, y = (
            v + s * claim_worlds.autocorrelated(random, 10, rho) for v, s in zip((true, 2 * true), noise, strict=True)
        )
        _, low, high = trajectories.power_law(np.exp(x), np.exp(y))
        covered += low <= 2 <= high
    assert covered / trials >= 0.92


def test_power_law__is_not_flattened_by_errors_of_the_distance():
    """A noise of 0.3 in the logarithm of the distance turns an exponent of 2 into 1.63 by least squares."""
    random, true = np.random.default_rng(0), np.linspace(0, 2.2, 400)
    x, y = np.exp(true + 0.3 * random.standard_normal(400)), np.exp(2 * true)
    value, low, high = trajectories.power_law(x, y)
    assert stats.linregress(np.log(x), np.log(y)).slope == pytest.approx(1.63, abs=0.05)
    assert low < 2 < high
    assert value == pytest.approx(2 * 0.815**0.5, abs=0.05)  # the middle of both regressions


@pytest.mark.parametrize("exponent", [2.0, -1.5])
def test_power_law__without_errors_is_exact(exponent):
    x = np.geomspace(0.1, 10, 8)
    assert trajectories.power_law(x, 3 * x**exponent) == pytest.approx((exponent,) * 3, abs=1e-6)
    assert trajectories.power_law(x[:5], x[:5]) is None


def test_power_law__of_unrelated_numbers_has_an_open_end():
    x, y = np.exp(np.random.default_rng(4).standard_normal((2, 10)))
    _, low, high = trajectories.power_law(x, y)
    assert np.isinf(low) or np.isinf(high)

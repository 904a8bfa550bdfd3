"""Correlations and exponents along trainings, whose checkpoints are not independent."""

import itertools

import claim_worlds
import numpy as np
import pytest
from scipy import optimize, stats

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


@pytest.mark.slow
@pytest.mark.parametrize("noise", [(0.0, 0.3), (0.3, 0.0), (0.1, 0.2)])
@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_power_law__interval_covers_the_truth_whichever_number_has_errors(noise, rho):
    random, trials, covered = np.random.default_rng(3), 75, 0
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


def scores_of(values):
    """Normal scores of the changes, from their places in the sorted list; no two changes are equal."""
    change = [b - a for a, b in itertools.pairwise(values)]
    place = [sorted(change).index(c) + 1 for c in change]
    found = np.array([stats.norm.isf(1 - (p - 3 / 8) / (len(change) + 1 / 4)) for p in place])
    return (found - np.mean(found)) / np.std(found)


def correlation(u, v, weight):
    """Pearson's correlation with weights."""
    return np.cov(u, v, aweights=weight, ddof=0)[0, 1] / np.sqrt(
        np.cov(u, aweights=weight, ddof=0) * np.cov(v, aweights=weight, ddof=0)
    )


def half_widths(u, v):
    """Half-widths of Fisher's interval for the effective number, and of that of the empirical variance, in atanh(r)."""
    n, r = len(u), np.corrcoef(u, v)[0, 1]
    lag = [sum(w[k] * w[k + 1] for k in range(n - 1)) / n for w in (u, v)]
    effective = n / max(1, 1 + 2 * lag[0] * lag[1])
    fisher = 1.959963984540054 / np.sqrt(max(effective - 3, 0.5))
    tilted = [np.ones(n) + 1e-5 * np.eye(n)[k] for k in range(n)]
    influence = np.array([(correlation(u, v, w) - r) / 1e-5 * n for w in tilted])
    spread = np.sqrt(np.mean(influence**2) / max(n - 3, 1)) / (1 - r**2)
    return fisher, stats.t.isf(0.025, n - 2) * spread


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("points", [6, 9, 15])
def test_correlation__has_the_wider_of_two_intervals_made_by_hand(points, seed):
    """The variance by numerical derivatives of the correlation to the weight of each change."""
    random = np.random.default_rng(seed)
    shared = np.cumsum(np.cumsum(random.standard_normal(points)))  # changes are autocorrelated
    x, y = (shared + w * np.cumsum(random.standard_normal(points)) for w in (0.5, 2.0))
    u, v = scores_of(x), scores_of(y)
    r, low, high = trajectories.correlation_of_changes(x, y)
    assert r == pytest.approx(np.corrcoef(u, v)[0, 1])
    half = max(half_widths(u, v))
    assert (np.arctanh(r) - np.arctanh(low), np.arctanh(high) - np.arctanh(r)) == pytest.approx((half, half), rel=1e-3)


def test_correlation__by_hand_is_decided_by_either_interval():
    """The seeds of the test above contain both cases."""
    wider = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        shared = np.cumsum(np.cumsum(random.standard_normal(15)))
        x, y = (shared + w * np.cumsum(random.standard_normal(15)) for w in (0.5, 2.0))
        fisher, empirical = half_widths(scores_of(x), scores_of(y))
        wider.append(fisher > empirical)
    assert set(wider) == {True, False}


def test_correlation__of_equal_changes_gives_them_the_same_rank_and_no_warning():
    x = np.array([0.0, 1, 2, 3, 4, 5])
    with np.errstate(all="raise"):
        r, low, high = trajectories.correlation_of_changes(x, np.array([0.0, 1, 3, 2, 5, 4]))
    assert r == 0
    assert low < 0 < high


def generalised(x, y, rho):
    """Slope, its standard error, and the density of the data, from whitened numbers and from contrasts without trend.

    The density is that of the numbers that any straight line leaves unchanged, over all scales of the error.
    """
    n = len(x)
    covariance = np.array([[rho ** abs(i - j) for j in range(n)] for i in range(n)])
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    design = np.stack([np.ones(n), x], 1)
    found, rest, *_ = np.linalg.lstsq(white @ design, white @ y, rcond=None)
    error = np.sqrt(rest[0] / (n - 2) * np.linalg.inv((white @ design).T @ (white @ design))[1, 1])
    contrast = np.linalg.qr(design, mode="complete")[0][:, 2:]
    inner = contrast.T @ covariance @ contrast
    square = (contrast.T @ y) @ np.linalg.solve(inner, contrast.T @ y)
    return found[1], error, np.linalg.det(inner) ** -0.5 * square ** (-(n - 2) / 2)


@pytest.mark.parametrize("rhos", [(0.0,), (0.7,), (0.0, 0.5, 0.9)])
@pytest.mark.parametrize("exponent", [1.3, -0.8])
def test_power_law__is_between_both_regressions_with_the_mean_over_autocorrelations(monkeypatch, rhos, exponent):
    monkeypatch.setattr(trajectories, "AUTOCORRELATIONS", np.array(rhos))
    random, line = np.random.default_rng(1), np.linspace(0, 3, 9)
    x, y = line + 0.05 * random.standard_normal(9), exponent * line + 0.1 * random.standard_normal(9)

    def ends(a, b):
        slope, error, weight = np.array([generalised(a, b, rho) for rho in rhos]).T
        weight = weight / weight.sum()
        exceeded = [lambda t, p=p: weight @ stats.t.cdf((t - slope) / error, 7) - p for p in (0.025, 0.975)]
        return [optimize.brentq(f, slope.min() - 50 * error.max(), slope.max() + 50 * error.max()) for f in exceeded]

    forward, backward = ends(x, y), ends(y, x)
    expected = (forward[0], 1 / backward[0]) if exponent > 0 else (1 / backward[1], forward[1])
    value, low, high = trajectories.power_law(np.exp(x), np.exp(y))
    assert (low, high) == pytest.approx(expected, rel=1e-6)
    assert value == pytest.approx(np.sign(exponent) * np.std(y) / np.std(x))
    if rhos == (0.0,):
        fit = stats.linregress(x, y)
        near, far = (low, high) if exponent > 0 else (high, low)
        assert near == pytest.approx(fit.slope - np.sign(exponent) * stats.t.ppf(0.975, 7) * fit.stderr)
        assert abs(far) > abs(near)


@pytest.mark.parametrize("sign", [1, -1])
def test_power_law__of_a_weak_relation_is_open_to_the_side_of_its_sign(sign):
    """The exponent may be as large as one likes if log x is all noise, but it is not far on the other side of 0."""
    random = np.random.default_rng(2)
    x = random.standard_normal(8)
    y = sign * (0.4 * x + random.standard_normal(8))
    fit = stats.linregress(x, y)
    assert np.sign(fit.slope) == sign
    assert fit.pvalue > 0.1
    value, low, high = trajectories.power_law(np.exp(x), np.exp(y))
    assert (low if sign < 0 else high) == sign * np.inf
    assert np.isfinite(high if sign < 0 else low)
    assert low <= value <= high


def test_power_law__needs_six_points_that_vary():
    x = np.array([1.0, 2, 3, 5, 8, 13])
    assert trajectories.power_law(x, np.ones(6)) is None
    assert trajectories.power_law(np.ones(6), x) is None
    assert trajectories.power_law(x, x[::-1]) is not None
    assert trajectories.correlation_of_changes(np.ones(6), x) is None

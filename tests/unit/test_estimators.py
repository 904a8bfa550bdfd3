"""The split of the loss against closed forms and by simulation."""

import numpy as np
import pytest
from scipy import stats

from twirlscope import estimators


def products(z, y):
    """Gram matrix, products with the target, square of the target; last axis of z and y the components."""
    d = y.shape[-1]
    gram = np.einsum("...id,...jd->...ij", z, z) / d
    return gram, np.einsum("...id,...d->...i", z, y) / d, (y * y).sum(-1) / d


def test_split__adds_up_exactly_for_every_draw():
    random = np.random.default_rng(0)
    z, y = random.normal(size=(7, 5, 12)), random.normal(size=(7, 12))
    found = estimators.split(*products(z, y))
    np.testing.assert_allclose(found.mean + found.equiv, found.total, rtol=1e-14)
    np.testing.assert_allclose(found.total, ((z - y[:, None]) ** 2).mean((1, 2)), rtol=1e-12)


def test_split__equals_the_pairwise_form():
    random = np.random.default_rng(1)
    z, y = random.normal(size=(4, 3)), random.normal(size=3)
    found = estimators.split(*products(z, y))
    pairs = [(z[i] - y) @ (z[j] - y) / 3 for i in range(4) for j in range(4) if i != j]
    assert found.mean == pytest.approx(np.mean(pairs), rel=1e-12)
    assert found.equiv == pytest.approx(z.var(0, ddof=1).mean(), rel=1e-12)


@pytest.mark.parametrize("K", [2, 3, 4, 8, 16])
def test_split__is_unbiased(K):
    """z = T + noise with known variance: the mean over many draws must be the known split."""
    random = np.random.default_rng(K)
    twirled, target, sigma, draws = np.array([0.3, -0.2, 0.1]), np.array([1.0, 0.0, 0.5]), 0.7, 20_000
    z = twirled + sigma * random.normal(size=(draws, K, 3))
    found = estimators.split(*products(z, np.broadcast_to(target, (draws, 3))))
    for value, exact in ((found.mean, ((twirled - target) ** 2).mean()), (found.equiv, sigma**2)):
        assert abs(value.mean() - exact) < 4 * value.std() / draws**0.5


def test_split__of_an_equivariant_prediction_has_no_equivariance_error():
    z = np.ones((5, 4, 6))
    found = estimators.split(*products(z, np.zeros((5, 6))))
    np.testing.assert_array_equal(found.equiv, 0)
    np.testing.assert_allclose(found.mean, 1)


def test_split__needs_two_rotations():
    with pytest.raises(ValueError, match="at least 2"):
        estimators.split(np.ones((1, 1)), np.ones(1), np.ones(()))


def test_percent__is_a_ratio_of_means_not_a_mean_of_ratios():
    total, equiv = np.array([1.0, 9.0]), np.array([1.0, 0.0])
    assert estimators.percent(total.mean(), equiv.mean()) == pytest.approx(10.0)


def test_interval__of_a_mean_agrees_with_the_normal_interval():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = estimators.interval(estimators.resampled_means(values, 4000, 0))
    normal = stats.norm.interval(0.95, values.mean(), values.std(ddof=1) / 20)
    np.testing.assert_allclose([low, high], normal, atol=0.02)


def test_interval__of_the_percent_covers_the_truth_about_as_often_as_it_says():
    random, hits = np.random.default_rng(0), 0
    for _ in range(300):
        equiv = random.gamma(2, 0.01, 200)
        total = equiv + random.gamma(4, 0.25, 200)
        draws = [estimators.resampled_means(v, 400, 0) for v in (total, equiv)]
        low, high = estimators.interval(estimators.percent(*draws))
        hits += low <= 100 * 0.02 / 1.02 <= high
    assert 0.90 < hits / 300 < 0.985


def test_resampled_means__are_paired_between_arrays_and_do_not_depend_on_the_block(monkeypatch):
    values = np.random.default_rng(0).normal(size=(3, 50))
    whole = estimators.resampled_means(values, 20, 1)
    np.testing.assert_allclose(estimators.resampled_means(2 * values + 1, 20, 1), 2 * whole + 1, rtol=1e-12)
    monkeypatch.setattr(estimators, "LARGEST", 150)
    np.testing.assert_allclose(estimators.resampled_means(values, 20, 1), whole, rtol=1e-12)

"""The split of the loss against closed forms and by simulation."""

import numpy as np
import pytest
from scipy import stats

from twirlscope.estimators import bootstrap, loss_split


def products(z, y):
    """Gram matrix, products with the target, square of the target; last axis of z and y the components."""
    d = y.shape[-1]
    gram = np.einsum("...id,...jd->...ij", z, z) / d
    return gram, np.einsum("...id,...d->...i", z, y) / d, (y * y).sum(-1) / d


def test_split__adds_up_exactly_for_every_draw():
    random = np.random.default_rng(0)
    z, y = random.normal(size=(7, 5, 12)), random.normal(size=(7, 12))
    found = loss_split.split(*products(z, y))
    np.testing.assert_allclose(found.mean + found.equiv, found.total, rtol=1e-14)
    np.testing.assert_allclose(found.total, ((z - y[:, None]) ** 2).mean((1, 2)), rtol=1e-12)


def test_split__equals_the_pairwise_form():
    random = np.random.default_rng(1)
    z, y = random.normal(size=(4, 3)), random.normal(size=3)
    found = loss_split.split(*products(z, y))
    pairs = [(z[i] - y) @ (z[j] - y) / 3 for i in range(4) for j in range(4) if i != j]
    assert found.mean == pytest.approx(np.mean(pairs), rel=1e-12)
    assert found.equiv == pytest.approx(z.var(0, ddof=1).mean(), rel=1e-12)


@pytest.mark.parametrize("K", [2, 3, 4, 8, 16])
def test_split__is_unbiased(K):
    """z = T + noise with known variance: the mean over many draws must be the known split."""
    random = np.random.default_rng(K)
    twirled, target, sigma, draws = np.array([0.3, -0.2, 0.1]), np.array([1.0, 0.0, 0.5]), 0.7, 20_000
    z = twirled + sigma * random.normal(size=(draws, K, 3))
    found = loss_split.split(*products(z, np.broadcast_to(target, (draws, 3))))
    for value, exact in ((found.mean, ((twirled - target) ** 2).mean()), (found.equiv, sigma**2)):
        assert abs(value.mean() - exact) < 4 * value.std() / draws**0.5


def test_split__of_an_equivariant_prediction_has_no_equivariance_error():
    z = np.ones((5, 4, 6))
    found = loss_split.split(*products(z, np.zeros((5, 6))))
    np.testing.assert_array_equal(found.equiv, 0)
    np.testing.assert_allclose(found.mean, 1)


def test_split__needs_two_rotations():
    with pytest.raises(ValueError, match="at least 2"):
        loss_split.split(np.ones((1, 1)), np.ones(1), np.ones(()))


def test_percent__is_a_ratio_of_means_not_a_mean_of_ratios():
    total, equiv = np.array([1.0, 9.0]), np.array([1.0, 0.0])
    assert loss_split.percent(total.mean(), equiv.mean()) == pytest.approx(10.0)


def test_interval__of_a_mean_agrees_with_the_normal_interval():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = bootstrap.interval(values, None, 4000, 0)
    normal = stats.norm.interval(0.95, values.mean(), values.std(ddof=1) / 20)
    np.testing.assert_allclose([low, high], normal, atol=0.02)


def test_interval__of_the_percent_covers_the_truth_about_as_often_as_it_says():
    random, hits = np.random.default_rng(0), 0
    for _ in range(300):
        equiv = random.gamma(2, 0.01, 200)
        total = equiv + random.gamma(4, 0.25, 200)
        low, high = bootstrap.interval(equiv, total, 400, 0)
        hits += low <= 0.02 / 1.02 <= high
    assert 0.90 < hits / 300 < 0.985


def test_percent_interval__lies_between_0_and_100_unless_the_estimate_does_not():
    """Of 8 samples one has almost all of the loss: the interval of the ratio alone reaches below 0 or above 100 %."""
    total = np.array([100.0, *np.linspace(0.5, 1.5, 7)])
    small, large = np.array([0.1, *np.linspace(0.3, 0.1, 7)]), total - np.array([0.1, *np.linspace(0.3, 0.1, 7)])
    for equiv in (small, large):
        low, high = (100 * end for end in bootstrap.interval(equiv, total, 500, 0))
        found = loss_split.percent_interval(total, equiv, 500, 0)
        assert low < 0 or high > 100
        assert found == (max(low, 0), min(high, 100))
    low, high = loss_split.percent_interval(total, -small, 500, 0)
    value = loss_split.percent(total.sum(), -small.sum())
    assert low <= value <= high


def test_resampled_means__are_paired_between_arrays_and_do_not_depend_on_the_block(monkeypatch):
    values = np.random.default_rng(0).normal(size=(3, 50))
    whole = bootstrap.resampled_means(values, 20, 1)
    np.testing.assert_allclose(bootstrap.resampled_means(2 * values + 1, 20, 1), 2 * whole + 1, rtol=1e-12)
    monkeypatch.setattr(bootstrap, "LARGEST", 150)
    np.testing.assert_allclose(bootstrap.resampled_means(values, 20, 1), whole, rtol=1e-12)


def test_split__of_independent_rotations_is_that_of_predictions_taken_in_pairs():
    """From the predictions themselves: no Gram matrix, no split of a design."""
    random = np.random.default_rng(2)
    z, y = random.normal(size=(6, 4, 3)), random.normal(size=(6, 3))
    found = loss_split.split(*products(z, y))
    pairs = [(i, j) for i in range(4) for j in range(i)]
    equiv = np.mean([((z[:, i] - z[:, j]) ** 2).mean(-1) / 2 for i, j in pairs], 0)
    mean = np.mean([((z[:, i] - y) * (z[:, j] - y)).mean(-1) for i, j in pairs], 0)
    np.testing.assert_allclose(found.equiv, equiv, rtol=1e-12)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-11)
    np.testing.assert_allclose(found.total, ((z - y[:, None]) ** 2).mean((1, 2)), rtol=1e-12)


def test_split_design__equals_the_pairs_of_different_replicates():
    random = np.random.default_rng(3)
    z, y, weight = random.normal(size=(3, 4, 5)), random.normal(size=5), np.array([0.1, 0.2, 0.3, 0.4])
    gram, cross, square = products(z.reshape(12, 5), y)
    found = loss_split.split_design(gram.reshape(3, 4, 3, 4), cross.reshape(3, 4), square, weight)
    means = np.einsum("i,ric->rc", weight, z) - y
    pairs = [means[r] @ means[s] / 5 for r in range(3) for s in range(3) if r != s]
    assert found.mean == pytest.approx(np.mean(pairs), rel=1e-12)
    assert found.total == pytest.approx((((z - y) ** 2).mean(-1) @ weight).mean(), rel=1e-12)
    assert found.equiv == pytest.approx(found.total - np.mean(pairs), rel=1e-12)


def test_split_design__keeps_the_digits_of_a_tiny_equivariance_error():
    """Both parts are sums of squares, so the rounding error is that of the products, not of a difference."""
    z = 1 + 1e-5 * np.random.default_rng(4).normal(size=(2, 24, 6))
    flat = z.reshape(48, 6)
    gram, cross, square = products(flat, flat[0] + 100)
    found = loss_split.split_design(gram.reshape(2, 24, 2, 24), cross.reshape(2, 24), square, np.full(24, 1 / 24))
    within, means = z.var(1).mean(), z.mean(1)
    assert found.equiv == pytest.approx(within + means.var(0, ddof=1).mean(), rel=1e-4)


def test_split_design__refuses_one_replicate_and_weights_that_do_not_sum_to_one():
    with pytest.raises(ValueError, match="at least 2"):
        loss_split.split_design(np.ones((1, 3, 1, 3)), np.ones((1, 3)), 1.0, np.full(3, 1 / 3))
    with pytest.raises(ValueError, match="sum to 1"):
        loss_split.split_design(np.ones((2, 3, 2, 3)), np.ones((2, 3)), 1.0, np.ones(3))


def leave_one_out(z):
    """Means over all rotations but one, for each rotation."""
    K = z.shape[-2]
    return (z.sum(-2, keepdims=True) - z) / (K - 1)


def test_jackknife__of_the_squared_error_is_the_unbiased_mean():
    random = np.random.default_rng(5)
    z, y = random.normal(size=(6, 4, 3)), random.normal(size=(6, 3))

    def loss(prediction):
        return ((prediction - y[:, None]) ** 2).mean(-1)

    found = loss_split.split_convex(loss(z), loss(z.mean(1, keepdims=True))[:, 0], loss(leave_one_out(z)))
    np.testing.assert_allclose(found, loss_split.split(*products(z, y)), rtol=1e-10)


def test_jackknife__removes_the_bias_of_the_length_of_the_error_vector():
    """z = T + noise with known |T - y|; the plug-in estimate is off by more than a tenth of the equivariance error."""
    twirled, sigma, K, draws = np.array([0.6, 0.8, 0.0]), 0.7, 8, 400_000
    z = twirled + sigma * np.random.default_rng(0).normal(size=(draws, K, 3))
    each, whole = np.linalg.norm(z, axis=-1), np.linalg.norm(z.mean(1), axis=-1)
    found = loss_split.split_convex(each, whole, np.linalg.norm(leave_one_out(z), axis=-1))
    equiv = sigma * stats.ncx2(3, 1 / sigma**2).expect(np.sqrt) - 1
    assert found.equiv.mean() == pytest.approx(equiv, rel=0.005)
    assert (each.mean() - whole.mean()) / equiv - 1 < -0.1
    np.testing.assert_allclose(found.mean + found.equiv, found.total, rtol=1e-12)


def test_jackknife__needs_two_rotations():
    with pytest.raises(ValueError, match="at least 2"):
        loss_split.jackknife(1.0, np.ones(1))


@pytest.mark.slow
def test_interval__of_the_equivariance_error_covers_the_truth():
    """Gamma-distributed errors, each measured with three rotations; 95 % interval of the mean, at a fixed seed."""
    random, hits, repeats = np.random.default_rng(0), 0, 200
    for _ in range(repeats):
        sigma = random.gamma(2, 0.5, 200) ** 0.5
        z = sigma[:, None, None] * random.normal(size=(200, 3, 6))
        found = bootstrap.pooled(loss_split.split(*products(z, np.zeros((200, 6)))).equiv, 1000, 0)
        hits += found.low <= 1 <= found.high
    assert 0.92 < hits / repeats < 0.98


def test_pooled__has_the_standard_error_of_the_mean_and_needs_two_samples():
    values = np.random.default_rng(0).normal(3, 2, size=(2, 400))
    found = bootstrap.pooled(values, 4000, 0)
    np.testing.assert_allclose(found.error, values.std(-1, ddof=1) / 20)
    np.testing.assert_allclose(found.high - found.value, 1.96 * found.error, rtol=0.1)
    with pytest.raises(ValueError, match="at least 2 samples"):
        bootstrap.pooled(np.ones(1))


def test_split_reflected__is_the_mean_over_pairs_with_half_the_weight_on_each_kind():
    random = np.random.default_rng(8)
    z, y, proper = random.normal(size=(5, 6)), random.normal(size=6), np.array([True, True, True, False, False])
    gram, cross, square = products(z, y)
    found = loss_split.split_reflected(gram, cross, square, proper)
    e = (z - y) @ (z - y).T / 6
    same = [np.mean([e[i, j] for i in k for j in k if i != j]) for k in ([0, 1, 2], [3, 4])]
    mean = sum(same) / 4 + e[:3, 3:].mean() / 2
    assert found.o3.mean == pytest.approx(mean, rel=1e-12)
    assert found.o3.total == pytest.approx((e.diagonal()[:3].mean() + e.diagonal()[3:].mean()) / 2, rel=1e-12)


def test_split_reflected__is_unbiased_and_finds_what_lies_between_the_halves():
    """z = T + p c + noise, p the parity: |c|^2 lies between the halves, the noise within each."""
    random, draws, sigma = np.random.default_rng(9), 20_000, 0.7
    proper, T, c, y = np.array([True] * 3 + [False] * 2), random.normal(size=4), random.normal(size=4), np.ones(4)
    z = T + np.where(proper, 1, -1)[:, None] * c + sigma * random.normal(size=(draws, 5, 4))
    found = loss_split.split_reflected(*products(z, np.broadcast_to(y, (draws, 4))), proper)
    truth = (((T - y) ** 2).mean(), (c**2).mean() + sigma**2, (c**2).mean())
    for values, exact in zip((found.o3.mean, found.o3.equiv, found.reflection), truth, strict=True):
        assert abs(values.mean() - exact) < 3.5 * values.std() / draws**0.5


def test_split_reflected__refuses_a_kind_of_one():
    with pytest.raises(ValueError, match="at least 2"):
        loss_split.split_reflected(np.eye(3), np.zeros(3), 1.0, np.array([True, True, False]))


def test_split_design__of_many_samples_and_terms_is_that_of_each_alone():
    random = np.random.default_rng(10)
    z, y, weight = random.normal(size=(2, 3, 4, 2, 5)), random.normal(size=(2, 3, 5)), np.array([0.3, 0.7])
    gram, cross, square = products(z.reshape(2, 3, 8, 5), y)
    gram, cross = gram.reshape(2, 3, 4, 2, 4, 2), cross.reshape(2, 3, 4, 2)
    every = loss_split.split_design(gram, cross, square, weight)
    for place in np.ndindex(2, 3):
        one = loss_split.split_design(gram[place], cross[place], square[place], weight)
        np.testing.assert_allclose([part[place] for part in every], one, rtol=1e-12)


def test_jackknife__of_two_rotations_and_several_terms_is_twice_the_mean_less_that_of_each():
    random = np.random.default_rng(11)
    single, averaged = random.normal(size=(3, 4, 2)), random.normal(size=(3, 4))
    left = single[..., ::-1]  # without one of two rotations, the other is left
    found = loss_split.split_convex(single, averaged, left)
    np.testing.assert_allclose(found.mean, 2 * averaged - (single[..., 0] + single[..., 1]) / 2)
    np.testing.assert_allclose(found.total, (single[..., 0] + single[..., 1]) / 2)


@pytest.mark.filterwarnings("error")
def test_percent__of_a_loss_that_is_zero_or_negative_is_nan_without_a_warning():
    found = loss_split.percent(np.array([2.0, 0.0, 0.0, -1.0]), np.array([0.5, 0.0, 0.5, 0.5]))
    assert found.dtype == float
    np.testing.assert_array_equal(found, [25.0, np.nan, np.nan, np.nan])


def test_split_design__refuses_weights_that_are_off_by_more_than_rounding():
    gram, cross = np.ones((2, 2, 2, 2)), np.ones((2, 2))
    loss_split.split_design(gram, cross, 1.0, np.array([0.5, 0.5 + 1e-12]))
    with pytest.raises(ValueError, match="sum to 1"):
        loss_split.split_design(gram, cross, 1.0, np.array([0.5, 0.5 + 5e-9]))

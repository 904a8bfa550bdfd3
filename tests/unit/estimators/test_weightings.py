"""Identities and directions of bias of other weightings."""

import numpy as np
import pytest

from twirlscope.estimators import loss_split
from twirlscope.estimators.weightings import mean_of_batch_ratios, plugin


def losses(seed=0, count=96, related=0.0):
    """Loss and equivariance error; the share falls with the loss where `related` is negative."""
    random = np.random.default_rng(seed)
    total = np.exp(random.standard_normal(count))
    share = 0.1 * total**related * np.exp(0.3 * random.standard_normal(count))
    return total, share * total


def test_one_batch__of_all_samples_gives_the_ratio_of_means():
    total, equiv = losses()
    for batch in (96, 1000):
        assert mean_of_batch_ratios(total, equiv, batch, 5) == pytest.approx(equiv.sum() / total.sum())


def test_batches_of_one__give_the_mean_of_single_ratios():
    total, equiv = losses()
    assert mean_of_batch_ratios(total, equiv, 1, 3) == pytest.approx((equiv / total).mean())


def test_mean_of_ratios__differs_by_the_covariance_of_ratio_and_loss():
    total, equiv = losses(related=-0.5)
    sums = [values.reshape(12, 8).sum(1) for values in (equiv, total)]
    ratio = sums[0] / sums[1]
    expected = equiv.sum() / total.sum() - np.cov(ratio, sums[1], bias=True)[0, 1] / sums[1].mean()
    assert mean_of_batch_ratios(total, equiv, 8) == pytest.approx(expected)


def test_mean_of_ratios__is_larger_where_small_losses_go_with_large_shares_and_the_more_so_the_smaller_the_batch():
    total, equiv = losses(related=-0.5)
    found = [mean_of_batch_ratios(total, equiv, batch, 50) for batch in (96, 32, 8, 1)]
    assert (np.diff(found) > 0).all()
    total, equiv = losses(related=0.5)
    found = [mean_of_batch_ratios(total, equiv, batch, 50) for batch in (96, 32, 8, 1)]
    assert (np.diff(found) < 0).all()


def test_plugin__is_the_variance_of_the_rotations_without_the_factor():
    """A second road: variance over the rotations themselves, and the loss of their mean."""
    random, K = np.random.default_rng(0), 4
    z, y = random.standard_normal((50, K)), random.standard_normal(50)
    split = loss_split.split(z[:, :, None] * z[:, None, :], z * y[:, None], y * y)
    np.testing.assert_allclose(plugin(split.equiv, K), z.var(-1))
    np.testing.assert_allclose(split.total - plugin(split.equiv, K), (z.mean(-1) - y) ** 2)
    np.testing.assert_allclose((z.mean(-1) - y) ** 2 - split.mean, split.equiv / K)  # too high by equiv / K
    assert (plugin(split.equiv, K) <= split.equiv).all()


def test_batch__needs_a_sample():
    with pytest.raises(ValueError, match="at least 1 sample, got 0"):
        mean_of_batch_ratios(*losses(), 0)

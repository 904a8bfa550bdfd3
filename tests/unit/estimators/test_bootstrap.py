"""Error bars of means over clusters: scipy, resamples made one by one, exact cases, and coverage in simulations."""

import numpy as np
import pytest
from scipy import stats

from twirlscope.estimators import bootstrap
from twirlscope.estimators.bootstrap import interval, pooled, resampled_means, standard_error


def clustered(clusters=40, seed=0, largest=9):
    """Values of samples whose clusters differ in size and in mean, and the cluster of each sample, in mixed order."""
    random = np.random.default_rng(seed)
    cluster = np.repeat(random.permutation(clusters), random.integers(1, largest, clusters)).astype(np.int32)
    effect = random.lognormal(size=clusters)
    values = effect[cluster] * random.lognormal(0, 0.2, len(cluster))
    mixed = random.permutation(len(cluster))
    return values[mixed], cluster[mixed]


def by_hand(values, cluster, resamples, seed=1):
    """Means over resamples of clusters, made one by one."""
    random, names = np.random.default_rng(seed), np.unique(cluster)
    members = {name: values[cluster == name] for name in names}
    return np.array(
        [np.concatenate([members[n] for n in random.choice(names, len(names))]).mean() for _ in range(resamples)]
    )


def test_standard_error__is_that_of_scipy_over_the_last_axis():
    values = np.random.default_rng(0).normal(size=(3, 4, 17))
    np.testing.assert_allclose(standard_error(values), stats.sem(values, axis=-1), rtol=1e-14)


def test_standard_error__of_a_single_sample_or_cluster_is_nan():
    assert np.isnan(standard_error(np.ones(1)))
    np.testing.assert_array_equal(standard_error(np.ones((3, 2, 1))), np.full((3, 2), np.nan))
    assert np.isnan(standard_error(np.arange(4.0), np.zeros(4, np.int32)))


def test_standard_error__of_clusters_is_the_spread_of_resamples_made_by_hand():
    values, cluster = clustered()
    means = by_hand(values, cluster, 4000)
    assert standard_error(values, cluster) == pytest.approx(means.std(), rel=0.06)
    assert standard_error(values) < 0.6 * means.std()  # samples taken for independent


def test_standard_error__of_clusters_of_equal_samples_is_that_of_the_cluster_means():
    means = np.random.default_rng(0).normal(size=(3, 12))
    values, cluster = np.repeat(means, 5, -1), np.repeat(np.arange(12, dtype=np.int32), 5)
    np.testing.assert_allclose(standard_error(values, cluster), stats.sem(means, axis=-1), rtol=1e-12)


def test_error_bars__of_clusters_of_one_sample_are_those_of_independent_samples_bit_for_bit():
    values, cluster = np.random.default_rng(0).normal(size=(3, 17)), np.arange(17, dtype=np.int32)[::-1].copy()
    np.testing.assert_array_equal(standard_error(values, cluster), values.std(-1, ddof=1) / 17**0.5)
    np.testing.assert_array_equal(resampled_means(values, 50, 3, cluster), resampled_means(values, 50, 3))
    counts = np.random.default_rng(3).multinomial(17, np.full(17, 1 / 17), size=50)
    np.testing.assert_array_equal(resampled_means(values, 50, 3), values @ (counts.T / 17))
    for one, other in zip(pooled(values, 100, 0, cluster), pooled(values, 100, 0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_resampled_means__are_distributed_as_those_made_by_hand():
    values, cluster = clustered()
    found, hand = resampled_means(values, 4000, 0, cluster), by_hand(values, cluster, 4000)
    quantiles = [0.025, 0.25, 0.5, 0.75, 0.975]
    np.testing.assert_allclose(np.quantile(found, quantiles), np.quantile(hand, quantiles), rtol=0.03)


def test_resampled_means__draw_the_same_clusters_for_every_array_and_in_blocks(monkeypatch):
    values, cluster = clustered()
    whole = resampled_means(np.stack([values, 2 * values]), 100, 5, cluster)
    np.testing.assert_allclose(whole[1], 2 * whole[0], rtol=1e-12)
    np.testing.assert_allclose(resampled_means(values, 100, 5, cluster), whole[0], rtol=1e-12)
    monkeypatch.setattr(bootstrap, "LARGEST", 7 * 40)  # 7 resamples per block
    np.testing.assert_allclose(resampled_means(values, 100, 5, cluster), whole[0], rtol=1e-12)


@pytest.mark.parametrize("clusters", [3, 12, 250])
def test_interval__of_clusters_of_equal_samples_is_that_of_the_cluster_means(clusters):
    means = np.random.default_rng(0).lognormal(size=(2, clusters))
    values, cluster = np.repeat(means, 7, -1), np.repeat(np.arange(clusters, dtype=np.int32), 7)
    np.testing.assert_allclose(interval(values, None, 500, 0, cluster), interval(means, None, 500, 0), rtol=1e-9)


def test_interval__studentised_is_that_of_resamples_made_by_hand():
    """Every resample, of its own copies of the clusters, is centred and divided by its own standard error."""
    values, cluster = clustered(clusters=15, seed=3)
    over, random, scaled = values + 1 + clustered(clusters=15, seed=3)[0][::-1], np.random.default_rng(7), []
    ratio, names = values.sum() / over.sum(), np.arange(15)
    for _ in range(4000):
        drawn = [np.flatnonzero(cluster == c) for c in random.choice(names, 15)]
        place, copy = np.concatenate(drawn), np.repeat(names, [len(d) for d in drawn])
        one = values[place].sum() / over[place].sum()
        scaled.append((one - ratio) / (standard_error(values[place] - one * over[place], copy) / over[place].mean()))
    error = standard_error(values - ratio * over, cluster) / over.mean()
    hand = ratio - error * np.quantile(scaled, [0.975, 0.025])
    found = np.array(interval(values, over, 4000, 0, cluster))
    np.testing.assert_allclose(found - ratio, hand - ratio, rtol=0.12)


def test_interval__of_many_clusters_is_wider_to_the_side_of_the_tail_than_percentiles():
    values, cluster = clustered(clusters=250)
    ends = np.array(interval(values, None, 2000, 2, cluster))
    percentiles = np.quantile(resampled_means(values, 2000, 2, cluster), [0.025, 0.975])
    below, above = np.abs(ends - values.mean()) / np.abs(percentiles - values.mean())
    assert 0.8 < below < 1
    assert 1 < above < 1.3


def test_interval__draws_the_same_resamples_in_blocks(monkeypatch):
    values, cluster = clustered()
    whole = interval(values, values + 1, 100, 5, cluster)
    monkeypatch.setattr(bootstrap, "LARGEST", 7 * 40)  # 7 resamples per block
    np.testing.assert_allclose(interval(values, values + 1, 100, 5, cluster), whole, rtol=1e-9)


def coverage(clusters, by_percentiles=False, repeats=600):
    """Share of data sets, with lognormal clusters of 1 to 11 samples, whose interval holds the true mean."""
    random, found = np.random.default_rng(clusters), []
    for seed in range(3):
        cluster = np.repeat(np.arange(clusters), random.integers(1, 12, clusters)).astype(np.int32)
        values = random.lognormal(size=(repeats, clusters))[:, cluster]
        if by_percentiles:
            low, high = np.quantile(resampled_means(values, 400, seed, cluster), [0.025, 0.975], axis=-1)
        else:
            low, high = interval(values, None, 400, seed, cluster)
        found.append((low <= np.exp(0.5)) & (np.exp(0.5) <= high))
    return np.mean(found)


@pytest.mark.parametrize(("clusters", "least"), [(10, 0.87), (20, 0.89), (54, 0.91), (100, 0.92), (250, 0.92)])
def test_interval__covers_the_mean_of_skewed_clusters_better_than_percentiles(clusters, least):
    found = coverage(clusters)
    assert least < found < 0.98
    assert coverage(clusters, by_percentiles=True) < found - 0.005


def test_interval__of_one_cluster_or_of_nothing_is_nan_and_of_equal_clusters_is_a_point():
    assert np.isnan(interval(np.arange(4.0), None, 100, 0, np.zeros(4, np.int32))).all()
    assert np.isnan(interval(np.ones(9), np.zeros(9), 100, 0)).all()
    for clusters in (3, 9):
        np.testing.assert_allclose(interval(np.full(clusters, 2.0), None, 100, 0), [2, 2])


def test_interval__is_finite_where_one_cluster_has_all_of_the_sum():
    values = np.zeros(12)
    values[3] = 1
    assert np.isfinite(interval(values, None, 500, 0)).all()


@pytest.mark.filterwarnings("error")
def test_interval__of_values_that_are_not_finite_is_nan():
    for wrong in (np.nan, np.inf):
        values = np.stack([np.arange(12.0), np.full(12, wrong), np.where(np.arange(12) == 3, wrong, 1.0)])
        found = np.array(interval(values, None, 200, 0))
        assert np.isfinite(found[:, 0]).all()
        assert np.isnan(found[:, 1:]).all()


def test_cluster_sums__are_in_the_order_in_which_clusters_first_appear():
    values = np.array([[1.0, 2, 4, 8, 16], [1.0, 1, 1, 1, 1]])
    cluster = np.array([7, 3, 7, 5, 3])
    np.testing.assert_array_equal(bootstrap.cluster_sums(values, cluster), [[5, 18, 8], [2, 2, 1]])
    assert bootstrap.cluster_sums(values) is values
    assert bootstrap.cluster_sums(values, np.array([9, 1, 3, 5, 7])) is values
    deep = np.stack([values, 2 * values])
    np.testing.assert_array_equal(bootstrap.cluster_sums(deep, cluster)[1], [[10, 36, 16], [4, 4, 2]])


def test_standard_error__of_two_clusters_is_half_of_the_distance_of_what_they_add():
    values, cluster = np.array([1.0, 2.0, 6.0]), np.array([0, 0, 1])
    mean = 3.0
    expected = np.sqrt(2 / 1 * ((3 - 2 * mean) ** 2 + (6 - mean) ** 2)) / 3
    assert standard_error(values, cluster) == pytest.approx(expected)
    np.testing.assert_allclose(
        standard_error(np.stack([[values], [3 * values]]), cluster), [[expected], [3 * expected]]
    )


def replicates(values, over, cluster, resamples, seed):
    """Every resample of whole clusters, its ratio and that ratio's standard error, from repeated samples."""
    names = list(dict.fromkeys(cluster))
    counts = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), size=resamples)
    for row in counts:
        copies = [
            (np.flatnonzero(cluster == name), k) for name, times in zip(names, row, strict=True) for k in range(times)
        ]
        place = np.concatenate([where for where, _ in copies])
        number = np.repeat(np.arange(len(copies)), [len(where) for where, _ in copies])
        one = values[place].sum() / over[place].sum()
        sums = np.array([(values - one * over)[place[number == k]].sum() for k in range(len(copies))])
        yield one, np.sqrt(len(names) / (len(names) - 1) * (sums**2).sum()) / over[place].sum()


@pytest.mark.parametrize(("clusters", "seed"), [(5, 28), (12, 6)])
def test_interval__has_the_ordered_errors_of_resamples_as_its_ends(clusters, seed):
    """The same resamples, each made by hand. Of 199 errors the fifth from either end is the 2.5 % point."""
    values, cluster = clustered(clusters=clusters, seed=3)
    over = 1 + np.random.default_rng(4).gamma(3, size=len(values))
    ratio = values.sum() / over.sum()
    errors = sorted(
        (one - ratio) / error for one, error in replicates(values, over, cluster, 199, seed) if error > 1e-9
    )
    if clusters == 12:
        assert len(errors) == 199
        low, high = errors[4], errors[194]
    else:  # a few resamples are of one cluster alone
        assert 190 < len(errors) < 199
        place = np.array([0.025, 0.975]) * (len(errors) + 1)
        low, high = np.interp(place, np.arange(1, len(errors) + 1), errors)
    error = standard_error(values - ratio * over, cluster) / over.mean()
    expected = ratio - high * error, ratio - low * error
    np.testing.assert_allclose(interval(values, over, 199, seed, cluster), expected, rtol=1e-9)
    both = interval(np.stack([values, 2 * values]), np.stack([over, over]), 199, seed, cluster)
    np.testing.assert_allclose(both, np.array(expected)[:, None] * [1, 2], rtol=1e-9)


@pytest.mark.parametrize("clusters", [2, 3, 4])
def test_interval__of_fewer_than_five_clusters_is_that_of_students_t(clusters):
    values = np.random.default_rng(0).lognormal(size=(2, clusters))
    over = np.random.default_rng(1).lognormal(size=(2, clusters))
    found = np.array(interval(values, over, 100, 0))
    for k in range(2):
        ratio = values[k].sum() / over[k].sum()
        error = standard_error(values[k] - ratio * over[k]) / over[k].mean()
        width = stats.t.ppf(0.975, clusters - 1) * error
        np.testing.assert_allclose(found[:, k], [ratio - width, ratio + width])


@pytest.mark.filterwarnings("error")
def test_interval__of_a_denominator_that_is_not_positive_is_nan_without_a_warning():
    random = np.random.default_rng(0)
    for clusters in (1, 3, 12):
        for over in (np.zeros(clusters), -np.ones(clusters)):
            assert np.isnan(interval(random.normal(size=clusters), over, 60, 0)).all()
    low, high = interval(np.full(12, 3.0), np.full(12, 2.0), 60, 0)
    assert low == high == 1.5


def test_blocks__hold_all_resamples_and_at_least_one_at_once(monkeypatch):
    monkeypatch.setattr(bootstrap, "LARGEST", 100)
    assert bootstrap._blocks(10, 25) == [10, 10, 5]
    assert bootstrap._blocks(50, 4) == [2, 2]
    assert bootstrap._blocks(1000, 3) == [1, 1, 1]


def test_pooled__has_2000_resamples_of_seed_0_unless_others_are_given():
    values, cluster = clustered()
    found = pooled(values, cluster=cluster)
    assert (found.value, found.error) == (values.mean(), standard_error(values, cluster))
    assert found[2:] == interval(values, None, 2000, 0, cluster)
    assert pooled(values, 300, 4, cluster)[2:] == interval(values, None, 300, 4, cluster)
    assert np.isfinite(pooled(np.array([1.0, 2.0]))).all()
    with pytest.raises(ValueError, match=r"^an error bar needs at least 2 samples, got 1$"):
        pooled(np.ones((3, 1)))

"""Crossings of curves that are known in closed form, and the coverage of their intervals."""

import math

import claim_worlds
import numpy as np
import pytest
from scipy import stats

from twirlscope.report.sections.price import crossover
from twirlscope.report.sections.price.crossover import Curves, Run

COSTS = 10.0 ** np.linspace(0, 4, 13)
SAMPLES = 40
EVERY = 1e9  # a loss below which all of it is: nothing is left out at the start


def power(level, slope, costs=COSTS, seeds=3, spread=0.0, noise=0.0, random=None, serving=0.0):
    """A run whose loss is level * cost ** -slope, but for a factor of each seed and of each sample."""
    random = random or np.random.default_rng(0)
    by_seed = np.exp(spread * random.standard_normal(seeds))
    loss = level * by_seed[:, None, None] * (costs**-slope)[:, None] * np.ones(SAMPLES)
    if noise:
        loss = loss * np.exp(noise * random.standard_normal(SAMPLES) - noise**2 / 2)
    return Run(f"{level}", np.tile(costs, (seeds, 1)), loss, np.arange(SAMPLES), serving)


def compare(one, other, learned=EVERY, resamples=200, inferences=0.0):
    runs = [*one, *other]
    curves = crossover.resampled(runs, resamples)
    curves = [crossover.served(c, r.serving, inferences) for c, r in zip(curves, runs, strict=True)]
    return crossover.crossover(curves[: len(one)], curves[len(one) :], learned)


@pytest.mark.parametrize("costs", [COSTS, 10.0 ** np.linspace(0.3, 4.2, 7)])
def test_crossover__of_power_laws_is_where_they_are_equal(costs):
    """2 c^-0.2 = 10 c^-0.5 at c = 5^(1/0.3), also where the checkpoints of the two are at other costs."""
    found = compare([power(2.0, 0.2)], [power(10.0, 0.5, costs)])
    assert found.ahead == 1
    assert found.cost == pytest.approx(5 ** (1 / 0.3), rel=1e-12)
    assert found.low == pytest.approx(found.cost)  # nothing differs between seeds or samples
    assert found.high == pytest.approx(found.cost)
    assert (found.crossing, found.throughout, found.behind) == (1, 0, 0)
    end = min(COSTS[-1], costs[-1])
    assert found.end == pytest.approx(end)
    assert found.ratio == pytest.approx(10 * end**-0.5 / (2 * end**-0.2))


def test_crossover__is_the_same_with_the_families_in_the_other_order():
    one, other = [power(2.0, 0.2, noise=0.3)], [power(10.0, 0.5, noise=0.3)]
    found, turned = compare(one, other), compare(other, one)
    assert (found.ahead, turned.ahead) == (1, 0)
    assert turned.cost == pytest.approx(found.cost, rel=1e-12)
    assert turned.ratio == pytest.approx(found.ratio, rel=1e-12)


def test_crossover__of_curves_that_do_not_cross_says_who_is_ahead_throughout():
    found = compare([power(1.0, 0.3, spread=0.05)], [power(2.0, 0.3, spread=0.05)])
    assert found.ahead == 0
    assert found.cost is None
    assert (found.low, found.high) == (0.0, 0.0)
    assert (found.crossing, found.throughout, found.behind) == (0, 1, 0)
    assert found.ratio == pytest.approx(0.5, rel=0.2)


def test_crossover__in_only_some_resamples_has_an_open_interval():
    random = np.random.default_rng(3)
    found = compare([power(1.0, 0.3, spread=0.4, random=random)], [power(1.3, 0.32, spread=0.4, random=random)])
    assert found.crossing + found.throughout + found.behind == pytest.approx(1)
    assert min(found.throughout, found.behind) > 0.025
    assert found.low == 0.0
    assert math.isinf(found.high)


def test_crossover__begins_where_a_family_has_learned():
    """Before they have learned, curves cross by noise; such a crossing does not count."""
    found = compare([power(2.0, 0.2)], [power(10.0, 0.5)], learned=0.3)
    assert found.cost is None  # they meet at c = 214, where the loss is 0.68
    assert found.start == pytest.approx(COSTS[COSTS >= (10 / 0.3) ** 2][0])
    assert compare([power(2.0, 0.2)], [power(10.0, 0.5)], learned=0.01) is None


def test_crossover__is_the_last_one_where_there_are_several():
    up = np.tile([1.0, 1.0, 1.0, 1.0, 1.0], (2, 1))
    wave = np.tile([2.0, 0.9, 0.9, 0.9, 0.9], (2, 1))
    late = np.tile([1.0, 1.0, 1.0, 1.0, 0.6], (2, 1))
    costs = 10.0 ** np.arange(5.0)
    one, other = (
        Run(str(v), np.tile(costs, (2, 1)), v[..., None] * np.ones(8), np.arange(8))
        for v in (np.minimum(up, late), wave)
    )
    found = compare([one], [other])
    assert found.ahead == 0
    gap = math.log(1 / 0.9), math.log(0.6 / 0.9)
    assert math.log10(found.cost) == pytest.approx(3 + gap[0] / (gap[0] - gap[1]), rel=1e-12)


def test_curves__are_the_best_reached_so_far_of_means_over_seeds():
    loss = np.array([[4.0, 1.0, 2.0, 1.0], [1.0, 4.0, 2.0, 0.25]])[..., None] * np.ones(5)
    run = Run("one", np.array([[1.0, 2, 4, 8], [4, 8, 16, 32]]), loss, np.arange(5))
    (curves,) = crossover.resampled([run], 10)
    np.testing.assert_allclose(np.exp(curves.loss[0]), [2, 2, 2, 0.5])  # no minimum of one seed alone
    np.testing.assert_allclose(np.exp(curves.cost[0]), [2, 4, 8, 16])


def test_best__is_the_lower_of_the_runs_and_stays_after_the_last_checkpoint():
    small = Curves(np.log([[1.0, 10]]), np.log([[1.0, 0.5]]))
    large = Curves(np.log([[10.0, 100]]), np.log([[2.0, 0.1]]))
    found = np.exp(crossover.best([small, large], np.log([[0.5, 1, 10, 20, 100, 1e4]])))
    np.testing.assert_allclose(found[0], [np.inf, 1, 0.5, 0.5, 0.1, 0.1])


def test_resampled__pairs_the_samples_of_all_runs():
    """Two runs whose samples are hard or easy together: their ratio has almost no error, each alone has much."""
    random = np.random.default_rng(0)
    hard = np.exp(random.standard_normal(30))
    one, other = (Run(str(f), np.ones((1, 1)), f * hard[None, None], np.arange(30)) for f in (1.0, 2.0))
    first, second = crossover.resampled([one, other], 300)
    assert first.loss[1:].std() > 0.1
    np.testing.assert_allclose(second.loss - first.loss, np.log(2), atol=1e-12)


def test_resampled__draws_the_seeds_of_one_training_together():
    run = power(1.0, 0.3, spread=0.3)
    half = Run(run.name, run.cost, 0.5 * run.loss, run.sample)
    one, other, apart = crossover.resampled([run, half, Run("another", run.cost, run.loss, run.sample)], 50)
    np.testing.assert_allclose(one.loss - other.loss, np.log(2), atol=1e-12)
    assert abs(one.loss - apart.loss).max() > 0.01


@pytest.mark.parametrize("seeds", [(2, 2), (3, 3), (2, 5)])
def test_ratio__of_two_runs_has_the_interval_of_a_welch_test_of_their_seeds(seeds):
    random = np.random.default_rng(5)
    one, other = (
        power(level, 0.3, seeds=n, spread=spread, random=random)
        for level, n, spread in zip((1.0, 2.0), seeds, (0.1, 0.03), strict=True)
    )
    found = compare([one], [other], resamples=40_000)
    ends = [np.log(run.loss[:, -1, 0]) for run in (one, other)]
    welch = stats.ttest_ind(*ends, equal_var=False).confidence_interval(0.95)
    assert math.log(found.ratio_low) == pytest.approx(welch.low, abs=0.03 * (welch.high - welch.low))
    assert math.log(found.ratio_high) == pytest.approx(welch.high, abs=0.03 * (welch.high - welch.low))


def test_resampled__of_one_seed_has_the_error_of_samples_alone():
    run = power(1.0, 0.3, seeds=1, noise=0.5)
    (curves,) = crossover.resampled([run], 2000)
    first = run.loss[0, 0]
    assert curves.loss[1:, 0].std() == pytest.approx(first.std() / 40**0.5 / first.mean(), rel=0.1)


def test_resampled__refuses_other_samples_and_costs_of_zero():
    one, other = power(1.0, 0.3), power(1.0, 0.3)
    with pytest.raises(ValueError, match="same held-out samples"):
        crossover.resampled([one, Run("other", other.cost, other.loss, other.sample + 1)])
    with pytest.raises(ValueError, match="positive cost"):
        crossover.resampled([one, Run("other", 0 * other.cost, other.loss, other.sample)])


def test_resampled__a_loss_that_is_not_positive_is_never_the_best():
    run = power(1.0, 0.3, seeds=2)
    run.loss[1, 2:5] = np.nan  # diverged, and back
    run.loss[0, 6] = -1.0  # a twirled loss, by noise
    (curves,) = crossover.resampled([run], 50)
    whole = np.log(COSTS**-0.3)
    np.testing.assert_allclose(curves.loss[0, [0, 1, 2, 4, 5, 6, 7]], whole[[0, 1, 1, 1, 5, 5, 7]], atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(2, 2), (2, 3), (3, 3), (5, 5)])
@pytest.mark.parametrize("mix", claim_worlds.MIXES)
def test_crossover__intervals_cover_the_true_crossing_and_ratio(seeds, mix):
    """Whatever the shares of seeds, of samples common to all, and of samples in one training."""
    covered = np.array(claim_worlds.coverage(seeds, mix, trials=100))
    assert (covered >= 0.87).all()  # 93 % less two and a half standard errors of 100 trials


def test_served__adds_what_all_inferences_cost():
    """2 c^-0.2 trained at c and served at 10 per inference, against a family whose inferences are free."""
    one, other = power(2.0, 0.2, serving=10.0), power(10.0, 0.5)
    (curves,) = crossover.resampled([one], 5)
    np.testing.assert_allclose(np.exp(crossover.served(curves, 10.0, 7.0).cost[0]), COSTS + 70)
    found = compare([one], [other], inferences=1000.0)
    assert found.ahead == 1
    assert found.ratio == 0.0  # at the end of what was measured the first cannot be had at all
    assert found.cost is None


def test_crossover__a_family_with_expensive_inferences_gets_ahead_by_a_jump():
    dear, cheap = power(1.0, 0.5, serving=10.0), power(1.2, 0.01)
    found = compare([cheap], [dear], inferences=100.0)
    assert found.ahead == 1
    assert found.cost == pytest.approx(1000 + COSTS[0])


def test_last_change__is_linear_between_points_and_a_jump_at_infinite_losses():
    gap = np.array([[1, -1, 3, 1], [1, 1, -np.inf, -2], [-np.inf, -1, -3, -2], [2, -1, -1, -2.0]])
    found = crossover.last_change(np.tile(np.arange(4.0), (4, 1)), gap)
    np.testing.assert_allclose(found, [1.25, 2, -np.inf, 2 / 3])


def ends(run):
    """Logarithms of the last losses of the seeds."""
    return np.log(run.loss[:, -1].mean(-1))


@pytest.mark.parametrize("seeds", [(2, 5), (3, 3), (7, 4)])
def test_freedom__of_two_runs_is_that_of_scipys_welch_test(seeds):
    random = np.random.default_rng(1)
    runs = [power(1.0, 0.3, seeds=n, spread=s, random=random) for n, s in zip(seeds, (0.3, 0.1), strict=True)]
    expected = stats.ttest_ind(*map(ends, runs), equal_var=False).df
    assert crossover._freedom(runs) == pytest.approx(expected, rel=1e-9)


def test_freedom__of_several_runs_is_that_of_the_pair_with_the_fewest():
    random = np.random.default_rng(2)
    runs = [power(1.0, 0.3, seeds=n, spread=s, random=random) for n, s in ((2, 0.4), (6, 0.1), (5, 0.2))]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = [stats.ttest_ind(ends(runs[i]), ends(runs[j]), equal_var=False).df for i, j in pairs]
    assert crossover._freedom(runs) == pytest.approx(min(expected), rel=1e-9)
    single = power(1.0, 0.3, seeds=1)
    assert crossover._freedom([single, *runs]) == pytest.approx(min(expected), rel=1e-9)


def test_freedom__of_runs_without_a_variance_is_that_of_the_fewest_seeds():
    equal = [power(1.0, 0.3, seeds=4), power(2.0, 0.3, seeds=3)]
    assert crossover._freedom(equal) == 2
    assert crossover._freedom([power(1.0, 0.3, seeds=1)]) == 1
    lost = power(2.0, 0.3, seeds=3, spread=0.1)
    lost.loss[0, -1] = np.nan  # diverged at the end
    varied = power(1.0, 0.3, seeds=5, spread=0.1)
    assert crossover._freedom([varied, lost]) == 2  # no pair has two variances


def test_freedom__of_one_run_with_a_variance_and_one_without_is_that_of_the_first():
    varied, equal = power(1.0, 0.3, seeds=5, spread=0.1), power(2.0, 0.3, seeds=3)
    assert crossover._freedom([varied, equal]) == pytest.approx(4, rel=1e-9)


def test_alone__keeps_the_estimates_and_has_no_intervals():
    found = compare([power(2.0, 0.2, noise=0.3)], [power(10.0, 0.5, noise=0.3)])
    alone = found.alone()
    for name in ("ahead", "cost", "start", "end", "ratio"):
        assert getattr(alone, name) == getattr(found, name)
    for name in ("low", "high", "crossing", "throughout", "behind", "ratio_low", "ratio_high"):
        assert math.isnan(getattr(alone, name))
        assert not math.isnan(getattr(found, name))


def test_difference__is_zero_where_neither_family_has_a_loss():
    first, second = np.array([[np.inf, 1.0, np.inf, 3.0]]), np.array([[np.inf, np.inf, 2.0, 1.0]])
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(crossover.difference(first, second), [[0, -np.inf, np.inf, 2]])


def test_crossover__is_that_of_the_estimate_whatever_the_first_resample_says():
    """Of equal slopes but for 0.02, the mean logarithms of both levels decide: they cross at (L2 / L1)^(-1 / 0.02)."""
    crossed = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        one, other = (power(1.0, slope, spread=0.1, random=random) for slope in (0.3, 0.32))
        levels = [np.log(run.loss[:, 0]).mean() for run in (one, other)]
        found, at = compare([one], [other]), (levels[1] - levels[0]) / 0.02
        gap = levels[0] - levels[1] + 0.02 * math.log(COSTS[-1])
        assert found.ahead == (0 if gap <= 0 else 1)
        crossed.append(0 < at < math.log(COSTS[-1]))
        assert (found.cost is not None) == crossed[-1]
        if crossed[-1]:
            assert math.log(found.cost) == pytest.approx(at, rel=1e-9)
        assert found.ratio == pytest.approx(math.exp(-abs(gap)), rel=1e-9)
        assert found.ratio_low < found.ratio < found.ratio_high
    assert set(crossed) == {True, False}

"""Evidence for claims, on made-up trainings whose numbers are known."""

import numpy as np
import pytest
import synthetic
import xarray as xr
from synthetic import claimed as one

from twirlscope.report.sections.claims import evidence
from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS, OPEN, judge
from twirlscope.report.sections.claims.paper import CLAIMS
from twirlscope.report.sections.price import comparison
from twirlscope.report.trainings import Training

BY_NAME = {claim.name: claim for claim in CLAIMS}


def verdicts(name, trainings):
    return {v.scope: v.verdict for v in judge([BY_NAME[name]], trainings, "weighted")}


def learned_from(training, step):
    """The training with checkpoints that have not learned before a step."""
    data = training.twirl
    trivial = data["trivial"] | (data["step"] < step)
    return Training(training.run, training.seed, training.train, data.assign(trivial=trivial), dataset="md")


def test_small_penalty__is_the_largest_from_the_first_learned_checkpoint_on():
    training = learned_from(one(1.0, half=0.1), 1000)
    found = evidence.penalty([training], "weighted")[0]
    assert found.value == pytest.approx(100 * 5 / 95)  # at step 1000: 5 % of the loss
    early = evidence.penalty([learned_from(one(1.0), 1)], "weighted")[0]
    assert early.value == pytest.approx(100 * 20 / 80)  # at step 10, although nine tenths of training come later
    name = "small penalty throughout"
    assert verdicts(name, [training]) == {"force_field": HOLDS}
    assert verdicts(name, [learned_from(one(20.0), 1000)]) == {"force_field": CONTRADICTED}
    assert verdicts(name, [learned_from(one(9.0, half=1.0), 1000)]) == {"force_field": OPEN}
    assert verdicts(name, [one(1.0, objective={"name": "none"})]) == {"": OPEN}


def test_conditioning__on_average_is_the_inverse_ratio_of_effective_ranks():
    curved = synthetic.hessian()
    at = {"measure": "effective_rank"}
    for name, value in (("condition_ratio", 0.2), ("condition_ratio_low", 0.1), ("condition_ratio_high", 0.5)):
        curved[name].loc[at] = value
    curved["condition_converged"].loc[at] = True
    training = one()
    training = Training("a", 0, training.train, training.twirl, curved)
    (found,) = evidence.conditions("effective_rank", flat=True)([training], "weighted")
    assert (found.value, found.low, found.high) == (pytest.approx(5), pytest.approx(2), pytest.approx(10))
    assert verdicts("better conditioned on average", [training]) == {"force_field": HOLDS}
    of_layer = Training("a", 0, training.train, training.twirl, curved.assign_attrs(block="embed"))
    (found,) = evidence.conditions("effective_rank", flat=True)([of_layer], "weighted")
    assert (found.value, found.doubt) == (pytest.approx(5), "was measured in one layer alone, embed")
    assert verdicts("better conditioned on average", [of_layer]) == {"force_field": OPEN}
    curved["condition_converged"].loc[at] = False
    (found,) = evidence.conditions("effective_rank", flat=True)([training], "weighted")
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.doubt == "has condition numbers that have not converged"


def test_conditioning__is_the_ratio_itself_and_of_the_whole_network_has_no_doubt():
    curved, at = synthetic.hessian(), {"measure": "effective_rank"}
    for name, value in (("condition_ratio", 0.2), ("condition_ratio_low", 0.1), ("condition_ratio_high", 0.5)):
        curved[name].loc[at] = value
    curved["condition_converged"].loc[at] = True
    training = one()
    (found,) = evidence.conditions("effective_rank")(
        [Training("a", 0, training.train, training.twirl, curved)], "weighted"
    )
    assert (found.value, found.low, found.high) == tuple(pytest.approx(x) for x in (0.2, 0.1, 0.5))
    assert (found.scope, found.doubt) == ("force_field", "")


def test_penalty__of_a_training_that_has_not_learned_is_unknown_for_its_task():
    (found,) = evidence.penalty([learned_from(one(1.0), 10**9)], "weighted")
    assert np.isnan(found.value)
    assert (found.scope, found.doubt) == ("force_field", evidence.UNTRAINED)


def test_penalty__has_a_lower_low_end_if_its_samples_are_copies_of_a_few():
    training = learned_from(one(9.0, half=1.0), 1000)
    count = training.twirl.sizes["sample"]
    few, random = count // 4, np.random.default_rng(0)
    equiv = training.twirl["sample_loss_equiv"]
    factor = np.repeat(1 + 0.5 * random.standard_normal(few), 4)[:count]
    data = training.twirl.assign(sample_loss_equiv=(equiv.dims, equiv.values * np.resize(factor, count)))
    lows = []
    for cluster in (np.arange(count), np.resize(np.repeat(np.arange(few), 4), count)):
        clustered = data.assign(cluster=("sample", cluster.astype(np.int32)))
        (found,) = evidence.penalty([Training("a", 0, training.train, clustered, dataset="md")], "weighted")
        lows.append(found.value - found.low)
    assert lows[1] > 1.1 * lows[0]  # they are equal without clusters


def test_tails__of_either_part_are_a_doubt():
    random = np.random.default_rng(0)
    even, heavy = 1 + 0.1 * random.standard_normal(200), random.lognormal(0, 2.5, 200)
    assert evidence.tails(even, even, None) == ""
    assert all("heavy tails" in evidence.tails(*pair, None) for pair in ((heavy, even), (even, heavy)))


def test_turning__is_the_floor_in_percent_of_the_loss_and_zero_where_none_was_measured():
    data = xr.Dataset({"loss_total": ("step", [2.0, 4.0]), "loss_equiv_floor": ("step", [0.01, 0.1])})
    np.testing.assert_allclose(evidence.turning(data), [0.5, 2.5])
    np.testing.assert_array_equal(evidence.turning(data.drop_vars("loss_equiv_floor")), [0, 0])


def test_per_hour__compares_the_best_of_both_kinds_after_the_same_time():
    ahead = synthetic.families()  # 10 s: 1,000 updates of plain networks, 100 of those with built-in symmetry
    (found,) = evidence.per_time(ahead, "weighted")
    (axis,) = (a for a in comparison.axes(comparison.comparisons(ahead)[0]) if a.name == "time")
    ends = comparison.pairs(axis, 0.0, comparison.comparisons(ahead)[0])[comparison.LEARNED]
    assert found.value in (pytest.approx(ends.ratio), pytest.approx(1 / ends.ratio))  # what the price section shows
    last = [t.twirl["sample_loss_total"].mean("sample").values[:, 0] for t in ahead]
    plain, exact = np.mean([x[-1] for x in last[:3]]), np.mean([x[5] for x in last[3:]])
    assert found.value == pytest.approx(plain / exact, rel=0.02)
    assert found.low < found.value < found.high
    assert "after 10 s" in found.label
    worse = synthetic.families(built={"level": 0.5}, learned={"level": 9.0})
    assert evidence.per_time(worse, "weighted")[0].value > 1


def test_penalty__of_the_largest_has_a_low_end_below_that_of_its_checkpoint():
    """Ten checkpoints with the same true penalty: the largest estimate is chosen by its noise."""
    steps = tuple(range(1000, 11000, 1000))
    training = one(9.0, steps=(0, 10, 100, 1000, 10000))
    random, shape = np.random.default_rng(0), (len(steps), 1, 40)
    data = training.twirl.isel(step=[-1] * len(steps)).assign_coords(step=list(steps))
    equiv = 0.09 * (1 + 0.3 * random.standard_normal(shape))
    mean = np.full(shape, 0.91)
    percent = 100 * equiv.mean(-1) / (equiv + mean).mean(-1)
    error = 100 * equiv.std(-1) / 40**0.5
    data = data.assign(
        sample_loss_equiv=(("step", "term", "sample"), equiv),
        sample_loss_mean=(("step", "term", "sample"), mean),
        percent_equiv=(("step", "term"), percent),
        percent_equiv_low=(("step", "term"), percent - 1.96 * error),
        percent_equiv_high=(("step", "term"), percent + 1.96 * error),
    )
    (found,) = evidence.penalty([Training("a", 0, training.train, data)], "weighted")
    at = int(percent.argmax())
    alone = float(percent[at, 0] - 1.96 * error[at, 0])
    assert found.value == pytest.approx(100 * percent.max() / (100 - percent.max()))
    assert found.low < 100 * alone / (100 - alone)  # not the interval of the checkpoint that was selected
    assert found.low < 100 * 9 / 91 < found.high


@pytest.mark.parametrize(("percent", "half", "expected"), [(1.0, 0.1, OPEN), (4.0, 0.1, CONTRADICTED)])
def test_percent__under_the_rotations_of_a_cube_is_a_lower_bound_that_confirms_nothing(percent, half, expected):
    trainings = [one(percent, half, group="octahedral")]
    assert verdicts("reached within 10,000", trainings) == {"force_field": expected}
    late = [learned_from(t, 1000) for t in trainings]
    assert verdicts("small penalty throughout", late) == {"force_field": OPEN}
    (found,) = judge([BY_NAME["reached within 10,000"]], trainings, "weighted")
    assert found.worst.bound


def test_percent__of_heavy_tails_decides_nothing():
    for percent in (1.0, 9.0):
        training = one(percent)
        tail = np.random.default_rng(0).lognormal(0, 2.5, training.twirl.sizes["sample"])
        equiv = training.twirl["sample_loss_equiv"]
        data = training.twirl.assign(sample_loss_equiv=(equiv.dims, equiv.values * tail / tail.mean()))
        heavy = Training("a", 0, training.train, data)
        (found,) = judge([BY_NAME["reached within 10,000"]], [heavy], "weighted")
        assert found.verdict == OPEN
        assert list(found.reasons) == ["a, seed 0 has heavy tails: a few samples carry its loss"]


def test_percent__of_few_clusters_decides_nothing():
    training = one(1.0)
    cluster = training.twirl["cluster"] // 4
    (found,) = judge(
        [BY_NAME["reached within 10,000"]],
        [Training("a", 0, training.train, training.twirl.assign(cluster=cluster))],
        "weighted",
    )
    assert found.verdict == OPEN
    assert found.reasons == ("a, seed 0 has 10 independent clusters of held-out samples, too few to see heavy tails",)


def with_gradient(steps, relative, ratio, trivial):
    """A training with these numbers of its gradients at checkpoints, some of which have not learned."""
    training, points = one(steps=(0, 10, 100, 1000, 10000)), len(steps)
    gradient = synthetic.gradient().isel(step=[0] * points).assign_coords(step=list(steps))
    norms = xr.ones_like(gradient["gradient_norm_ratio"]) * xr.DataArray(np.array(ratio), dims="step")
    gradient = gradient.assign(relative_equiv=("step", np.array(relative)), gradient_norm_ratio=norms)
    data = training.twirl.isel(step=[0] * points).assign_coords(step=list(steps))
    data = data.assign(trivial=(data["trivial"].dims, np.array(trivial)[:, None]))
    return Training("a", 0, training.train, data, gradient=gradient)


def test_gradient_points__are_of_learned_checkpoints_and_censor_estimates_below_zero():
    training = with_gradient(range(6), [9, 8, 4, -1, 2, 1.0], [7, 6, 0.3, 0.2, 0.1, -0.5], [True, True] + [False] * 4)
    x, y = evidence.gradient_points(training)
    np.testing.assert_allclose(x, [4, 1, 2, 1])  # the negative one is put at the smallest positive one
    np.testing.assert_allclose(y, [0.3, 0.2, 0.1, 0.1])
    none = with_gradient(range(3), [-1.0, -2, -3], [1.0, 1, 1], [False] * 3)
    assert len(evidence.gradient_points(none)[0]) == 0
    assert evidence.gradients([none], "weighted")[0].doubt == "has fewer than 6 checkpoints with both numbers"


@pytest.mark.parametrize("detected", [1.0, 0.7])
def test_gradients__of_unrelated_trajectories_hold_in_at_most_5_percent(detected):
    """Random walks; a share of the estimates is at or below zero."""
    random, held = np.random.default_rng(0), 0
    base = with_gradient(range(14), np.ones(14), np.ones(14), [False] * 14)
    claim = BY_NAME["gradients follow"]
    for _ in range(200):
        walks = np.exp(0.3 * np.cumsum(random.standard_normal((2, 14)), 1))
        walks = np.where(random.random((2, 14)) < detected, walks, -0.1 * walks)
        norms = xr.ones_like(base.gradient["gradient_norm_ratio"]) * xr.DataArray(walks[1], dims="step")
        gradient = base.gradient.assign(relative_equiv=("step", walks[0]), gradient_norm_ratio=norms)
        training = Training("a", 0, base.train, base.twirl, gradient=gradient)
        held += judge([claim], [training], "weighted")[0].verdict == HOLDS
    assert held / 200 <= 0.05


def test_claims__are_about_the_primary_term_not_about_the_weighted_sum():
    training = one(1.0)
    data = training.twirl
    both = xr.concat([data.assign_coords(term=["forces"]), data.assign_coords(term=["weighted"])], "term")
    both = both.assign(percent_equiv=both["percent_equiv"] * xr.DataArray([4.0, 1.0], dims="term"))
    for end in ("low", "high"):
        name = f"percent_equiv_{end}"
        both = both.assign({name: both[name] * xr.DataArray([4.0, 1.0], dims="term")})
    found = [Training("a", 0, training.train, both.assign_attrs(data.attrs), dataset="md")]
    claim = BY_NAME["small at the end"]
    assert judge([claim], found, "weighted")[0].verdict == HOLDS
    assert judge([claim], found, evidence.PRIMARY)[0].verdict == CONTRADICTED

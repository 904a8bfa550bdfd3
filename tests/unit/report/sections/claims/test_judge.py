"""Claims: each verdict for each claim, on made-up trainings whose numbers are known."""

import json

import numpy as np
import pytest
import synthetic
import xarray as xr

from twirlscope.report.sections.claims import evidence
from twirlscope.report.sections.claims.judge import (
    DOES_NOT,
    HOLDS,
    UNKNOWN,
    Claim,
    Evidence,
    claims_table,
    judge,
    sentences,
)
from twirlscope.report.sections.claims.paper import CLAIMS
from twirlscope.report.sections.price import comparison
from twirlscope.report.trainings import Training

BY_NAME = {claim.name: claim for claim in CLAIMS}
LONG = (0, 10, 100, 1000, 10000)


def one(
    percent=1.0,
    half=0.1,
    steps=LONG,
    run="a",
    seed=0,
    task="force_field",
    parameters=1000,
    samples=100,
    built_in=False,
    **changes,
):
    """A training that ends at so many percent, give or take `half`; `changes` are to its `train` section."""
    course = [40.0, 20.0, 10.0, 5.0, percent][-len(steps) :]
    twirl = synthetic.twirl(steps, percent=course, terms=1, trivial=[False] * len(steps))
    course = np.array(course, float)[:, None]
    width = np.where(np.arange(len(steps)) == len(steps) - 1, half, 0.01 * course[:, 0])[:, None]
    ends = {"percent_equiv": course, "percent_equiv_low": course - width, "percent_equiv_high": course + width}
    twirl = twirl.assign({k: (("step", "term"), v) for k, v in ends.items()})
    settings = {"augment": "haar", "optimiser": "adamw", "learning_rate": 1e-3, "samples": 0} | changes
    told = {"dataset": "md", "task": {"name": task}, "model": {"name": "net"}, "train": settings, "seed": seed}
    attrs = {"run": json.dumps(told), "parameters": parameters, "training_samples": samples, "equivariant": built_in}
    return Training(run, seed, xr.Dataset(attrs=attrs), twirl, dataset="md")


def verdicts(name, trainings):
    return {v.scope: v.verdict for v in judge([BY_NAME[name]], trainings, "weighted")}


@pytest.mark.parametrize(
    ("low", "high", "final", "expected"),
    [
        (1.0, 1.9, True, HOLDS),
        (1.0, 2.0, True, HOLDS),
        (1.9, 2.1, True, UNKNOWN),
        (2.1, 3.0, True, DOES_NOT),
        (2.1, 3.0, False, UNKNOWN),
        (1.0, 1.9, False, HOLDS),
        (np.nan, np.nan, True, UNKNOWN),
        (1.0, np.nan, True, UNKNOWN),
    ],
)
def test_verdict__has_three_values_by_the_interval_alone(low, high, final, expected):
    claim = Claim("n", "S", "s", "q", "l", "x", lambda *_: [Evidence("t", "a", 1.5, low, high, final)], most=2.0)
    assert [v.verdict for v in judge([claim], [], "weighted")] == [expected]


def test_verdict__of_a_scope_is_that_of_its_worst_number_and_names_it():
    good = ("good", 1.0, 0.9, 1.1)
    rows = [("t", *good), ("t", "bad", 5.0, 4.0, 6.0), ("u", *good)]

    def numbers(*_):
        return [Evidence(*row) for row in rows]

    claim = Claim("n", "S", "s", "q", "l", "x", numbers, most=2.0)
    first, second = judge([claim], [], "weighted")
    assert (first.scope, first.verdict, first.worst.label, first.count) == ("t", DOES_NOT, "bad", 2)
    assert (second.scope, second.verdict) == ("u", HOLDS)
    (said,) = sentences([first, second])
    assert said.startswith("S (s): holds for u, does not hold for t. Q, at most 2: ")
    assert (
        "t 5 (95 % interval 4 to 6; bad, the worst of 2, 1 of which is within), u 1 (95 % interval 0.9 to 1.1; good)."
        in said
    )
    table = claims_table([first, second])
    assert list(table.frame["verdict"]) == [DOES_NOT, HOLDS]
    assert list(table.frame["value [1]"]) == [5, 1]


def test_claims__without_any_training_are_not_enough_data_and_say_what_they_need():
    found = judge(CLAIMS, [], "weighted")
    assert [v.verdict for v in found] == [UNKNOWN] * len(CLAIMS)
    assert all(claim.needs in said for claim, said in zip(CLAIMS, sentences(found), strict=True))
    assert len({c.name for c in CLAIMS}) == len(CLAIMS)


def test_quickly_small__holds_does_not_or_is_open_by_task():
    trainings = [
        one(1.0, task="force_field"),
        one(4.0, task="voxel_denoising"),
        one(2.05, half=0.2, task="flow_matching"),
    ]
    expected = {"force_field": HOLDS, "voxel_denoising": DOES_NOT, "flow_matching": UNKNOWN}
    assert verdicts("quickly small", trainings) == expected


def test_quickly_small__is_not_refuted_by_a_training_that_stopped_early_but_may_hold():
    short = (0, 10, 100, 500, 850)
    assert verdicts("quickly small", [one(4.0, steps=short)]) == {"force_field": UNKNOWN}
    assert verdicts("quickly small", [one(1.0, steps=short)]) == {"force_field": HOLDS}


def test_quickly_small__asks_only_networks_that_learn_the_symmetry_from_turned_samples():
    still = one(30.0, augment="none")
    built_in = one(1e-9, built_in=True)
    assert verdicts("quickly small", [still, built_in]) == {"": UNKNOWN}
    assert verdicts("quickly small", [still, built_in, one(1.0)]) == {"force_field": HOLDS}


def test_quickly_small__does_not_count_a_network_that_learned_nothing():
    training = one(1.0)
    nothing = training.twirl.assign(trivial=training.twirl["trivial"] | True)
    assert verdicts("quickly small", [Training("a", 0, training.train, nothing)]) == {"": UNKNOWN}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("whatever the model size", {"parameters": 9000, "learning_rate": 1e-4}),
        ("whatever the data size", {"samples": 5000}),
        ("whatever the optimiser", {"optimiser": "muon", "learning_rate": 1e-2, "momentum": 0.9}),
    ],
)
def test_robustness__needs_two_levels_and_looks_at_each(name, changes):
    assert verdicts(name, [one(1.0), one(1.1, seed=1)]) == {"": UNKNOWN}
    assert verdicts(name, [one(1.0), one(1.1, run="b", **changes)]) == {"force_field": HOLDS}
    assert verdicts(name, [one(1.0), one(9.0, run="b", **changes)]) == {"force_field": DOES_NOT}
    assert verdicts(name, [one(1.0), one(2.0, run="b", **changes)]) == {"force_field": UNKNOWN}
    other = {"batch": 7} | changes
    assert verdicts(name, [one(1.0), one(1.1, run="b", **other)]) == {"": UNKNOWN}  # something else varies, too


def test_small_penalty__is_the_largest_after_the_first_tenth_of_training():
    training = one(1.0, half=0.1)
    found = evidence.penalty([training], "weighted")[0]
    assert found.value == pytest.approx(100 * 5 / 95)  # at step 1000, a tenth: 5 % of the loss
    assert verdicts("small penalty throughout", [training]) == {"force_field": HOLDS}
    assert verdicts("small penalty throughout", [one(20.0)]) == {"force_field": DOES_NOT}
    assert verdicts("small penalty throughout", [one(9.0, half=1.0)]) == {"force_field": UNKNOWN}
    assert verdicts("small penalty throughout", [one(1.0, augment="none")]) == {"": UNKNOWN}


@pytest.mark.parametrize(
    ("ratio", "low", "high", "converged", "expected"),
    [
        (100, 50, 200, True, HOLDS),
        (2, 1, 4, True, DOES_NOT),
        (12, 5, 30, True, UNKNOWN),
        (100, np.nan, np.nan, True, UNKNOWN),
        (100, 50, 200, False, None),
    ],
)
def test_conditioning__counts_converged_ratios_with_an_interval(ratio, low, high, converged, expected):
    curved = synthetic.hessian()
    values = {"condition_ratio": ratio, "condition_ratio_low": low, "condition_ratio_high": high}
    curved = curved.assign({k: xr.full_like(curved[k], v) for k, v in values.items()})
    curved = curved.assign(condition_converged=xr.full_like(curved["condition_converged"], converged))
    training = one()
    training = Training("a", 0, training.train, training.twirl, curved)
    expected = {"": UNKNOWN} if expected is None else {"force_field": expected}
    assert verdicts("better conditioned", [training]) == expected


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


@pytest.mark.parametrize(
    ("power", "noise", "expected"), [(0.5, 0.05, HOLDS), (-0.5, 0.05, DOES_NOT), (0.02, 1.0, UNKNOWN)]
)
def test_gradients__follow_where_the_correlation_is_surely_positive(power, noise, expected):
    x = np.geomspace(0.5, 0.01, 9)
    y = x**power * np.exp(noise * np.random.default_rng(0).standard_normal(9))
    found = synthetic.gradient()
    ratio = xr.ones_like(found["gradient_norm_ratio"]) * xr.DataArray(y, dims="step")
    found = found.assign(relative_equiv=("step", x), gradient_norm_ratio=ratio.transpose("step", "layer"))
    training = one()
    training = Training("a", 0, training.train, training.twirl, gradient=found)
    assert verdicts("gradients follow", [training]) == {"force_field": expected}


@pytest.mark.parametrize(("power", "noise", "expected"), [(2, 0.02, HOLDS), (1, 0.02, DOES_NOT), (2, 2.0, UNKNOWN)])
def test_parameters__are_quadratic_by_the_interval_of_the_fitted_exponent(power, noise, expected):
    distance = np.geomspace(0.1, 2, 9)
    loss = 3 * distance**power * np.exp(noise * np.random.default_rng(1).standard_normal(9))
    found = synthetic.gradient().assign(nearest_distance=("step", distance), nearest_loss_equiv=("step", loss))
    training = one()
    training = Training("a", 0, training.train, training.twirl, gradient=found)
    assert verdicts("quadratic in parameters", [training]) == {"force_field": expected}
    assert verdicts("quadratic in parameters", [one()]) == {"": UNKNOWN}


def test_per_hour__compares_the_best_of_both_kinds_after_the_same_time():
    ahead = synthetic.families()  # 10 s: 1,000 updates of plain networks, 100 of those with built-in symmetry
    (found,) = evidence.per_time(ahead, "weighted")
    (axis,) = (a for a in comparison.axes(comparison.comparisons(ahead)[0]) if a.name == "time")
    ends = comparison.pairs(axis, 0.0, 1.35)[comparison.LEARNED]
    assert found.value in (pytest.approx(ends.ratio), pytest.approx(1 / ends.ratio))  # what the price section shows
    last = [t.twirl["sample_loss_total"].mean("sample").values[:, 0] for t in ahead]
    plain, exact = np.mean([x[-1] for x in last[:3]]), np.mean([x[5] for x in last[3:]])
    assert found.value == pytest.approx(plain / exact, rel=0.02)
    assert found.low < found.value < found.high
    assert "after 10 s" in found.label
    worse = synthetic.families(built={"level": 0.5}, learned={"level": 9.0})
    assert evidence.per_time(worse, "weighted")[0].value > 1


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        ({"level": 100.0}, {"force_field": HOLDS}),
        ({"level": 0.1}, {"force_field": DOES_NOT}),
        ({"level": 2.0, "slope": 0.3, "second": 0.01}, {"force_field": UNKNOWN}),
    ],
)
def test_ahead_by_the_hour__holds_does_not_or_is_open(built, expected):
    assert verdicts("ahead by the hour", synthetic.families(built=built)) == expected
    assert verdicts("ahead by the hour", synthetic.families(built=built)[:3]) == {"": UNKNOWN}


def test_exponent__has_the_interval_of_a_least_squares_line():
    x = np.geomspace(0.1, 10, 40)
    random = np.random.default_rng(2)
    inside = 0
    for _ in range(300):
        y = 5 * x**2 * np.exp(0.3 * random.standard_normal(40))
        _, low, high = evidence.exponent(x, y)
        inside += low < 2 < high
    assert abs(inside / 300 - 0.95) < 0.04
    assert evidence.exponent(x[:4], x[:4]) is None

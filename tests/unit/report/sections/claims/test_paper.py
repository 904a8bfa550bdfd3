"""Each verdict for each claim, on made-up trainings whose numbers are known."""

import numpy as np
import pytest
import synthetic
import xarray as xr
from synthetic import claimed as one

from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS, OPEN, claims_table, judge
from twirlscope.report.sections.claims.paper import CLAIMS
from twirlscope.report.sections.claims.section import absent_runs
from twirlscope.report.trainings import Training

BY_NAME = {claim.name: claim for claim in CLAIMS}


def verdicts(name, trainings):
    return {v.scope: v.verdict for v in judge([BY_NAME[name]], trainings, "weighted")}


def test_claims__without_any_training_are_open_and_say_what_they_need():
    found = judge(CLAIMS, [], "weighted")
    assert [v.verdict for v in found] == [OPEN] * len(CLAIMS)
    assert list(claims_table(found).shown.data["reasons"]) == [f"needs {claim.needs}" for claim in CLAIMS]
    assert len({c.name for c in CLAIMS}) == len(CLAIMS)


def test_reached__holds_is_contradicted_or_is_open_by_task():
    trainings = [
        one(1.0, task="force_field"),
        one(4.0, task="voxel_denoising"),
        one(2.05, half=0.2, task="flow_matching"),
    ]
    expected = {"force_field": HOLDS, "voxel_denoising": CONTRADICTED, "flow_matching": OPEN}
    assert verdicts("reached within 10,000", trainings) == expected


def test_reached__is_not_contradicted_by_a_training_that_stopped_early_but_may_hold():
    short = (0, 10, 100, 500, 850)
    assert verdicts("reached within 10,000", [one(4.0, steps=short)]) == {"force_field": OPEN}
    assert verdicts("reached within 10,000", [one(1.0, steps=short)]) == {"force_field": HOLDS}


def test_reached__counts_only_networks_that_learn_the_symmetry_from_turned_samples():
    still = one(30.0, objective={"name": "none"})
    built_in = one(1e-9, built_in=True)
    assert verdicts("reached within 10,000", [still, built_in]) == {"": OPEN}
    assert verdicts("reached within 10,000", [still, built_in, one(1.0)]) == {"force_field": HOLDS}


def unlearned(training):
    """The training without any checkpoint that has learned."""
    nothing = training.twirl.assign(trivial=training.twirl["trivial"] | True)
    return Training(training.run, training.seed, training.train, nothing, dataset=training.dataset)


def test_robustness__is_open_if_a_run_of_the_sweep_has_no_results():
    """A level that diverges fails, and leaves no store."""
    trainings = [one(1.0), one(1.1, run="b", samples=5000)]
    sweeps = {"data": {"a": {}, "b": {}, "c": {}}, "other": {"x": {}, "y": {}}}
    absent = absent_runs(trainings, sweeps)
    assert absent == {"force_field": ["c"]}
    found = judge([BY_NAME["whatever the data size"], BY_NAME["reached within 10,000"]], trainings, "weighted", absent)
    assert [v.verdict for v in found] == [OPEN, HOLDS]
    assert found[0].reasons == ("c has no results",)
    assert absent_runs([*trainings, one(run="c")], sweeps) == {"force_field": []}


def test_reached__is_open_with_a_network_that_has_not_learned_and_names_it():
    found = judge([BY_NAME["reached within 10,000"]], [one(1.0), unlearned(one(0.1, run="b"))], "weighted")
    assert [v.verdict for v in found] == [OPEN]
    assert found[0].reasons == ("b, seed 0 has not learned by update 10,000",)
    both = [one(9.0), unlearned(one(0.1, run="b"))]
    assert verdicts("reached within 10,000", both) == {
        "force_field": CONTRADICTED
    }  # one that has learned is enough for that


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("whatever the model size", {"parameters": 9000, "learning_rate": 1e-4}),
        ("whatever the data size", {"samples": 5000}),
        ("whatever the optimiser", {"optimiser": "muon", "learning_rate": 1e-2, "momentum": 0.9}),
    ],
)
def test_robustness__needs_two_levels_and_looks_at_each(name, changes):
    assert verdicts(name, [one(1.0), one(1.1, seed=1)]) == {"": OPEN}
    assert verdicts(name, [one(1.0), one(1.1, run="b", **changes)]) == {"force_field": HOLDS}
    assert verdicts(name, [one(1.0), one(9.0, run="b", **changes)]) == {"force_field": CONTRADICTED}
    assert verdicts(name, [one(1.0), one(2.0, run="b", **changes)]) == {"force_field": OPEN}
    other = {"batch": 7} | changes
    assert verdicts(name, [one(1.0), one(1.1, run="b", **other)]) == {"": OPEN}  # something else varies, too
    broken = one(0.1, run="b", **changes)
    (found,) = judge([BY_NAME[name]], [one(1.0), unlearned(broken)], "weighted")
    assert (found.verdict, found.count, found.within) == (OPEN, 2, 1)  # one level that is left shows no robustness
    assert found.reasons == ("b, seed 0 has not learned by update 10,000",)
    assert found.worst.label == "b, seed 0"
    gone = broken.twirl.assign(
        {f"percent_equiv{e}": broken.twirl["percent_equiv"] * np.nan for e in ("", "_low", "_high")}
    )
    diverged = Training("b", 0, broken.train, gone, dataset="md")
    assert verdicts(name, [one(1.0), diverged]) == {"force_field": OPEN}


@pytest.mark.parametrize(
    ("ratio", "low", "high", "converged", "expected"),
    [
        (100, 50, 200, True, HOLDS),
        (2, 1, 4, True, CONTRADICTED),
        (12, 5, 30, True, OPEN),
        (100, np.nan, np.nan, True, OPEN),
        (100, 50, 200, False, OPEN),
    ],
)
def test_conditioning__counts_converged_ratios_with_an_interval(ratio, low, high, converged, expected):
    curved = synthetic.hessian()
    values = {"condition_ratio": ratio, "condition_ratio_low": low, "condition_ratio_high": high}
    curved = curved.assign({k: xr.full_like(curved[k], v) for k, v in values.items()})
    curved = curved.assign(condition_converged=xr.full_like(curved["condition_converged"], converged))
    training = one()
    training = Training("a", 0, training.train, training.twirl, curved)
    assert verdicts("better conditioned", [training]) == {"force_field": expected}


@pytest.mark.parametrize(("power", "noise", "expected"), [(2, 0.02, HOLDS), (1, 0.02, CONTRADICTED), (2, 2.0, OPEN)])
def test_parameters__are_quadratic_by_the_interval_of_the_fitted_exponent(power, noise, expected):
    distance = np.geomspace(0.1, 2, 9)
    loss = 3 * distance**power * np.exp(noise * np.random.default_rng(1).standard_normal(9))
    found = synthetic.gradient().assign(nearest_distance=("step", distance), nearest_loss_equiv=("step", loss))
    training = one()
    training = Training("a", 0, training.train, training.twirl, gradient=found)
    assert verdicts("quadratic in parameters", [training]) == {"force_field": expected}
    assert verdicts("quadratic in parameters", [one()]) == {"": OPEN}


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        ({"level": 100.0}, {"force_field": HOLDS}),
        ({"level": 0.1}, {"force_field": CONTRADICTED}),
        ({"level": 2.0, "slope": 0.3, "second": 0.01}, {"force_field": OPEN}),
    ],
)
def test_ahead_by_the_hour__holds_is_contradicted_or_is_open(built, expected):
    assert verdicts("ahead by the hour", synthetic.families(built=built)) == expected
    assert verdicts("ahead by the hour", synthetic.families(built=built)[:3]) == {"": OPEN}


def test_ahead_by_the_hour__is_open_with_one_seed_of_a_run():
    trainings = synthetic.families(built={"level": 100.0})
    alone = [t for t in trainings if t.run == "plain" or t.seed == 0]
    (found,) = judge([BY_NAME["ahead by the hour"]], alone, "weighted")
    assert found.verdict == OPEN
    assert found.reasons == ("dataset md after 10 s compares one seed of exact",)

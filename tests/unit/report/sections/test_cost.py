"""The table of costs against the stores it is made from."""

import math

import pytest
import synthetic

from twirlscope.report.sections.cost import cost_table, cost_words
from twirlscope.report.trainings import Training


def training(run="a", seed=0, **changes):
    train = synthetic.train(100, seed)
    return Training(run, seed, train.assign(changes), synthetic.twirl(seed=seed), None, "d")


def test_cost_table__is_the_mean_over_the_seeds_of_a_run():
    table = cost_table([training(seed=0), training(seed=1, seconds_update=0.04), training("b")])
    shown = table.shown.data.set_index("run")
    assert list(shown["seeds"]) == [2, 1]
    assert shown.loc["a", "seconds_update"] == pytest.approx(30)
    assert shown.loc["b", "flops_update"] == pytest.approx(3)
    assert shown.loc["b", "flops_inference"] == pytest.approx(40)
    assert shown.loc["b", "device_hours"] == pytest.approx(2 / 3600)
    assert shown.loc["b", "parameters"] == 200871
    assert math.isnan(shown.loc["a", "device_energy"])
    assert len(table.numbers) == 3


def test_cost_table__names_what_could_not_be_counted():
    one = training()
    one.train.attrs["cost_missing"] = "RuntimeError: a kernel of its own"
    caption = cost_table([one]).caption
    assert "Not counted: a, seed 0: RuntimeError: a kernel of its own." in caption
    assert "norms" in caption


def test_cost_table__of_trainings_without_a_meter_is_none():
    bare = training()
    assert cost_table([Training("a", 0, bare.train.drop_vars("seconds_update"), bare.twirl)]) is None
    assert cost_table([Training("a", 0, None, bare.twirl)]) is None


def test_cost_words__are_the_means_of_a_run_without_unknown_costs():
    said = cost_words([training(seed=0), training(seed=1, seconds_update=0.04)])
    assert "time of an update 30 ms; " in said
    assert "energy" not in said
    assert said.count(";") == 5
    assert cost_words([Training("a", 0, None, synthetic.twirl())]) == ""

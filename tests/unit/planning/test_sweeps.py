"""Sweeps: what a few lines of config become, and where a mistake in them is said to be."""

import copy
import itertools
import time

import pytest
import yaml

from twirlscope.errors import UserErrors
from twirlscope.planning.plan import Plan
from twirlscope.planning.sections import NAME
from twirlscope.runtime.code_hash import ROOT

DEFAULT = yaml.safe_load((ROOT.parent.parent / "config" / "config.yaml").read_text())


def with_sweep(**sections):
    return copy.deepcopy(DEFAULT) | {"sweeps": {"s": {"run": "augmented"} | sections}}


def mistakes(config):
    with pytest.raises(UserErrors) as found:
        Plan(config)
    return str(found.value)


def test_grid__is_the_product_and_each_run_differs_from_its_base_in_its_keys_alone():
    widths, rates = [16, 32], [1e-3, 3e-4, 1e-5]
    plan = Plan(with_sweep(grid={"model.width": widths, "train.learning_rate": rates}))
    base = plan.train("augmented", 0)["run"]
    made = {}
    for run in plan.sweeps["s"]:
        found = plan.train(run, 0)["run"]
        made[found["model"].pop("width"), found["train"].pop("learning_rate")] = run
        assert found == {
            **base,
            "model": {k: v for k, v in base["model"].items() if k != "width"},
            "train": {k: v for k, v in base["train"].items() if k != "learning_rate"},
        }
    assert set(made) == set(itertools.product(widths, rates))
    assert made[16, 3e-4] == "s_width_16_learning_rate_0p0003"
    assert made[32, 1e-5] == "s_width_32_learning_rate_1em05"
    assert all(NAME.fullmatch(run) for run in plan.sweeps["s"])


def test_zip__goes_through_its_lists_together_and_multiplies_the_grid():
    plan = Plan(
        with_sweep(
            grid={"train.objective.name": ["augment", "none"]}, zip={"train.samples": [100, 400], "train.batch": [4, 8]}
        )
    )
    found = [plan.train(run, 0)["run"]["train"] for run in plan.sweeps["s"]]
    assert [(t["objective"]["name"], t["samples"], t["batch"]) for t in found] == [
        ("augment", 100, 4),
        ("augment", 400, 8),
        ("none", 100, 4),
        ("none", 400, 8),
    ]


def test_named_values__set_several_keys_and_their_name_is_in_that_of_the_run():
    sizes = {"small": {"model.width": 16, "model.layers": 1}, "large": {"model.width": 64, "model.layers": 4}}
    plan = Plan(with_sweep(grid={"size": sizes}, set={"train.steps": 300, "seeds": [3, 4], "twirl.panel": 4}))
    assert list(plan.sweeps["s"]) == ["s_size_small", "s_size_large"]
    assert plan.sweeps["s"]["s_size_large"] == {"size": "large"}
    found = plan.train("s_size_large", 3)["run"]
    assert (found["model"]["width"], found["model"]["layers"], found["train"]["steps"]) == (64, 4, 300)
    assert plan.measure("twirl", "s_size_large")["settings"]["panel"] == 4
    assert [pair for pair in plan.runs if pair[0] == "s_size_small"] == [("s_size_small", 3), ("s_size_small", 4)]


def test_name__does_not_repeat_the_key_that_a_sweep_is_called_after():
    config = copy.deepcopy(DEFAULT) | {"sweeps": {"by_batch": {"run": "augmented", "grid": {"train.batch": [4, 8]}}}}
    assert list(Plan(config).sweeps["by_batch"]) == ["by_batch_4", "by_batch_8"]


def test_adding_a_value__leaves_the_other_runs_as_they_were():
    few, more = (Plan(with_sweep(grid={"train.batch": sizes})) for sizes in ([4, 8], [2, 4, 8]))
    assert set(few.sweeps["s"]) < set(more.sweeps["s"])
    for run in few.sweeps["s"]:
        assert few.train(run, 0) == more.train(run, 0)


def test_equal_run__is_trained_once_with_the_seeds_of_both():
    width = Plan(DEFAULT).train("augmented", 0)["run"]["model"]["width"]  # a default, not said in the config
    plan = Plan(with_sweep(grid={"model.width": [width, 16]}, set={"seeds": [1, 2]}))
    assert list(plan.sweeps["s"]) == ["augmented", "s_width_16"]
    assert {r["run"] for r in plan.report()["runs"] if r["swept"]} == {"s_width_16"}  # the report draws the others
    assert [seed for run, seed in plan.runs if run == "augmented"] == [0, 1, 2]


def test_equal_training__is_that_of_the_base_however_measured_unless_measurement_is_what_varies():
    width = Plan(DEFAULT).train("augmented", 0)["run"]["model"]["width"]
    plan = Plan(with_sweep(grid={"model.width": [width, 16]}, set={"twirl.panel": 3}))
    assert list(plan.sweeps["s"]) == ["augmented", "s_width_16"]
    assert plan.measure("twirl", "augmented") == Plan(DEFAULT).measure("twirl", "augmented")
    base = plan.measure("twirl", "augmented")["settings"]["rotations"]
    varied = Plan(with_sweep(grid={"twirl.rotations": [base, base + 1, base + 2]}))
    assert list(varied.sweeps["s"]) == ["augmented", f"s_rotations_{base + 1}", f"s_rotations_{base + 2}"]


def test_null__drops_a_sweep_of_an_overlay():
    config = with_sweep(grid={"train.batch": [4, 8]})
    assert len(Plan(config).sweeps["s"]) == 2
    assert Plan(config | {"sweeps": {"s": None}}).sweeps == {}


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"grid": {"model.widht": [16, 32]}}, ["sweeps.s.grid.model.widht: expected no such key", "'width'?"]),
        (
            {"grid": {"train.optimizer": ["sgd"]}},
            ["sweeps.s.grid.train.optimizer: expected no such key", "'optimiser'"],
        ),
        ({"grid": {"trian.batch": [4]}}, ["sweeps.s.grid.trian.batch: expected no such key", "did you mean 'train'?"]),
        ({"grid": {"train.batch": [4, 0]}}, ["sweeps.s.grid.train.batch: expected greater than or equal to 1, got 0"]),
        (
            {"zip": {"train.batch": [4, 8], "train.samples": [10]}},
            ["sweeps.s.zip: expected as many values", "samples: 1"],
        ),
        ({"grid": {"size": {"a": {"model.layer": 1}}}}, ["sweeps.s.grid.size.a.model.layer", "did you mean 'layers'?"]),
        ({"grid": {"train.warmup": [9999]}}, ["sweeps.s.grid.train.warmup: expected warmup of at most steps"]),
        ({"set": {"train.stepz": 3}, "grid": {"train.batch": [4]}}, ["sweeps.s.set.train.stepz", "'steps'?"]),
        (
            {"set": {"train.batch": 3}, "grid": {"train.batch": [4]}},
            ["sweeps.s.grid.train.batch", "sweeps.s.set.train"],
        ),
        ({"run": "augmentd", "grid": {"train.batch": [4]}}, ["sweeps.s.run: expected one of the runs", "'augmented'?"]),
        ({"gird": {"train.batch": [4]}}, ["sweeps.s.gird: expected no such key", "did you mean 'grid'?"]),
        ({"grid": {"train.batch": 4}}, ["sweeps.s.grid.train.batch: expected a list"]),
        ({"grid": {"train.batch": []}}, ["sweeps.s.grid.train.batch: expected a list"]),
        ({"grid": {"seeds": [0, 1]}}, ["sweeps.s.grid.seeds: expected seeds under `set`"]),
        ({}, ["sweeps.s: expected a key that varies"]),
        (
            {"grid": {f"train.{k}": list(range(1, 12)) for k in ("batch", "samples", "steps")}},
            ["sweeps.s: expected at most 1000 runs, got 1331"],
        ),
        ({"grid": {"train.objective.name": ["none", "none"]}}, ["sweeps.s: expected names of runs that are not taken"]),
        ({"grid": {"twirl.panle": [2, 3]}}, ["sweeps.s.grid.twirl.panle: expected no such key", "'panel'?"]),
    ],
)
def test_mistake__is_named_where_the_sweep_makes_it(sections, expected):
    text = mistakes(with_sweep(**sections))
    for words in expected:
        assert words in text
    assert "runs.s_" not in text


def test_mistake__of_many_runs_is_said_once():
    text = mistakes(with_sweep(grid={"model.widht": [16, 32], "train.batch": [2, 4, 8]}))
    assert text.count("widht") == 2  # the place and what came
    assert text.count("\n") == 0


def test_mistake__of_the_base_is_not_repeated_for_its_sweep():
    config = with_sweep(grid={"train.batch": [2, 4, 8]})
    config["runs"]["augmented"]["train"]["step"] = 3
    text = mistakes(config)
    assert text.count("\n") == 0
    assert "runs.augmented.train.step" in text


def test_plan__of_two_hundred_runs_takes_seconds():
    start = time.process_time()
    axes = {"train.batch": list(range(1, 11)), "train.samples": list(range(100, 120))}
    plan = Plan(with_sweep(grid=axes))
    assert len(plan.sweeps["s"]) == 200
    for run, seed in plan.runs:
        plan.train(run, seed)
        plan.measure("hessian", run)
    assert time.process_time() - start < 10

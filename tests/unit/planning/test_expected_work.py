"""Work counted from a plan, and durations learned from earlier jobs."""

from pathlib import Path

import pytest
import yaml

from twirlscope.planning.expected_work import PASS, START, Speeds, Work, passes, work_of
from twirlscope.planning.plan import Plan

CONFIG = Path(__file__).parents[3] / "config" / "config.yaml"
TRAIN, TWIRL, OTHER = Work("train", "a", 500.0), Work("twirl", "a", 200.0), Work("train", "b", 500.0)


@pytest.fixture(scope="module")
def plan():
    return Plan(yaml.safe_load(CONFIG.read_text()))


def test_passes__of_a_training_are_three_for_each_sample_of_each_update(plan):
    assert passes(plan, "train", "augmented") == 3 * 3500 * 32
    assert work_of(plan, "train", {"run": "augmented", "seed": "0"}) == Work(
        "train", "augmented", PASS["force_field"] * 3 * 3500 * 32
    )


def test_passes__of_a_panel_are_counted_as_the_config_says_them(plan):
    """Of the voxels: at every checkpoint 48 samples; at some a panel of 12 samples under 3 times 24 rotations."""
    train = plan.config.runs["voxels"].train
    decades = [k / train.checkpoints_per_decade for k in range(99)]
    steps = {0, train.steps, *(round(10**d) for d in decades if round(10**d) < train.steps)}
    settings = plan.config.measure("twirl", "voxels")[0]
    each = 48 * (settings.rotations + settings.reflections)
    assert 1 < settings.panel_checkpoints < len(steps)
    assert passes(plan, "twirl", "voxels") == len(steps) * each + settings.panel_checkpoints * 12 * 24 * 3


def test_passes__of_gradients_are_those_of_the_checkpoints_that_the_config_chooses(plan):
    """Of the voxels: some checkpoints, each with 8 batches of 8 samples under 2 rotations."""
    checkpoints = plan.config.measure("gradient", "voxels")[0].checkpoints
    assert 1 < checkpoints < 11
    assert passes(plan, "gradient", "voxels") == checkpoints * 10 * 8 * 8 * 2
    assert len(plan.jobs("gradient", "voxels")) == 1


def test_work__is_shared_by_the_jobs_of_a_stage_and_none_for_rules_that_collect(plan):
    wildcards = {"run": "augmented", "seed": "0", "part": "1"}
    assert work_of(plan, "twirl_part", wildcards) == work_of(plan, "twirl", wildcards)
    assert work_of(plan, "all_twirl", {}).seconds == 0
    for rule, names in (
        ("prepare_part", {"dataset": "molecules", "part": "0"}),
        ("report", {}),
        ("gradient", wildcards),
    ):
        assert work_of(plan, rule, names).seconds > 0


def test_seconds__of_a_job_that_ran_before_are_those_that_it_took(tmp_path):
    Speeds(tmp_path / "s.json").record(TRAIN, 1234.0)
    again = Speeds(tmp_path / "s.json")
    assert again.knows(TRAIN)
    assert not again.knows(TWIRL)
    assert again.seconds(TRAIN) == 1234.0
    assert again.seconds(Work("train", "a", 1000.0)) == 2468.0, "twice the work"


def test_seconds__of_later_stages_follow_the_slowness_of_their_run(tmp_path):
    speeds = Speeds(tmp_path / "s.json")
    assert speeds.seconds(TWIRL) == START + 200
    speeds.record(Work("prepare", "d", 3.0), START)  # the start of a job
    speeds.record(TRAIN, START + 5000)
    assert speeds.seconds(TWIRL) == pytest.approx(START + 2000, rel=0.05)
    assert 300 < speeds.seconds(Work("twirl", "b", 200.0)) <= speeds.seconds(TWIRL)


def test_seconds__of_hours_are_not_told_by_a_job_of_seconds(tmp_path):
    """On a machine that was busy with its start."""
    speeds = Speeds(tmp_path / "s.json")
    speeds.record(Work("prepare", "d", 3.0), 15.0)
    speeds.record(Work("train", "a", 0.3), 120.0)
    assert speeds.seconds(Work("hessian", "a", 1000.0)) < 100 * 1000


def test_seconds__of_a_network_that_is_slow_by_itself_are_not_those_of_the_others(tmp_path):
    """Two runs of one slow network on a machine of ordinary speed, as at the start of a long sweep."""
    speeds = Speeds(tmp_path / "s.json")
    for name in ("voxels", "voxels_60"):
        speeds.record(Work("train", name, 20.0), 6 * 20.0)
    assert speeds.seconds(Work("train", "forces", 500.0)) < 4 * 500
    speeds.record(Work("train", "chains", 100.0), 100.0)
    assert speeds.seconds(Work("train", "forces", 500.0)) < 3 * 500
    assert speeds.seconds(Work("twirl", "voxels", 20.0)) == pytest.approx(6 * 20.0, rel=0.4)


def test_seconds__by_the_plan_alone_are_about_those_of_the_default_run(plan):
    """As measured on two cores of a shared machine: all its networks together, and every training within a factor."""
    measured = {"augmented": 199, "backbones": 98, "equivariant": 52, "voxels": 140}
    for run, seconds in measured.items():
        assert 1 / 2.5 < Speeds(Path()).seconds(work_of(plan, "train", {"run": run, "seed": "0"})) / seconds < 2.5


def test_seconds__take_the_forecast_of_a_running_job_into_account(tmp_path):
    speeds = Speeds(tmp_path / "s.json")
    assert speeds.seconds(TWIRL, {TRAIN: 5000.0, OTHER: 500.0}) > 3 * speeds.seconds(TWIRL)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"train a": [0, 1]}', '{"train a": 3}', '{"train a": ["x", 1]}'])
def test_damaged_file__is_as_none(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    assert Speeds(tmp_path / "s.json").seconds(TRAIN) == START + 500

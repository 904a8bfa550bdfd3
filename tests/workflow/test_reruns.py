"""Results without `.snakemake`, as after a copy or a clone: what is stale runs again, with the reason, and no more."""

import os
import shutil

import pytest

from twirlscope.storage import store

REPORT = "report: results/report/index.html"
RUNS = ("augmented", "equivariant", "backbones", "voxels")


@pytest.fixture
def copied(project, tmp_path):
    """The results of the smoke run, copied with their times and without Snakemake's memory."""
    shutil.copytree(project.work, tmp_path / "work", ignore=shutil.ignore_patterns(".snakemake"))
    return type(project)(project.code, tmp_path / "work")


def dry_run(project, *arguments):
    """The jobs of a dry run, and all that it prints."""
    output = project.snakemake("-n", *arguments).output
    return project.jobs_in(output), output


def job(stage, run):
    return f"{stage}: run {run}, seed 0"


def test_copied_results__ask_for_nothing(copied):
    assert copied.jobs() == set()


@pytest.mark.parametrize(
    ("overlay", "expected", "why"),
    [
        (
            "twirl: {rotations: 3}",
            {job("twirl", run) for run in RUNS},
            "results/runs/voxels/seed0/twirl.zarr.zip is made again: settings.rotations: 4 -> 3",
        ),
        (
            "runs: {equivariant: {train: {steps: 14}}}",
            {job(stage, "equivariant") for stage in ("train", "twirl")},
            "results/runs/equivariant/seed0/train.zarr.zip is made again: run.train.steps: 12 -> 14",
        ),
        (
            "runs: {backbones: {task: {generate: 3}}}",
            {job("twirl", "backbones")},
            "results/runs/backbones/seed0/twirl.zarr.zip is made again: task.generate: 4 -> 3",
        ),
        (
            "runs: {augmented: {train: {prefetch: 0, save_every: 9.0}}}",
            set(),
            "results/report is made again: config.runs.augmented.train.prefetch: -1 -> 0",
        ),
    ],
    ids=("measurement", "training", "task", "machine"),
)
def test_copied_results__after_an_edit_of_the_config_run_again_what_it_changes(
    copied, overlay, expected, why, tmp_path
):
    (tmp_path / "o.yaml").write_text(overlay)
    jobs, said = dry_run(copied, "--configfile", copied.smoke, str(tmp_path / "o.yaml"))
    assert why in said
    assert jobs == expected | {REPORT}


def test_copied_results__after_an_edit_of_the_code_run_again_what_reaches_it(copied, tmp_path):
    edited = copied.copy(tmp_path / "edited")
    path = edited.code / "workflow" / "twirlscope" / "curvature" / "lanczos.py"
    path.write_text(path.read_text() + "\n\nADDED = 1\n")
    jobs, said = dry_run(edited)
    assert jobs == {job("hessian", run) for run in ("augmented", "backbones", "voxels")} | {REPORT}
    assert "hessian.zarr.zip is made again: code:" in said


def test_copied_results__beside_other_data_run_again(copied):
    """The data of another run under the same name, older than all results."""
    path = copied.work / "results" / "data" / "geometries.zarr.zip"
    time = path.stat().st_mtime
    data = store.load(path)
    arrays = store.declarations(data)
    store.save(data.assign(positions=data["positions"] * 2), path, arrays)
    os.utime(path, (time, time))
    assert copied.jobs() == {job(stage, "voxels") for stage in ("train", "twirl", "gradient", "hessian")} | {REPORT}


def test_stale_stores__that_a_target_does_not_need_are_left_alone(copied, tmp_path):
    (tmp_path / "o.yaml").write_text("{twirl: {rotations: 3}, gradient: {seed: 1}}")
    found = copied.jobs("--configfile", copied.smoke, str(tmp_path / "o.yaml"), "--", "all_gradient")
    assert {name.split(":")[0] for name in found} == {"gradient"}


def test_trainings__that_are_kept_across_a_change_of_the_code_do_not_run_again(copied, tmp_path):
    edited = copied.copy(tmp_path / "edited")
    path = edited.code / "workflow" / "twirlscope" / "training" / "loop.py"
    path.write_text(path.read_text() + "\n\nADDED = 1\n")
    assert {job("train", run) for run in RUNS} <= edited.jobs()
    edited.snakemake("--", "keep_trainings")
    log = (edited.work / "logs" / "keep_trainings.log").read_text()
    assert log.count("kept, finished") == len(RUNS)
    assert edited.jobs() == {REPORT}, "which says it"

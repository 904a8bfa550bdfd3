"""The workflow as a user meets it: what runs, what runs again, what does not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from twirlscope.storage import store

REPORT = "report: results/report/index.html"
STAGES = ("train", "twirl", "gradient", "hessian")
RUNS = {  # of the smoke config
    "augmented": STAGES,
    "equivariant": STAGES[:2],
    "backbones": STAGES,
    "voxels": STAGES,
}


def messages(run, *stages):
    return {f"{stage}: run {run}, seed 0" for stage in stages}


def of_all(stage):
    """The messages of a stage of all runs that have it."""
    return {f"{stage}: run {run}, seed 0" for run, stages in RUNS.items() if stage in stages}


def write(path, text):
    path.write_text(text)
    return str(path)


def edited(project, tmp_path, file, change):
    """A copy of the project with one file of the package changed, over the same results."""
    copy = project.copy(tmp_path / "edited")
    path = copy.code / "workflow" / "twirlscope" / file
    path.write_text(change(path.read_text()))
    return copy


def test_run__leaves_every_product_whole_and_nothing_else(project):
    found = {str(p.relative_to(project.work / "results")) for p in (project.work / "results").rglob("*.zarr.zip")}
    stages = [f"runs/{run}/seed0/{stage}.zarr.zip" for run, stages in RUNS.items() for stage in stages]
    data = [f"data/{name}.zarr.zip" for name in ("molecules", "backbones", "geometries")]
    assert found == {"report/summary.zarr.zip", *data, *stages}
    assert (project.work / "results" / "report" / "index.html").stat().st_size > 10_000
    assert not list((project.work / "results").rglob("*.part"))


def test_run__leaves_as_few_files_as_it_has_stages_and_checkpoints(project):
    """Whatever the number of samples, updates and parameters: clusters ration files, not bytes alone."""
    results, kept = project.work / "results", {"identity.json", "state.pt", ".lock"}
    assert len(list((results / "data").iterdir())) == 3
    for run, stages in RUNS.items():
        folder = results / "runs" / run / "seed0"
        names = {path.name for path in folder.rglob("*") if path.is_file()}
        steps = store.load(folder / "train.zarr.zip")["step"].values
        checkpoints = {f"step{step:09d}.pt" for step in steps} | {f"step{step:09d}.update.pt" for step in steps[1:]}
        assert names == {f"{stage}.zarr.zip" for stage in stages} | checkpoints | kept


def test_run__puts_log_and_benchmark_of_every_job_by_stage_and_run(project):
    for run, stages in RUNS.items():
        for stage in stages:
            assert (project.work / "logs" / stage / f"{run}.seed0.log").exists()
            assert (project.work / "benchmarks" / stage / f"{run}.seed0.tsv").exists()


def test_run__logs_progress_with_unit_rate_and_remaining_time(project):
    log = (project.work / "logs" / "train" / "augmented.seed0.log").read_text()
    assert re.search(r"train: 20/20 updates \(100 %\), .+ updates/s, 0:00 min left, loss [\d.]+", log)


def test_run__prints_one_line_as_each_job_starts_and_one_with_its_finding_as_it_ends(project):
    lines = project.printed.splitlines()
    told = [match.groups() for line in lines if (match := re.match(r"\[ *(\d+) %, .+ left\] (.+?): (.+)", line))]
    jobs = {f"{stage} {run} seed 0" for run, stages in RUNS.items() for stage in stages} | {"report"}
    jobs |= {f"prepare {name}{end}" for name in ("molecules", "backbones", "geometries") for end in ("", " part 0")}
    jobs.add("prepare molecules part 1")
    assert {name for _, name, text in told if text.startswith("started, about ")} == jobs
    ends = {name: text for _, name, text in told if not text.startswith("started, about ")}
    assert ends.keys() == jobs
    assert re.fullmatch(r"loss [\d.]+ after 20 updates \(.+\)", ends["train augmented seed 0"])
    assert ends["twirl equivariant seed 0"].startswith("equivariant up to rounding error after 12 updates")
    percent = float(ends["twirl augmented seed 0"].split(" %")[0])
    stored = store.load(project.work / "results/runs/augmented/seed0/twirl.zarr.zip")["percent_equiv"]
    assert percent == pytest.approx(float(stored.sel(term="forces").isel(step=-1)), rel=0.01)
    shares = [int(share) for share, _, _ in told]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 100
    assert f"{len(jobs)} jobs, about " in project.printed
    assert "rule " not in project.printed
    log = "".join(path.read_text() for path in (project.work / ".snakemake" / "log").glob("*.log"))
    assert "train: run augmented, seed 0" in log, "the blocks of Snakemake"


@pytest.mark.parametrize("stage", ["prepare", *STAGES, "report"])
def test_run__logs_progress_of_every_stage_with_percent_and_time_left(project, stage):
    path = {"report": "report.log", "prepare": "prepare/backbones.0.log"}.get(stage, f"{stage}/augmented.seed0.log")
    log = (project.work / "logs" / path).read_text()
    assert re.search(rf"^{stage}: .+ \(100 %\), .+, 0:00 min left", log, re.MULTILINE)
    assert re.search("^found: ", log, re.MULTILINE)


def test_watch__shows_the_curves_of_the_run(project):
    command = [sys.executable, "-m", "twirlscope", "watch", str(project.work / "results"), "--once"]
    environment = os.environ | {"PYTHONPATH": str(project.code / "workflow")}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    for run in RUNS:
        assert f"{run} seed 0: finished, loss" in found
    assert found.count("both axes logarithmic") == len(RUNS)


def test_run__stores_carry_units_and_meaning(project):
    for path in (project.work / "results" / "runs").rglob("*.zarr.zip"):
        for name, variable in store.load(path).variables.items():
            assert variable.attrs["units"], (path, name)
            assert variable.attrs["long_name"], (path, name)


def test_run__says_that_labels_are_semiempirical(project):
    stages = ("twirl", "gradient", "hessian")
    stores = ["data/molecules", *(f"runs/augmented/seed0/{stage}" for stage in stages)]
    for name in stores:
        assert "semiempirical" in store.load(project.work / f"results/{name}.zarr.zip").attrs["labels"]
    page = (project.work / "results/report/index.html").read_text()
    assert re.search(r'<ul class="data">.*?semiempirical.*?</ul>', page, re.DOTALL)


def test_run__measures_gradients_at_every_checkpoint_with_the_update_that_led_there(project):
    for run, weights in (("augmented", "moving average"), ("voxels", "as trained")):
        folder = project.work / "results" / "runs" / run / "seed0"
        trained, found = (store.load(folder / f"{stage}.zarr.zip") for stage in ("train", "gradient"))
        assert list(found["step"]) == list(trained["step"])
        assert found.attrs["weights"] == weights
        assert float(found["identity_error"].max()) < 1e-4
        assert found["update_share"].sel(layer="whole")[1:].notnull().all()
    page = (project.work / "results/report/index.html").read_text()
    assert 'id="gradients"' in page
    assert (project.work / "results/report/tables/update_share.csv").exists()


@pytest.mark.slow
def test_gradients__that_are_not_wanted_are_not_measured(project, tmp_path):
    overlay = write(tmp_path / "o.yaml", "gradient: {enabled: false}")
    empty = type(project)(project.code, tmp_path)
    jobs = empty.jobs("--configfile", project.smoke, overlay)
    assert not {job for job in jobs if job.startswith("gradient")}
    assert REPORT in jobs


def test_run_again__has_nothing_to_do(project):
    assert "Nothing to be done" in project.snakemake().output


@pytest.mark.slow
def test_run_again__makes_what_was_deleted(project, tmp_path):
    shutil.copytree(project.work, tmp_path / "work", symlinks=True)
    some = type(project)(project.code, tmp_path / "work")
    (some.work / "results" / "runs" / "augmented" / "seed0" / "gradient.zarr.zip").unlink()
    assert some.jobs() == messages("augmented", "gradient") | {REPORT}


@pytest.mark.slow
def test_checkpoints__measured_by_several_jobs_give_the_store_of_one(project, tmp_path):
    overlay = write(tmp_path / "o.yaml", "runs: {voxels: {twirl: {jobs: 2}}}")
    shutil.copytree(project.work, tmp_path / "work")
    spread, product = type(project)(project.code, tmp_path / "work"), "results/runs/voxels/seed0/twirl.zarr.zip"
    config = ["--configfile", project.smoke, overlay, "--", product]
    parts = {f"twirl: part {part} of run voxels, seed 0" for part in range(2)}
    assert spread.jobs(*config) == parts | {"gather: twirl of run voxels, seed 0"}
    spread.snakemake(*config)
    assert (spread.work / product).read_bytes() == (project.work / product).read_bytes()
    assert not list((spread.work / product).parent.glob("*.parts/*"))


def test_changed_steps_of_one_run__rerun_that_runs_stages_alone(project, tmp_path):
    overlay = write(tmp_path / "o.yaml", "runs: {voxels: {train: {steps: 14}}}")
    expected = messages("voxels", "train", "twirl", "gradient", "hessian") | {REPORT}
    assert project.jobs("--configfile", project.smoke, overlay) == expected


def test_changed_measurement__trains_nothing_again(project, tmp_path):
    overlay = write(tmp_path / "o.yaml", "twirl: {rotations: 3}")
    expected = of_all("twirl") | {REPORT}
    assert project.jobs("--configfile", project.smoke, overlay) == expected


@pytest.mark.slow
def test_overlay__can_drop_a_run(project, tmp_path):
    overlay = write(tmp_path / "o.yaml", "runs: {voxels: null}")
    assert project.jobs("--configfile", project.smoke, overlay) == {REPORT}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("report/figures/curves.py", set()),
        ("curvature/lanczos.py", {"hessian"}),
        ("estimators/loss_split.py", {"twirl"}),
        ("training/state.py", {"train"}),
        ("training/checkpoints.py", {"twirl", "gradient", "hessian"}),
        ("estimators/gradient_statistics.py", {"gradient"}),
        ("geometry/so3.py", {"prepare", "train", "twirl", "gradient", "hessian"}),
        ("storage/arrays/hessian.py", {"hessian"}),
        ("storage/arrays/twirl.py", {"twirl"}),
    ],
)
def test_edited_module__reruns_only_the_stages_that_reach_it(project, tmp_path, file, stages):
    copy = edited(project, tmp_path, file, lambda text: text + "\n\nADDED = 1\n")
    jobs = copy.jobs()
    ran = {job.split(":")[0] for job in jobs}
    assert stages <= ran
    assert ran - stages <= {"report"} | ({"twirl", "gradient", "hessian"} if "train" in stages else set())
    assert "report" in ran


@pytest.mark.slow
def test_edited_docstring_or_comment__reruns_nothing(project, tmp_path):
    def change(text):
        return text.replace('"""', '"""Reworded: ', 1) + "\n# a comment\n"

    assert edited(project, tmp_path, "training/loop.py", change).jobs() == set()


@pytest.mark.slow
def test_fresh_clone_over_existing_results__asks_for_nothing(project, tmp_path):
    assert project.copy(tmp_path / "clone").jobs() == set()


def test_target_of_one_stage__makes_that_stage_and_what_it_needs(project, tmp_path):
    empty = type(project)(project.code, tmp_path)
    ran = {job.split(":")[0] for job in empty.jobs("all_twirl")}
    assert ran == {"prepare", "train", "twirl"}


@pytest.mark.slow
def test_until__stops_after_the_stage(project, tmp_path):
    empty = type(project)(project.code, tmp_path)
    assert {job.split(":")[0] for job in empty.jobs("--until", "train")} == {"prepare", "train"}


@pytest.mark.slow
def test_forced_stage__runs_again_with_what_follows(project):
    expected = of_all("hessian") | {REPORT}
    assert project.jobs("-R", "hessian") == expected


def test_config_mistakes__are_all_named_before_any_job_starts(project, tmp_path):
    overlay = write(
        tmp_path / "o.yaml",
        """
runs:
  augmented: {train: {stepz: 3, batch: many}, model: {name: vector_atention}}
datasets:
  mine: {name: extxyz, files: [no_such_file.xyz], energy_key: energy, forces_key: forces}
""",
    )
    output = project.snakemake("--configfile", project.smoke, overlay, ok=False).output
    assert "runs.augmented.train.stepz: expected no such key" in output
    assert "did you mean 'steps'?" in output
    assert "runs.augmented.train.batch" in output
    assert "Traceback" not in output
    assert "Select jobs" not in output


@pytest.mark.slow
def test_failing_job__ends_with_one_clear_message_and_no_product(project, tmp_path):
    (tmp_path / "bad.smi").write_text("not_a_molecule first\nC1CC second\n")
    overlay = write(tmp_path / "o.yaml", f"datasets: {{molecules: {{file: {tmp_path / 'bad.smi'}}}}}")
    broken = type(project)(project.code, tmp_path / "work")
    target = ("--", "results/data/molecules.zarr.zip")
    output = broken.snakemake("--configfile", project.smoke, overlay, *target, ok=False).output
    assert "ERROR prepare" in output
    assert "bad.smi" in output
    assert "Traceback" not in output
    assert not list((tmp_path / "work").rglob("molecules.zarr.zip"))


@pytest.mark.slow
def test_snakemake_report__contains_the_page(project, tmp_path):
    project.snakemake("--report", str(tmp_path / "report.zip"))
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        pages = [n for n in archive.namelist() if n.endswith("index.html")]
        assert any(b"twirled" in archive.read(n) for n in pages)


@pytest.mark.slow
def test_module__serves_another_workflow(project, tmp_path):
    (tmp_path / "Snakefile").write_text(
        f"""
configfile: {str(project.code / "config" / "config.yaml")!r}

module twirlscope:
    snakefile: {str(project.code / "workflow" / "Snakefile")!r}
    config: config
    pathvars:
        results="elsewhere"

use rule * from twirlscope as twirlscope_*

rule everything:
    default_target: True
    input: rules.twirlscope_all.input
"""
    )
    other = type(project)(tmp_path, tmp_path)
    shutil.copytree(project.code / "config", tmp_path / "config")
    jobs = other.jobs("--configfile", project.smoke)
    assert messages("augmented", "train", "twirl", "gradient", "hessian") <= jobs
    assert "report: elsewhere/report/index.html" in jobs
    other.snakemake("--configfile", project.smoke, "--", "elsewhere/data/geometries.zarr.zip")
    assert (tmp_path / "elsewhere" / "data" / "geometries.zarr.zip").exists()


def test_provenance__of_a_run_is_stored_with_it(project):
    found = store.load(project.work / "results/runs/equivariant/seed0/train.zarr.zip").attrs
    assert json.loads(found["run"])["train"]["objective"]["name"] == "none"
    assert json.loads(found["versions"])["torch"].startswith("2.")
    assert found["parameters"] > 100


@pytest.mark.slow
def test_interrupted_run__goes_on_where_it_was(project, tmp_path):
    """Snakemake is told to stop in the middle of a training; the same command finishes it."""
    overlay = write(
        tmp_path / "o.yaml",
        "runs: {equivariant: null, backbones: null, voxels: null,"
        " augmented: {train: {steps: 100000, save_every: 0.2}}}",
    )
    (tmp_path / "work" / "results").mkdir(parents=True)
    shutil.copytree(project.work / "results" / "data", tmp_path / "work" / "results" / "data")
    begun = type(project)(project.code, tmp_path / "work")
    arguments = ["--configfile", project.smoke, overlay, "--", "all_train"]
    process = interruptible(begun, arguments)
    wait_for(lambda: list(begun.work.glob("results/runs/*/seed0/checkpoints/*/step000000063.pt")))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert not list(begun.work.rglob("train.zarr.zip"))
    process = interruptible(begun, arguments)
    log = begun.work / "logs" / "train" / "augmented.seed0.log"
    wait_for(lambda: log.exists() and re.search(r"resumed at step \d\d+", log.read_text()))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)


def interruptible(begun, arguments):
    """The command in a group of its own that hears SIGINT, also where these tests run in the background of a shell."""
    return subprocess.Popen(
        begun.command(*arguments),
        cwd=begun.code,
        start_new_session=True,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.mark.slow
def test_jobs__run_the_code_of_their_own_copy_whatever_is_installed(blank):
    stage = blank.code / "workflow" / "twirlscope" / "stages" / "prepare.py"
    text = stage.read_text()
    stage.write_text(
        text.replace("    found = dataset.read(part)\n", '    found = print("this copy") or dataset.read(part)\n')
    )
    assert stage.read_text() != text
    blank.snakemake("--", "results/data/geometries.zarr.zip")
    assert (blank.work / "logs" / "prepare" / "geometries.0.log").read_text().startswith("this copy")


@pytest.mark.slow
def test_edit_of_the_code_while_jobs_run__makes_what_was_made_before_it_again(blank):
    stage = blank.code / "workflow" / "twirlscope" / "stages" / "prepare.py"
    edit = f"import pathlib; p = pathlib.Path({str(stage)!r}); p.write_text(p.read_text() + 'late = 1\\n')"
    script = blank.code / "workflow" / "scripts" / "prepare.py"
    text = script.read_text()
    script.write_text(f"{text}\n{edit}\n")  # the last job edits what it was made by
    target = ("--", "results/data/geometries.zarr.zip")
    blank.snakemake(*target)
    assert "prepare: dataset geometries" in blank.jobs(*target)

"""The profile for SLURM, on a real SLURM of one node."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
import yaml
from copies import ROOT, Project, copy_code
from slurm_node import Node, missing, until

# one run of the smoke config, its training long enough to be disturbed
OVERLAY = """runs:
  augmented: {train: {steps: 900, checkpoints_per_decade: 1, save_every: 1000.0, device: cpu}}
  equivariant: null
  backbones: null
  voxels: null
"""
pytestmark = pytest.mark.timeout(2400)  # of the whole story, on a busy machine
SEED = "results/runs/augmented/seed0"
TRAINING, MEASURING = "rule_train_wildcards_augmented_0", "rule_measure_augmented_0_gradient_twirl"
PROMPT = str(ROOT / "tests" / "kit" / "prompt_snakemake.py")
STARVED = "rule_prepare_wildcards_molecules"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    if missing():
        pytest.skip(missing())
    made = Node(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@dataclass
class Story:
    """What happened to a run on SLURM."""

    project: object
    config: list[str]
    refused: str
    first_ended: int
    cancelled: list[str]
    jobs: list[list[str]]


def profile_here(project, folder):
    """The profile for SLURM, but for what this node lacks (accounting, cores) and what a test wants (short waits)."""
    profile = yaml.safe_load((project.code / "profiles" / "slurm" / "profile.yaml").read_text())
    profile |= {"slurm-status-command": "squeue", "slurm-init-seconds-before-status-checks": 1, "latency-wait": 5}
    del profile["set-threads"]
    profile["set-resources"]["prepare"]["mem_mb"] = "100 if attempt == 1 else 2000"
    folder.mkdir()
    (folder / "profile.yaml").write_text(yaml.safe_dump(profile))
    return str(folder)


@pytest.fixture(scope="module")
def story(node, tmp_path_factory):
    """A run on SLURM, disturbed in every way at once, since a run of its own for each would take too long."""
    folder = tmp_path_factory.mktemp("story")
    copy_code(ROOT, folder / "code")
    project = Project(folder / "code", folder / "work")
    (folder / "overlay.yaml").write_text(OVERLAY)
    config = ["--configfile", project.smoke, str(folder / "overlay.yaml")]
    arguments = ["--profile", profile_here(project, folder / "profile"), "--cores", "4", *config]
    with running(project, arguments, folder / "first") as first:
        until(lambda: any((project.work / ".snakemake" / "locks").glob("*")), 60, "no lock")
        refused = project.snakemake(*arguments, ok=False).output
        until(lambda: any(project.work.glob(f"{SEED}/checkpoints/*/step000000100.pt")), 900, "no training")
        job = node.job(TRAINING, "RUNNING")
        node.ask("scontrol", "requeue", job)  # as a partition with PreemptMode=REQUEUE does
        until(lambda: node.job(TRAINING, "PENDING"), 30, "not requeued")
        node.ask("scontrol", "update", f"JobId={job}", "StartTime=now")  # else it waits two minutes
        log = project.work / "logs/train/augmented.seed0.log"
        until(lambda: log.exists() and "resumed" in log.read_text(), 300, "not resumed")
        first.terminate()  # it submits no more
        cancelled = [comment for _, state, _, comment in node.jobs() if state in ("RUNNING", "PENDING")]
        until(lambda: node.ask("scancel", "--user", "root") or ended(first), 300, "the first command did not end")
    with running(project, arguments, folder / "second") as second:
        assert second.wait(timeout=1800) == 0, (folder / "second").read_text()[-4000:]
    return Story(project, config, refused, first.returncode, cancelled, node.jobs())


def ended(process, seconds=2):
    """Whether a process ends in this time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    return process.returncode is not None


@contextlib.contextmanager
def running(project, arguments, out):
    """Snakemake in the background, what it prints in a file; it is gone at the end."""
    with out.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, PROMPT, *project.command(*arguments)[3:]],
            stdout=file,
            stderr=file,
            cwd=project.code,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        try:
            yield process
        except BaseException:
            print(out.read_text()[-4000:])
            raise
        finally:
            process.kill()
            process.wait()


def checked(project, *arguments, profile=None):
    """The end of the check of a project's profile, on one run of the smoke config."""
    overlay = project.code / "overlay.yaml"
    overlay.write_text("runs: {equivariant: null, backbones: null, voxels: null}")
    folder = project.code / "profiles" / "slurm"
    command = [sys.executable, folder / "check.py", "--profile", profile or folder, "--directory", project.work]
    command += [*arguments, "--configfile", project.smoke, overlay]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=project.code)


def test_check__names_jobs_without_a_partition_or_gpu_model_and_jobs_with_two_partitions(blank):
    written = blank.code / "profiles" / "slurm" / "profile.yaml"
    text = re.sub(r"# (gpu_model: h100|slurm_partition: gpu)", r"\1", written.read_text())
    mine = blank.code / "profiles" / "my own"
    mine.mkdir()
    (mine / "profile.yaml").write_text(text)
    done = checked(blank, profile=mine)
    assert done.returncode == 0, done.stderr
    with_gpu = [line for line in done.stdout.splitlines() if "--gpus" in line]
    assert len(with_gpu) == 3
    assert all("--gpus=h100:1" in line and "--partition=gpu" in line for line in with_gpu)
    remark = done.stdout.splitlines()[-1]
    assert remark.startswith("check-slurm: no partition, so the cluster's default: rule_")
    assert "rule_report" in remark
    assert not re.search("train|measure|hessian", remark)
    text = text.replace("--open-mode=append", "--open-mode=append --partition=long").replace(
        "  hessian:\n    <<: *network", "  hessian:\n    gpu: 1"
    )
    (mine / "profile.yaml").write_text(text)
    done = checked(blank, profile=mine)
    assert done.returncode == 1
    assert f"check-slurm: two partitions (gpu, long): {TRAINING}" in done.stdout
    assert "check-slurm: a GPU of any model, where others have one: rule_hessian_wildcards_augmented_0" in done.stdout


def test_check__says_that_targets_go_before_the_config_files(blank):
    command = [sys.executable, "profiles/slurm/check.py", "--configfile", blank.smoke, "all_train"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=blank.code)
    assert done.returncode == 1
    said = "--configfile: expected config files that exist, got 'all_train'; targets go before --configfile"
    assert done.stderr.splitlines()[-1] == said


def test_check__prints_the_sbatch_line_of_every_job_without_a_cluster(blank):
    done = checked(blank)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "check-slurm: no partition, so the cluster's default: all"
    lines = {re.search(r"--comment (\S+)", line)[1]: line for line in done.stdout.splitlines() if "sbatch " in line}
    parts = {f"rule_prepare_part_wildcards_molecules_{part}" for part in range(2)}
    others = {"rule_prepare_wildcards_molecules", "rule_hessian_wildcards_augmented_0", "rule_report"}
    assert lines.keys() == {TRAINING, MEASURING} | parts | others
    for words in ("-t 480", "--mem 16000", "--requeue", "--cpus-per-task=4", "--gpus=1", "/rule_train/augmented_0/"):
        assert words in lines[TRAINING]
    for words in ("-t 480", "--mem 16000", "--cpus-per-task=2", "--gpus=1"):  # of both: times add up, nothing else
        assert words in lines[MEASURING]
    assert not any("--gpus" in line for name, line in lines.items() if "prepare" in name or "report" in name)


def test_whole_run__ends_on_slurm(story):
    assert (story.project.work / "results/report/index.html").exists()
    stages = {"prepare", "train", "measure", "hessian", "report"}
    comments = {comment for _, state, _, comment in story.jobs if state == "COMPLETED"}
    assert all(any(stage in comment for comment in comments) for stage in stages)
    assert not list((story.project.work / "results").rglob("*.part"))


def test_job_out_of_memory__is_submitted_again_with_more(story):
    tries = [(state, memory) for _, state, memory, comment in story.jobs if comment == STARVED]
    assert (tries[0], tries[-1]) == (("FAILED", "100M"), ("COMPLETED", "2000M"))
    logs = (story.project.work / "logs" / "slurm" / "rule_prepare" / "molecules").glob("*.log")
    assert any("exceeded memory limit" in log.read_text() for log in logs)


def test_preempted_training__ends_with_the_weights_of_an_undisturbed_one(story, tmp_path):
    log = (story.project.work / "logs/train/augmented.seed0.log").read_text()
    assert re.search(r"resumed at step \d\d\d", log)
    undisturbed = Project(story.project.code, tmp_path / "work")
    shutil.copytree(story.project.work / "results" / "data", undisturbed.work / "results" / "data")
    undisturbed.snakemake(*story.config, "--", f"{SEED}/train.zarr.zip")
    a, b = map(final_weights, (story.project, undisturbed))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_everything_cancelled__is_finished_by_the_same_command(story):
    """The fixture has seen the second command end well; here, what became of the first one and of its jobs."""
    assert story.first_ended == 1
    assert story.cancelled
    for comment in story.cancelled:
        states = [state for _, state, _, said in story.jobs if said == comment]
        assert "CANCELLED" in states, comment
        assert states[-1] == "COMPLETED", comment


def test_second_command_at_once__is_refused_by_the_lock(story):
    assert "cannot be locked" in story.refused


def final_weights(project):
    files = list(project.work.glob(f"{SEED}/checkpoints/*/step000000900.pt"))
    return torch.load(files[0], weights_only=True)

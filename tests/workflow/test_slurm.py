"""The profile for SLURM, on a real SLURM of one node."""

import os
import re
import subprocess
import sys

import pytest
import torch
from slurm_node import Node, missing, until

# a single run, long enough to be disturbed
OVERLAY = """
runs:
  augmented: {train: {steps: 160, checkpoints_per_decade: 2, save_every: 1000.0, device: cpu}}
  unaugmented: null
  equivariant: null
  backbones: null
  voxels: null
"""
# what this SLURM lacks: accounting; what a test wants: short waits
HERE = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5"]
SEED = "results/runs/augmented/seed0"


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


def test_check__prints_the_sbatch_line_of_every_job_without_a_cluster(blank, tmp_path):
    (tmp_path / "overlay.yaml").write_text(OVERLAY)
    profile = blank.code / "profiles" / "slurm"
    command = [sys.executable, profile / "check.py", "--profile", profile, "--directory", blank.work]
    command += ["--configfile", blank.smoke, tmp_path / "overlay.yaml"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=blank.code)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("sbatch ")]
    comments = [re.search(r"--comment rule_(\S+)", line)[1] for line in lines]
    stages = {f"{stage}_wildcards_augmented_0" for stage in ("train", "twirl", "gradient", "hessian")}
    parts = {f"prepare_part_wildcards_molecules_{part}" for part in range(2)}
    assert sorted(comments) == sorted(stages | parts | {"prepare_wildcards_molecules", "report"})
    train = next(line for line in lines if "rule_train" in line)
    for words in ("-t 480", "--mem 16000", "--requeue", "--cpus-per-task=4", "--gpus=1", "/rule_train/augmented_0/"):
        assert words in train
    assert not any("--gpus" in line for line in lines if "prepare" in line or "report" in line)


def final_weights(project):
    files = list(project.work.glob(f"{SEED}/checkpoints/*/step000000160.pt"))
    return torch.load(files[0], weights_only=True)


def test_whole_run_on_slurm__with_its_training_preempted_ends_with_the_weights_of_an_undisturbed_one(
    node, blank, tmp_path
):
    (tmp_path / "overlay.yaml").write_text(OVERLAY)
    disturbed, undisturbed = (type(blank)(blank.code, tmp_path / name) for name in ("slurm", "local"))
    config = ["--configfile", disturbed.smoke, str(tmp_path / "overlay.yaml")]
    slurm = ["--profile", str(blank.code / "profiles" / "slurm"), *HERE]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            disturbed.command(*slurm, *config), stdout=out, stderr=out, cwd=disturbed.code, env=environment
        )
        try:
            until(lambda: list(disturbed.work.glob(f"{SEED}/checkpoints/*/step000000032.pt")), 200, "no training")
            job = node.job("rule_train_wildcards_augmented_0", "RUNNING")
            node.ask("scontrol", "requeue", job)  # as a partition with PreemptMode=REQUEUE does
            until(lambda: node.job("rule_train_wildcards_augmented_0", "PENDING"), 30, "not requeued")
            node.ask("scontrol", "update", f"JobId={job}", "StartTime=now")  # else it waits two minutes
            process.wait(timeout=360)
        finally:
            process.kill()
    assert process.returncode == 0, (tmp_path / "out").read_text()[-4000:]
    assert (disturbed.work / "results/report/index.html").exists()
    assert re.search(r"resumed at step \d\d+", (disturbed.work / "logs/train/augmented.seed0.log").read_text())
    undisturbed.snakemake("--set-threads", "train=4", *config, "--", f"{SEED}/train.zarr.zip")
    a, b = map(final_weights, (disturbed, undisturbed))
    assert all(torch.equal(a[k], b[k]) for k in a)

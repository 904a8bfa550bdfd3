"""The profile for SLURM: what it asks a cluster for."""

import re
import subprocess
import sys

# a single run
OVERLAY = """
runs:
  unaugmented: null
  backbones: null
  voxels: null
"""


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

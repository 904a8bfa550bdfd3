"""SIGKILL at random moments of the smoke run; then one clean run gives, to the bit, what an undisturbed one gives.

Five kills by default. More, and what became of each:

    TWIRLSCOPE_KILLS=30 python -m pytest -s tests/workflow/test_kills.py
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

KILLS = int(os.environ.get("TWIRLSCOPE_KILLS", 5))
STAGES = ("prepare", "train", "twirl", "gradient", "hessian", "report")
OF_THE_MACHINE = {"s", "h", "J", "MB", "1/s"}  # units of what differs from run to run: times, energies, memory
ATTRIBUTES_OF_THE_MACHINE = {"seconds"}
pytestmark = pytest.mark.timeout(300 + 90 * KILLS)


def jobs_of(group):
    """(stage, process id) of the jobs in a process group; Snakemake's copy of a script is called tmp….<script>.py."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                script = re.search(rb"scripts/tmp\w+\.([a-z]+)(?:_part)?\.py", (process / "cmdline").read_bytes())
                found += [(script[1].decode(), int(process.name))] if script else []
        except (ProcessLookupError, FileNotFoundError):
            continue
    return found


class Run:
    """A smoke run in a folder of its own, which is started, killed and started again."""

    def __init__(self, project, random):
        self.project, self.random, self.process, self.groups = project, random, None, []
        self.left = set()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def start(self, stage):
        """The command that a user gives; after a finished run, that for the stage again."""
        self.unlock()
        again = ["-R", stage, "--"] if self.process is not None and self.process.returncode == 0 else []
        self.process = subprocess.Popen(
            self.project.command(*again),
            cwd=self.project.code,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.groups.append(self.process.pid)

    def unlock(self):
        """What `snakemake --unlock` does, without the seconds of its start."""
        for lock in (self.project.work / ".snakemake" / "locks").glob("*"):
            lock.unlink()

    def job_from(self, stage):
        """Wait until a job of the stage, or of a later one, is at work."""
        while True:
            if not self.alive():
                self.start(stage)
            if any(STAGES.index(name) >= STAGES.index(stage) for name, _ in jobs_of(self.process.pid)):
                return
            time.sleep(0.05)

    def moment(self, stage, seconds):
        """Wait for a random moment in a job of so many seconds, or for one in which a file is being written."""
        self.job_from(stage)
        writing = self.random.random() < 0.5
        end = time.monotonic() + seconds * (2 if writing else self.random.random())
        while self.alive() and time.monotonic() < end and not (writing and half_written(self.project) - self.left):
            time.sleep(0.001)
        if not self.alive():
            self.job_from(stage)

    def kill(self):
        """SIGKILL to everything, to Snakemake alone (its jobs live on), or to one job (Snakemake lives on)."""
        group, jobs = self.process.pid, jobs_of(self.process.pid)
        victim = self.random.choice(["everything", "snakemake", *(["job"] if jobs else [])])
        if victim == "job":
            os.kill(jobs[self.random.integers(len(jobs))][1], signal.SIGKILL)
        else:
            (os.killpg if victim == "everything" else os.kill)(group, signal.SIGKILL)
            self.process.wait()
        new, self.left = half_written(self.project) - self.left, half_written(self.project)
        return f"{victim} killed during {', '.join(stage for stage, _ in jobs)}; half-written: {sorted(new)}"

    def end(self):
        """Nothing of it is alive."""
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()


def half_written(project):
    """Files that are being written, or were when their process was killed."""
    return {name for _, _, names in os.walk(project.work / "results") for name in names if name.endswith(".part")}


def seconds_of(project, stage):
    """How long a job of the stage takes."""
    tables = (project.work / "benchmarks").glob(f"{stage}*/*.tsv" if stage != "report" else "report.tsv")
    return float(np.mean([float(table.read_text().splitlines()[1].split("\t")[0]) for table in tables]))


def content(path):
    """Entries of a store, without what differs from run to run."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for name in [name for name in entries if name.endswith("zarr.json")]:
        described = json.loads(entries[name])
        attributes = described["attributes"]
        described["attributes"] = {k: v for k, v in attributes.items() if k not in ATTRIBUTES_OF_THE_MACHINE}
        entries[name] = described
        if attributes.get("units") in OF_THE_MACHINE:
            entries = {k: v for k, v in entries.items() if not k.startswith(name.removesuffix("zarr.json"))}
    return entries


def stores(project):
    """Every store of a project, by its name."""
    return {str(path.relative_to(project.work)): path for path in project.work.glob("results/**/*.zarr.zip")}


def test_random_kills__and_then_a_clean_run_give_the_results_of_an_undisturbed_one(project, tmp_path):
    run = Run(type(project)(project.code, tmp_path / "work"), np.random.default_rng(KILLS))
    try:
        for i, stage in enumerate(STAGES[round(k)] for k in np.linspace(0, len(STAGES) - 1, KILLS)):
            run.moment(stage, seconds_of(project, stage))
            print(f"{i + 1}: {run.kill()}", flush=True)
    finally:
        run.end()
    run.project.snakemake("--unlock")
    run.project.snakemake()
    undisturbed, disturbed = stores(project), stores(run.project)
    assert disturbed.keys() == undisturbed.keys()
    assert not [name for name in undisturbed if content(disturbed[name]) != content(undisturbed[name])]
    assert not half_written(run.project)

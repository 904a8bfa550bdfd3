"""A whole run of the workflow that is killed, or told to stop, at random moments of its stages."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from copies import ROOT, Project, copy_code

from .contents import content
from .fault import Fault, Outcome

STAGES = ("prepare", "train", "twirl", "gradient", "hessian", "report")
KILLS = 5  # of one run
SMALL = "runs: {equivariant: null, backbones: null, voxels: null}\n"  # all stages of one run:
RUN, DATASET = "augmented", "molecules"
PATIENCE = 300.0  # [s] for Snakemake to end after SIGTERM


class SmallProject(Project):
    """A copy of the project with one run of the smoke config."""

    def command(self, *arguments: str) -> list[str]:
        """Snakemake on that run."""
        overlay = self.code / "config" / "small.yaml"
        overlay.write_text(SMALL)
        return super().command("--configfile", self.smoke, str(overlay), *arguments)


def jobs_of(group: int) -> list[tuple[str, int]]:
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


def half_written(project: Project) -> set[str]:
    """Files that are being written, or were when their process was killed."""
    return {name for _, _, names in os.walk(project.work / "results") for name in names if name.endswith(".part")}


def seconds_of(project: Project, stage: str) -> float:
    """Mean duration of the jobs of a stage [s]."""
    tables = (project.work / "benchmarks").glob(f"{stage}*/*.tsv" if stage != "report" else "report.tsv")
    return float(np.mean([float(table.read_text().splitlines()[1].split("\t")[0]) for table in tables]))


def stores(project: Project) -> dict[str, Path]:
    """Every store of a project, by its name."""
    return {str(path.relative_to(project.work)): path for path in project.work.glob("results/**/*.zarr.zip")}


@functools.cache
def undisturbed() -> Project:
    """The run without a fault."""
    folder = Path(tempfile.mkdtemp(prefix="undisturbed"))
    copy_code(ROOT, folder / "code")
    project = SmallProject(folder / "code", folder / "work")
    project.snakemake()
    return project


def smaller(done: Project, folder: Path) -> SmallProject:
    """The run without a fault from a whole smoke run: of its jobs only the report runs again."""
    small = SmallProject(done.code, folder / "work")
    shutil.copytree(done.work, small.work)
    results = small.work / "results"
    for path in (results / "runs").iterdir():
        if path.name != RUN:
            shutil.rmtree(path)
    for path in (results / "data").iterdir():
        if not path.name.startswith(DATASET):
            path.unlink()
    small.snakemake()
    return small


class Run:
    """A run in a folder of its own, which is begun, killed and begun again."""

    def __init__(self, project: Project, random: np.random.Generator):
        self.project, self.random = project, random
        self.process: subprocess.Popen | None = None
        self.groups: list[int] = []
        self.left: set[str] = set()

    def alive(self) -> bool:
        """True while Snakemake lives."""
        return self.process is not None and self.process.poll() is None

    def start(self, stage: str) -> None:
        """Give the command that a user gives; after a finished run, that for the stage again."""
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

    def unlock(self) -> None:
        """Remove the locks of killed commands as `snakemake --unlock` does, without the seconds of its start."""
        for lock in (self.project.work / ".snakemake" / "locks").glob("*"):
            lock.unlink()

    def wait_for_job(self, stage: str) -> None:
        """Wait until a job of the stage, or of a later one, is at work."""
        while True:
            if not self.alive():
                self.start(stage)
            if any(STAGES.index(name) >= STAGES.index(stage) for name, _ in jobs_of(self.process.pid)):
                return
            time.sleep(0.05)

    def wait_for_moment(self, stage: str, seconds: float) -> None:
        """Wait for a random moment in a job of so many seconds, or for one in which a file is being written."""
        self.wait_for_job(stage)
        writing = self.random.random() < 0.5
        end = time.monotonic() + seconds * (2 if writing else self.random.random())
        while self.alive() and time.monotonic() < end and not (writing and half_written(self.project) - self.left):
            time.sleep(0.001)
        if not self.alive():
            self.wait_for_job(stage)

    def kill(self, kind: signal.Signals) -> str:
        """Signal everything, Snakemake alone (its jobs live on), or one job (Snakemake lives on); says which."""
        group, jobs = self.process.pid, jobs_of(self.process.pid)
        victim = self.random.choice(["everything", "snakemake", *(["job"] if jobs else [])])
        if victim == "job":
            with contextlib.suppress(ProcessLookupError):
                os.kill(jobs[self.random.integers(len(jobs))][1], kind)
        else:
            (os.killpg if victim == "everything" else os.kill)(group, kind)
            self.process.wait(PATIENCE)
        self.left = half_written(self.project)
        return f"{victim} during {', '.join(stage for stage, _ in jobs)}"

    def end(self) -> None:
        """Kill what is left of it."""
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


def killed(seed: int, folder: Path, kind: signal.Signals) -> Outcome:
    """A run whose stages get the signal, one after another; then one run that nothing disturbs."""
    run = Run(SmallProject(undisturbed().code, folder / "work"), np.random.default_rng([seed, kind]))
    try:
        for stage in (STAGES[round(k)] for k in np.linspace(0, len(STAGES) - 1, KILLS)):
            run.wait_for_moment(stage, seconds_of(undisturbed(), stage))
            print(f"{kind.name} of {run.kill(kind)}", flush=True)
    finally:
        run.end()
    run.unlock()
    run.project.snakemake()
    whole, disturbed = stores(undisturbed()), stores(run.project)
    if disturbed.keys() != whole.keys() or half_written(run.project):
        return Outcome(False, f"other files: {sorted(disturbed.keys() ^ whole.keys())}")
    wrong = [name for name in whole if content(disturbed[name]) != content(whole[name])]
    return Outcome(not wrong, f"other results: {wrong}" if wrong else "identical results")


FAULTS = [
    Fault(
        f"{kind.name}, {KILLS} times in a whole run: to everything, to Snakemake or to one job",
        "begun again, it ends with identical results",
        1,
        few,
        lambda seed, folder, kind=kind: killed(seed, folder, kind),
    )
    for kind, few in ((signal.SIGKILL, 1), (signal.SIGTERM, 0))
]

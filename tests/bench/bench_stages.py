"""CPU time of the stages that measure, in units of that of their training, for a finished run of the workflow.

    python tests/bench/bench_stages.py --results results --config config/config.yaml --json stages.json
    python tests/bench/bench_stages.py --runs voxels --stages gradient

Every stage of every run runs again, on its checkpoints and data and with the settings of the config, in a process of
its own with one thread; stores are written aside and thrown away. Its time is that of the process, start and imports
included. A training is not repeated: its time is that of its start, and of `--updates` updates times the number of its
updates over these. Times of the benchmark files of Snakemake are no substitute: it looks at a job every 30 seconds, and
counts nothing after the last look. Each process is followed by the next, so that the load of a shared machine is that
of a moment; ratios of whole runs are good to about 10 %.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "workflow")]

import performance
from timing import cpu_now

STAGES, WARM, LIMIT = ("twirl", "gradient", "hessian"), 3, 0.6


def measure(stage: str, job: dict[str, Any]) -> None:
    """Run a stage as the workflow does, in this process."""
    settings = importlib.import_module(f"twirlscope.settings.{stage}")
    kind = getattr(settings, f"{stage.capitalize()}Settings")
    function = getattr(importlib.import_module(f"twirlscope.stages.{stage}"), stage)
    paths = [Path(job[name]) for name in ("train", "data", "out")]
    function(*paths, kind(**job["settings"]), None, job)


def train(job: dict[str, Any]) -> tuple[float, int]:
    """CPU time [s] of updates of a training, and the number of updates that all of them are times these."""
    from twirlscope import plugins
    from twirlscope.settings.train import TrainSettings
    from twirlscope.sources import split_index
    from twirlscope.storage.ragged import open_samples
    from twirlscope.training.loop import Loop

    samples, run = open_samples(job["data"]), job["run"]
    settings = TrainSettings(**run["train"] | {"device": "cpu"})
    loop = Loop(plugins.make_task(run["task"], samples), run, settings, split_index(samples, "train"))
    loop.model.train()
    loop.keep = set()
    updates = min(job["updates"], settings.steps - WARM)
    with loop.loader:
        for _ in range(WARM):
            loop.update()
        start = cpu_now()
        for _ in range(updates):
            loop.update()
        return cpu_now() - start, settings.steps / updates


def child(text: str) -> None:
    """Run a job and print the CPU time of this process [s], for a training that of its whole length."""
    import torch

    from twirlscope.runtime import memory

    torch.set_num_threads(1)
    memory.keep_freed()  # as every job
    job = json.loads(text)
    if job["stage"] == "train":
        updates, times = train(job)
        seconds = cpu_now() + updates * (times - 1)
    else:
        measure(job["stage"], job)
        seconds = cpu_now()
    print(f"seconds: {seconds}", flush=True)


def seconds_of(job: dict[str, Any]) -> float:
    """CPU time [s] of a job in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--job", json.dumps(job)], capture_output=True, text=True)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode or not last.startswith("seconds: "):
        raise SystemExit(f"{job['stage']} of {job['train']}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return float(last.removeprefix("seconds: "))


def rows(args: argparse.Namespace):
    """Rows of the table: run, seed, stage, CPU time [s]."""
    import yaml

    from twirlscope.planning.plan import Plan

    plan = Plan(yaml.safe_load(args.config.read_text()))
    with tempfile.TemporaryDirectory() as folder:
        for run, seed in plan.trained:
            if args.runs and run not in args.runs:
                continue
            paths = {"train": args.results / "runs" / run / f"seed{seed}" / "train.zarr.zip"}
            paths |= {"data": args.results / "data" / f"{plan.dataset_of(run)}.zarr.zip"}
            job = {name: str(path) for name, path in paths.items()} | {"out": f"{folder}/out.zarr.zip"}
            wanted = {stage: plan.measured_by(stage) for stage in STAGES[1:]}
            for stage in args.stages:
                if (run, seed) in wanted.get(stage, plan.trained):
                    own = plan.train(run, seed) if stage == "train" else plan.measure(stage, run)
                    yield run, seed, stage, seconds_of(job | own | {"stage": stage, "updates": args.updates})


def ratio_of(found: list[tuple[str, int, str, float]]) -> float:
    """CPU time of the stages that measure over that of the trainings."""
    training = sum(seconds for _, _, stage, seconds in found if stage == "train")
    return sum(seconds for _, _, stage, seconds in found if stage != "train") / training


def section(given: performance.Given) -> performance.Section:
    """The table of a default run."""
    words = ["--results", str(given.results), *(["--updates", "5", "--runs", "equivariant"] if given.quick else [])]
    found, columns = list(rows(parser().parse_args(words))), ("train", *STAGES)
    lines = [f"| run | {' | '.join(columns)} | measuring / training |", "| --- |" + " --- |" * (len(columns) + 1)]
    for run in (*dict.fromkeys(name for name, *_ in found), "all"):
        own = [row for row in found if run in (row[0], "all")]
        each = [sum(seconds for _, _, stage, seconds in own if stage == column) for column in columns]
        cells = " | ".join(f"{seconds:.1f}" if seconds else "-" for seconds in each)
        lines.append(f"| {run} | {cells} | {ratio_of(own):.2f} |")
    text = (
        "CPU seconds of the stages of the default run, all seeds of a run together, start of the processes and imports"
        f"\nincluded. Goal for all: {LIMIT:.2f}.\n\n" + "\n".join(lines)
    )
    ratio = ratio_of(found)
    exceeded = [f"measuring takes {ratio:.2f} of training, at most {LIMIT}"] if ratio > LIMIT else []
    return performance.Section("Measuring beside training", text, exceeded)


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    found = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    found.add_argument("--results", type=Path, default=ROOT / "results")
    found.add_argument("--config", type=Path, default=ROOT / "config" / "config.yaml")
    found.add_argument("--runs", nargs="+", default=[], help="runs to measure; all if left out")
    found.add_argument("--stages", nargs="+", choices=("train", *STAGES), default=["train", *STAGES])
    found.add_argument("--updates", type=int, default=30, help="updates of a training that are timed")
    found.add_argument("--json", type=Path, help="file for the rows")
    found.add_argument("--job", help=argparse.SUPPRESS)
    return found


def main(arguments: list[str] | None = None) -> int:
    """1 if the stages that measure take more than the limit, in units of the training."""
    args = parser().parse_args(arguments)
    if args.job:
        child(args.job)
        return 0
    found = []
    print("| run | seed | stage | CPU time [s] |\n| --- | --- | --- | --- |")
    for row in rows(args):
        found.append(row)
        print("| {} | {} | {} | {:.1f} |".format(*row), flush=True)
    if args.json:
        names = ("run", "seed", "stage", "seconds")
        args.json.write_text(json.dumps([dict(zip(names, row, strict=True)) for row in found]))
    if {stage for _, _, stage, _ in found} <= {"train"} or "train" not in args.stages:
        return 0
    ratio = ratio_of(found)
    print(f"\nmeasuring over training: {ratio:.2f}; limit {LIMIT:.2f}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

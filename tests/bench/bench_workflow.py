"""Overhead of the workflow: the wall time of a run over the least that its jobs allow.

    python tests/bench/bench_workflow.py --cores 2 --configfile my.yaml --directory there

after a run from nothing in one command, with that command's arguments. The work of a job is the wall time in its
benchmark file, start and imports of its own included, times the cores it takes. No schedule can be shorter than the
longest chain of jobs that wait for each other, nor than the work of all jobs over the cores; the larger is the least.
The wall time is that from the opening of Snakemake's log to the last line in it; start-up is measured now: ask on a
machine as idle as it was then.
"""

from __future__ import annotations

import contextlib
import graphlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "workflow")]

from twirlscope.errors import UserError


@dataclass(frozen=True)
class Job:
    """A job that has run.

    Args:
        stage: the stage that it belongs to, a module of the package.
        seconds: its wall time [s].
        threads: the cores that it takes.
        needs: names of the jobs that it waits for.
    """

    stage: str
    seconds: float
    threads: int = 1
    needs: tuple[str, ...] = ()


def longest_chain(jobs: Mapping[str, Job]) -> tuple[float, list[str]]:
    """The chain of jobs that takes longest [s], and its names from first to last."""
    found: dict[str, tuple[float, list[str]]] = {}

    def to(name: str) -> tuple[float, list[str]]:
        if name not in found:
            before = max((to(need) for need in jobs[name].needs), default=(0.0, []))
            found[name] = before[0] + jobs[name].seconds, [*before[1], name]
        return found[name]

    return max(to(name) for name in jobs)


def work(jobs: Mapping[str, Job], cores: int) -> float:
    """The work of all jobs over the cores [s]; a job gets no more threads than there are cores."""
    return sum(job.seconds * min(job.threads, cores) for job in jobs.values()) / cores


def least(jobs: Mapping[str, Job], cores: int) -> float:
    """The wall time [s] that no schedule of these jobs on so many cores can beat."""
    return max(longest_chain(jobs)[0], work(jobs, cores))


def without_gaps(jobs: Mapping[str, Job], cores: int) -> float:
    """The wall time [s] of these jobs where each starts as soon as it can, that with the longest chain behind it first.

    Longer than the least where cores have nothing to do: while the last job of all works, say.
    """
    behind: dict[str, float] = {}
    for name in reversed(_in_order(jobs)):
        after = (behind[other] for other, job in jobs.items() if name in job.needs)
        behind[name] = jobs[name].seconds + max(after, default=0.0)
    now, free, waiting, running = 0.0, cores, dict(jobs), []
    while waiting or running:
        busy = waiting.keys() | {name for _, name, _ in running}
        ready = [name for name in waiting if not busy.intersection(waiting[name].needs)]
        for name in sorted(ready, key=behind.get, reverse=True):
            threads = min(jobs[name].threads, cores)
            if threads <= free:
                free -= threads
                running.append((now + waiting.pop(name).seconds, name, threads))
        first = min(running)
        running.remove(first)
        now, free = first[0], free + first[2]
    return now


def _in_order(jobs: Mapping[str, Job]) -> list[str]:
    """Names, every job after those that it needs."""
    return list(graphlib.TopologicalSorter({name: job.needs for name, job in jobs.items()}).static_order())


def wall_time(logs: Iterable[Path], benchmarks: Iterable[Path]) -> float:
    """How long the command took [s] that ran all jobs: Snakemake's logs are named by when they were opened.

    Raises:
        UserError: no single command ran all jobs.
    """
    times = [path.stat().st_mtime for path in benchmarks]
    for log in logs:
        start = datetime.strptime(log.name.removesuffix(".snakemake.log"), "%Y-%m-%dT%H%M%S.%f").timestamp()
        end = log.stat().st_mtime
        if start < min(times) and max(times) <= end:
            return end - start
    raise UserError("overhead", "a run from nothing in one command", "jobs of several commands")


def work_of(benchmark: Path) -> float:
    """Wall time of a job [s], from its benchmark file.

    Raises:
        UserError: the job has not run.
    """
    if not benchmark.exists():
        raise UserError(benchmark, "the benchmark of a finished run", "no such file")
    header, row = (line.split("\t") for line in benchmark.read_text().splitlines()[:2])
    return float(dict(zip(header, row, strict=True))["s"])


def table(jobs: Mapping[str, Job], wall: float, cores: int, start_up: Mapping[str, float]) -> str:
    """The measurement as Markdown: by stage, and the whole.

    Args:
        wall: wall time of the run [s].
        start_up: how long a job of each stage imports before it works [s].
    """
    rows = ["| stage | jobs | work [s] | of that start-up [s] |", "| --- | --- | --- | --- |"]
    for stage in start_up:
        seconds = [job.seconds for job in jobs.values() if job.stage == stage]
        rows.append(f"| {stage} | {len(seconds)} | {sum(seconds):.1f} | {len(seconds) * start_up[stage]:.1f} |")
    chain, names = longest_chain(jobs)
    return "\n".join(
        [
            *rows,
            "",
            "| the whole run | [s] |",
            "| --- | --- |",
            f"| work of all {len(jobs)} jobs over {cores} cores | {work(jobs, cores):.1f} |",
            f"| longest chain: {', '.join(names)} | {chain:.1f} |",
            f"| all jobs without gaps | {without_gaps(jobs, cores):.1f} |",
            f"| wall time | {wall:.1f} |",
            f"| wall time over that without gaps | {wall / without_gaps(jobs, cores):.3f} |",
            f"| **wall time over the larger of work and chain** | **{wall / least(jobs, cores):.3f}** |",
        ]
    )


def planned(arguments: list[str]) -> tuple[dict[str, Job], list[Path], Path, int]:
    """All jobs of a workflow as if nothing had been done, their benchmark files, the working directory, the cores."""
    from snakemake import cli
    from snakemake.executors.dryrun import Executor

    seen: list[Any] = []
    Executor.printjob = lambda _, job: seen.append((job, Path.cwd()))
    parser, args = cli.parse_args(["--dry-run", "--forceall", *arguments])
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        planned_well = cli.args_to_api(args, parser)
    if not planned_well:
        raise UserError("overhead", "arguments of a workflow that has run", said.getvalue())
    ran = {_name(job): (job, folder / job.benchmark) for job, folder in seen if job.benchmark}
    jobs = {
        name: Job(
            job.rule.name.removesuffix("_part"),
            work_of(benchmark),
            job.threads,
            tuple(_name(need) for need in job.dag.dependencies[job] if need.benchmark),
        )
        for name, (job, benchmark) in ran.items()
    }
    job, folder = seen[0]
    return jobs, [benchmark for _, benchmark in ran.values()], folder, job.dag.workflow.resource_settings.cores


def _name(job: Any) -> str:
    return " ".join([job.rule.name, *map(str, job.wildcards)])


def imports(stage: str) -> float:
    """How long the imports of a stage take in a fresh Python [s], the better of two tries."""
    tries = []
    for _ in range(2):
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", f"import twirlscope.stages.{stage}"], check=True, cwd=ROOT / "workflow")
        tries.append(time.monotonic() - start)
    return min(tries)


def measured(arguments: list[str]) -> str:
    """The tables of the run of a command, from its arguments.

    Raises:
        UserError: it was no run from nothing in one command.
    """
    jobs, benchmarks, folder, cores = planned(arguments)
    wall = wall_time(sorted((folder / ".snakemake" / "log").glob("*.log")), benchmarks)
    stages = dict.fromkeys(job.stage for job in jobs.values())
    return table(jobs, wall, cores, {stage: imports(stage) for stage in stages})


def section(given):
    """Section of the page, on the run whose results are given."""
    from performance import Section

    cores = os.cpu_count()
    try:
        text = measured(["--cores", str(cores), "--directory", str(given.results.absolute().parent)])
    except UserError as error:
        text = f"Not measured: {error}\n"
    return Section(
        "Overhead of the workflow",
        f"""Wall times of the default run whose results this page uses, on {cores} cores, with all that ran
beside it. The work of a job is its wall time, with start and imports, times its cores.

{text}""",
    )


def main() -> None:
    """Print the tables."""
    try:
        print(measured(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"ERROR {error}")


if __name__ == "__main__":
    main()

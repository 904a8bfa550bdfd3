"""Lines that a command of Snakemake prints while it runs: one as each job starts and ends, in place of its blocks.

Snakemake's own blocks are in its log (`.snakemake/log/`). Dry runs and other commands print what Snakemake prints.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from .._typing import Mapping
from ..runtime import job_log
from .expected_work import Speeds, work_of
from .forecast import Forecast, Task
from .plan import Plan

STREAM = "DefaultStreamHandler"  # Snakemake's name of the handler that prints to the terminal
SPEEDS = "speeds.json"  # in the folder of the benchmarks
SAID = ("Nothing to be done", "Trying to restart job")  # beginnings of messages that are no event and are shown
LAST = "Complete log(s)"  # begins the message after which nothing runs
EXIT = "returned non-zero exit status"  # in what Snakemake says of a failed script, beside the line of the job
REFRESH = 1.0  # [s] between two states of the last line of a terminal


def attach(plan: Plan, workflow: Any, logger: logging.Logger) -> None:
    """Replace Snakemake's handler of the terminal.

    Jobs, which are commands of Snakemake too, modules of another workflow, `--logger` and `--verbose` keep theirs.
    """
    plain = next((h for h in logger.handlers if h.name == STREAM), None)
    if plain is None or not workflow.is_main_process or len(workflow.modifier_stack) > 1:
        return
    if workflow.output_settings.verbose:
        return
    logger.removeHandler(plain)
    logger.addHandler(RunLines(plan, workflow, plain))


def name_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """Name of a job in words, such as `twirl augmented seed 0`."""
    stage = rule.removesuffix("_part").removesuffix("_external").replace("_", " ")
    words = [stage, wildcards.get("stage", ""), wildcards.get("dataset", ""), wildcards.get("run", "")]
    words += [f"{key} {wildcards[key]}" for key in ("seed", "part") if key in wildcards]
    return " ".join(word for word in words if word)


def duration(seconds: float) -> str:
    """A duration in words: `40 s`, `8 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


class RunLines(logging.Handler):
    """Handler of Snakemake's messages that prints lines of jobs, and passes on errors, warnings and dry runs.

    Args:
        plan: the checked config.
        workflow: Snakemake's.
        plain: the handler that prints them as Snakemake does.
    """

    def __init__(self, plan: Plan, workflow: Any, plain: logging.StreamHandler):
        super().__init__()
        self._plan, self._workflow, self._plain = plan, workflow, plain
        self._forecast: Forecast | None = None  # while jobs run
        self._hidden = False  # whether Snakemake's messages are
        self._early: list[logging.LogRecord] | None = None  # messages of a workflow that has begun, until that is known
        self._slots, self._start = 1, time.monotonic()
        self._over, self._status = threading.Event(), ""
        self.name = STREAM

    def emit(self, record: logging.LogRecord) -> None:
        """Print what a message of Snakemake tells. A fault in here never ends a run: its blocks are back."""
        try:
            self._emit(record)
        except Exception as error:
            self._hidden, self._forecast = False, None
            self._over.set()
            self._plain.stream.write(f"lines of jobs: {type(error).__name__}: {error}\n")
            self._plain.handle(record)

    def _emit(self, record: logging.LogRecord) -> None:
        event = str(getattr(record, "event", None) or "")
        if event == "workflow_started":
            self._early = []
        if self._early is not None:
            if self._workflow.executor_plugin is None and record.levelno < logging.WARNING:
                self._early.append(record)  # Snakemake does not yet say whether this is a dry run
                return
            early, self._early = self._early, None
            self._hidden = not (self._workflow.dryrun or self._workflow.touch)
            for one in early:
                self._print(one)
        self._print(record)

    def _print(self, record: logging.LogRecord) -> None:
        event, text = str(getattr(record, "event", None) or ""), str(record.msg)
        if not self._hidden:
            self._plain.handle(record)
        elif event in EVENTS:
            getattr(self, EVENTS[event])(record)
        elif text.startswith(LAST):
            self._finish()
            self._plain.handle(record)
        elif text.startswith(SAID) or (record.levelno >= logging.WARNING and not (event == "error" and EXIT in text)):
            self._erase()
            self._plain.handle(record)

    def _is_quiet(self, about: str) -> bool:
        """True where `--quiet` names this, or everything."""
        names = {str(q.name).lower() for q in self._workflow.output_settings.quiet or ()}
        return "all" in names or about in names

    def _resources(self, record: logging.LogRecord) -> None:
        """Number of cores, or of jobs on other machines."""
        self._slots = getattr(record, "cores", None) or getattr(record, "nodes", None) or self._slots

    def _plan_run(self, record: logging.LogRecord) -> None:
        """The jobs of this command, and the first line."""
        dag = self._workflow.dag
        speeds = Speeds(Path(self._workflow.pathvars.apply("<benchmarks>")) / SPEEDS)
        tasks = {}
        for job in dag.needrun_jobs():
            number, wildcards = dag.jobid(job), dict(job.wildcards_dict)
            needs = [dag.jobid(other) for other in dag.dependencies[job] if dag.needrun(other)]
            work = work_of(self._plan, job.rule.name, wildcards)
            log, benchmark = (Path(str(p)) if p else None for p in (next(iter(job.log), None), job.benchmark))
            tasks[number] = Task(number, name_of(job.rule.name, wildcards), work, needs, log, benchmark)
        self._forecast = Forecast(tasks, speeds, self._slots)
        real = [t.work for t in tasks.values() if t.work.seconds]
        known = sum(speeds.knows(work) for work in real)
        measured = {0: "no speed is known yet", len(real): "from speeds of earlier runs"}
        source = measured.get(known, f"{known} of them from speeds of earlier runs")
        left = duration(self._forecast.now()[1])
        if not self._is_quiet("progress"):
            self._say(f"{len(real)} jobs, about {left} with {self._slots} at once (from the plan; {source})")
        if self._plain.stream.isatty() and not self._is_quiet("progress"):
            threading.Thread(target=self._refresh, name="status", daemon=True).start()

    def _started(self, record: logging.LogRecord) -> None:
        """A job starts, or is handed over to a cluster."""
        task = self._task(record.jobid)
        if task is None:
            return
        task.started, task.failed, task.begun = time.monotonic(), False, job_log.size(task.log) if task.log else 0
        if task.work.seconds and not self._is_quiet("rules"):
            expected = duration(self._forecast.speeds.seconds(task.work))
            self._say(f"{task.name}: started, about {expected}", share=True)

    def _finished(self, record: logging.LogRecord) -> None:
        """A job has ended well."""
        task = self._task(record.job_id)
        if task is None:
            return
        task.seconds = self._seconds(task)
        if not task.work.seconds:
            return
        self._forecast.speeds.record(task.work, task.seconds)
        if not self._is_quiet("progress"):
            found = task.log_now().found or "done"
            self._say(f"{task.name}: {found} ({duration(task.seconds)})", share=True)

    def _failed(self, record: logging.LogRecord) -> None:
        """A job has failed."""
        if (task := self._task(record.jobid)) is not None:
            self._fail(task, getattr(record, "log", []), getattr(record, "rule_msg", None))

    def _group_failed(self, record: logging.LogRecord) -> None:
        """A group of jobs has failed: those of them that had not ended."""
        for info in record.job_error_info:
            if (task := self._task(info["jobid"])) is not None and task.seconds is None:
                self._fail(task, [*info["log"], *record.aux_logs], record.msg)

    def _fail(self, task: Task, logs: list[str], message: str | None) -> None:
        """One line on a failed job, with the reason that its log gives."""
        task.failed, seconds = True, self._seconds(task)
        read = task.log_now()
        reason = read.failure or message or read.last or "it left no message"
        if self._is_quiet("all"):
            return
        where = f"; log: {', '.join(map(str, logs))}" if logs else ""
        self._say(f"{task.name}: FAILED after {duration(seconds)}: {reason}{where}", share=True)

    def _task(self, number: int) -> Task | None:
        return self._forecast.tasks.get(number) if self._forecast else None

    def _seconds(self, task: Task) -> float:
        """Duration of a job that has ended: the measured one, without a wait in the queue, if there is one."""
        elapsed = time.monotonic() - (task.started or time.monotonic())
        try:
            fresh = task.benchmark.stat().st_mtime >= time.time() - elapsed - 1
            return float(task.benchmark.read_text().splitlines()[1].split("\t")[0]) if fresh else elapsed
        except (AttributeError, OSError, ValueError, IndexError):
            return elapsed

    def _finish(self) -> None:
        """The last line: number of jobs done, failed, and not started because others failed."""
        self._over.set()
        self._erase()
        self._hidden = False
        if self._forecast is None or self._is_quiet("progress"):
            return
        real = [t for t in self._forecast.tasks.values() if t.work.seconds]
        failed, lost = [t.name for t in real if t.failed], [t for t in self._forecast.lost() if t.work.seconds]
        text = f"{sum(t.seconds is not None for t in real)} of {len(real)} jobs done"
        text += f" in {duration(time.monotonic() - self._start)}"
        text += f"; failed: {', '.join(failed)}" if failed else ""
        self._say(text + (f"; not run because of that: {len(lost)}" if lost else ""))

    def _say(self, text: str, share: bool = False) -> None:
        """Print a line, with percentage and time left before it if wanted."""
        self._erase()
        self._plain.stream.write(f"{self._share()} {text}\n" if share else f"{text}\n")
        self._plain.stream.flush()

    def _share(self) -> str:
        percent, left = self._forecast.now()
        return f"[{min(percent, 99 if left else 100):3.0f} %, {duration(left)} left]"

    def _erase(self) -> None:
        """Remove the line of a terminal that is refreshed."""
        if self._status:
            self._plain.stream.write("\r\033[K")
            self._status = ""

    def _refresh(self) -> None:
        """Keep the last line of a terminal up to date: percentage, time left, progress of the running jobs."""
        while not self._over.wait(REFRESH):
            with self.lock:
                if self._forecast is None or self._over.is_set():
                    return
                self._erase()
                self._status = self._state()
                self._plain.stream.write(self._status)
                self._plain.stream.flush()

    def _state(self) -> str:
        """The refreshed line, no wider than a terminal."""
        running = [t for t in self._forecast.tasks.values() if t.running and t.work.seconds]
        steps = [(t, t.log_now().step) for t in running]
        parts = [f"{t.name} {100 * s.share:.0f} %" if s else t.name for t, s in steps]
        return f"{self._share()} {re.sub(' seed ', '/', ', '.join(parts))}"[: shutil.get_terminal_size().columns - 1]


EVENTS = {
    "resources_info": "_resources",
    "run_info": "_plan_run",
    "job_info": "_started",
    "job_finished": "_finished",
    "job_error": "_failed",
    "group_error": "_group_failed",
}

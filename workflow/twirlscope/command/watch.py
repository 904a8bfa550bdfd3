"""Command `watch`: curves of running trainings in the terminal, from their logs, and the findings of finished jobs."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._typing import Array, Float
from ..errors import UserError
from ..runtime import job_log
from ..runtime.job_log import JobLog
from ..storage import store
from .terminal_plot import curve

ALIVE = 150.0  # [s] a log without a new line belongs to a job that is gone: the heartbeat prints one a minute
HEIGHT, WIDEST = 7, 100  # characters
MEASURES = ("twirl", "gradient", "layers", "hessian")
LOSS = re.compile(r"^loss ([\d.e+-]+|nan|inf)")


@dataclass(frozen=True)
class Training:
    """A training as its folder and its log show it.

    state: running, finished, failed, or stopped, which goes on with the next command.
    found: by stage, findings of the jobs of its measurements, or their progress.
    """

    name: str
    state: str
    log: JobLog
    path: Path
    store: Path
    found: dict[str, str]


def run(arguments: argparse.Namespace) -> int:
    """Print looks until Ctrl-C, or one; the exit status."""
    results = Path(arguments.results)
    logs = Path(arguments.logs) if arguments.logs else results.parent / "logs"
    try:
        while True:
            found = trainings(results, logs, arguments.run)
            lines = look(found, arguments.all, min(shutil.get_terminal_size().columns, WIDEST))
            if arguments.once or not sys.stdout.isatty():
                print("\n".join(lines))
                return 0
            print(
                f"\033[H\033[2J{chr(10).join(lines)}\n\n{time.strftime('%H:%M:%S')}, Ctrl-C ends this look", flush=True
            )
            time.sleep(max(arguments.every, 0.1))
    except UserError as error:
        print(f"ERROR watch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def trainings(results: Path, logs: Path, only: str = "", now: float | None = None) -> list[Training]:
    """Every training that has a log or a store.

    Args:
        only: name of the only run that is wanted; empty for all.
        now: present time [s], since 1970.

    Raises:
        UserError: there is none.
    """
    names = {tuple(p.name.removesuffix(".log").rsplit(".seed", 1)) for p in logs.glob("train/*.seed*.log")}
    names |= {(p.parts[-3], p.parts[-2].removeprefix("seed")) for p in results.glob("runs/*/seed*/train.zarr.zip")}
    wanted = sorted(n for n in names if len(n) == 2 and only in ("", n[0]))
    if not wanted:
        known = sorted({n[0] for n in names})
        got = repr(only) if only else f"none in {results} and {logs}"
        raise UserError("watch", "a training that has begun", got, known)
    return [_training(results, logs, *name, time.time() if now is None else now) for name in wanted]


def _training(results: Path, logs: Path, run: str, seed: str, now: float) -> Training:
    path, folder = logs / "train" / f"{run}.seed{seed}.log", results / "runs" / run / f"seed{seed}"
    finished, log = folder / "train.zarr.zip", job_log.read(path)
    written = path.stat().st_mtime if path.exists() else 0.0
    state = "stopped"
    if finished.exists() and finished.stat().st_mtime >= written - 60:
        state = "finished"
    elif log.last.startswith(job_log.FAILURES):
        state = "stopped" if log.last.startswith("STOPPED") else "failed"
    elif now - written < ALIVE:
        state = "running"
    each = {stage: job_log.read(logs / stage / f"{run}.seed{seed}.log") for stage in MEASURES}
    found = {stage: text for stage, one in each.items() if (text := one.found or one.failure or _progress(one))}
    return Training(f"{run} seed {seed}", state, log, path, finished, found)


def _progress(log: JobLog) -> str:
    """Progress of a job in words; empty where its log has none."""
    step = log.step
    if step is None:
        return ""
    left = "" if step.left is None else f", {int(step.left) // 60}:{int(step.left) % 60:02d} min left"
    return f"{step.done:,}/{step.total:,} {step.unit}s ({100 * step.share:.0f} %){left}"


def look(found: list[Training], every: bool, width: int) -> list[str]:
    """Lines of one look: a head for each training, and curves of those that run, or of all where none runs.

    Args:
        every: curves of all trainings.
        width: of a line in characters.
    """
    running = [t for t in found if t.state == "running"]
    lines = []
    for training in found:
        lines += list(_lines(training, every or training in running or not running, width))
    return lines


def _lines(training: Training, drawn: bool, width: int) -> Iterator[str]:
    """Lines of one training."""
    log = training.log
    said = {"finished": log.found, "failed": log.failure, "stopped": log.last}.get(training.state) or _progress(log)
    yield f"{training.name}: {training.state}{', ' + said if said else ''}"
    for stage, text in training.found.items():
        yield f"  {stage}: {text}"
    if drawn:
        update, loss = loss_curve(training)
        yield (
            f"  training loss against updates, both axes logarithmic; now {loss[-1]:.4g}"
            if len(loss)
            else "  no loss yet"
        )
        if len(loss):
            yield from (f"  {line}" for line in curve(update, loss, width - 2, HEIGHT))


def loss_curve(training: Training) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Updates, from 1, and losses: every one of a finished training, else those in its log."""
    if training.state == "finished":
        with store.open_store(training.store) as data:
            loss = data["loss"].values.astype(float)
        return np.arange(1, len(loss) + 1, dtype=float), loss
    points: dict[int, float] = {}
    for line in training.path.read_text(errors="replace").splitlines() if training.path.exists() else []:
        step = job_log.step_of(line)
        loss = LOSS.match(step.note) if step and step.name == "train" else None
        if loss:
            points = {k: v for k, v in points.items() if k < step.done}  # begun anew, or resumed
            points[step.done] = float(loss[1])
    return np.array(list(points), float), np.array(list(points.values()), float)

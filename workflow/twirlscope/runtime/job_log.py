"""Logs of jobs as other processes read them: progress, what was found, why a job failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .progress import FOUND

TAIL = 65536  # bytes at the end of a log in which progress, findings and errors are looked for
FAILURES = ("ERROR ", "STOPPED ", "CRASH ")  # of `job.exit_with_message`
LINE = re.compile(
    r"^(?P<name>[\w ]+): (?P<done>\d+)/(?P<total>\d+) (?P<unit>\w+)s \((?P<percent>\d+) %\), [\d.e+-]+ \w+/s, "
    r"(?:(?P<minutes>\d+):(?P<seconds>\d\d)|unknown) min left(?:, (?P<note>.*))?$"
)


@dataclass(frozen=True)
class Step:
    """One line of progress.

    share: of the work that is done, from 0 to 1.
    left: remaining time [s]; None where it is unknown.
    """

    name: str
    done: int
    total: int
    unit: str
    share: float
    left: float | None
    note: str


@dataclass(frozen=True)
class JobLog:
    """State of a job as its log says it: its last progress, what it found, its last line, and the one of a failure."""

    step: Step | None = None
    found: str = ""
    failure: str = ""
    last: str = ""


def step_of(line: str) -> Step | None:
    """Progress that a line shows, see `Progress.line`; None for other lines."""
    match = LINE.match(line)
    if match is None:
        return None
    left = None if match["minutes"] is None else 60.0 * int(match["minutes"]) + int(match["seconds"])
    done, total, share = int(match["done"]), int(match["total"]), int(match["percent"]) / 100
    return Step(match["name"], done, total, match["unit"], share, left, match["note"] or "")


def size(path: Path) -> int:
    """Size of a log [bytes]; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read(path: Path, start: int = 0) -> JobLog:
    """State of a job from its log.

    Args:
        start: number of bytes that are older than the job, since logs are appended to.
    """
    end = size(path)
    start = start if start <= end else 0  # the log was replaced
    try:
        with path.open("rb") as file:
            file.seek(max(start, end - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return JobLog()
    steps = [step for line in lines if (step := step_of(line))]
    told = [line.removeprefix(FOUND) for line in lines if line.startswith(FOUND)]
    failures = [line for line in lines if line.startswith(FAILURES)]
    last = next((line for line in reversed(lines) if line.strip()), "")
    return JobLog(
        *(items[-1] if items else empty for items, empty in ((steps, None), (told, ""), (failures, ""))), last
    )

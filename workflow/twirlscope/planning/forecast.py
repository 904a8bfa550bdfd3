"""Percentage of the expected work that is done, and the time left, while jobs of a command run."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..runtime import job_log
from .expected_work import Speeds, Work

LEAST_SHARE = 0.02  # of a job, from which its own log foretells its duration better than the plan
LATE = 0.1  # least share of its expected duration that a running job without progress in its log has left


@dataclass
class Task:
    """A job of the command, and how far it has come.

    needs: numbers of the jobs that must end before it starts.
    started: time at which it started [s]; None if it has not.
    seconds: duration [s]; None if it has not ended.
    begun: size of its log when it started [bytes].
    """

    number: int
    name: str
    work: Work
    needs: Collection[int]
    log: Path | None
    benchmark: Path | None
    started: float | None = None
    seconds: float | None = None
    failed: bool = False
    begun: int = 0

    @property
    def running(self) -> bool:
        """True between start and end."""
        return self.started is not None and self.seconds is None and not self.failed

    def log_now(self) -> job_log.JobLog:
        """Its log since it started."""
        return job_log.read(self.log, self.begun) if self.log else job_log.JobLog()


@dataclass
class Forecast:
    """All jobs of a command.

    slots: jobs that run at once.
    clock: present time [s]; monotonic.
    """

    tasks: dict[int, Task]
    speeds: Speeds
    slots: int = 1
    clock: Callable[[], float] = time.monotonic
    _highest: float = field(default=0.0, repr=False)

    def now(self) -> tuple[float, float]:
        """Percentage of the work that is done, which never falls, and the time left [s]."""
        steps = {n: self._step(task) for n, task in self.tasks.items() if task.running}
        ahead = {self.tasks[n].work: self._elapsed(n) / step.share for n, step in steps.items() if step}
        done, left = 0.0, {}
        for n, task in self.tasks.items():
            if task.seconds is not None:
                done += task.seconds if task.work.seconds else 0.0
            else:
                expected = self.speeds.seconds(task.work, ahead)
                spent = self._elapsed(n) if task.running else 0.0
                left[n] = self._left(expected, spent, steps.get(n))
                done += spent
        total = done + sum(left.values())
        left = {n: seconds for n, seconds in left.items() if not self._is_lost(n)}
        self._highest = max(self._highest, 100 * done / total if total else 100.0)
        running = {n for n in steps if n in left}
        return self._highest, time_left(left, {n: self.tasks[n].needs for n in left}, running, self.slots)

    def _elapsed(self, number: int) -> float:
        return max(self.clock() - self.tasks[number].started, 1e-3)

    def _step(self, task: Task) -> job_log.Step | None:
        """Progress of a running job, from its own log; None while it is too early."""
        step = task.log_now().step
        named = step is not None and task.work.stage.startswith(step.name)
        return step if named and step.share >= LEAST_SHARE else None

    def _left(self, expected: float, spent: float, step: job_log.Step | None) -> float:
        """Time that a job has left [s]."""
        if step is not None and step.left is not None:
            return step.left
        return max(expected - spent, LATE * expected)

    def _is_lost(self, number: int) -> bool:
        """True for a job that cannot run, since one that it needs has failed."""
        task = self.tasks[number]
        return task.failed or any(self._is_lost(n) for n in task.needs if n in self.tasks)

    def lost(self) -> list[Task]:
        """Jobs that cannot run, since others failed."""
        return [task for n, task in self.tasks.items() if not task.failed and self._is_lost(n)]


def time_left(
    left: Mapping[int, float], needs: Mapping[int, Iterable[int]], running: Collection[int], slots: int
) -> float:
    """Time until all jobs are done [s], if a free slot always takes the next job that may start.

    Args:
        left: time that each job has left [s], of all that are not done.
        needs: jobs that must be done before each starts; those not in `left` are done.
        running: jobs that run now.
        slots: jobs that run at once.
    """
    waiting = {n: {m for m in needs[n] if m in left} for n in left if n not in running}
    ends = [(left[n], n) for n in running]
    heapq.heapify(ends)
    now = 0.0
    while ends or waiting:
        ready = [n for n, open_ in waiting.items() if not open_]
        for n in ready[: max(slots - len(ends), 0 if ends else 1)]:
            del waiting[n]
            heapq.heappush(ends, (now + left[n], n))
        if not ends:
            break  # the rest waits for each other
        now, ended = heapq.heappop(ends)
        for open_ in waiting.values():
            open_.discard(ended)
    return now

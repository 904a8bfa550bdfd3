"""Progress of a loop, as a bar or as lines of a log, and the sentence with which a job ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from ..errors import needs

Item = TypeVar("Item")
FOUND = "found: "  # begins the line of a log that says what the job found
_running: list[Progress] = []  # loops at work, the innermost last
_scopes: list[tuple[float, float]] = []  # parts of the present unit, each inside of the one before


class Progress:
    """Progress of a loop: a bar on a terminal, else one line every few seconds with rate and remaining time.

    A context: the loop is at work inside of it, also for `inside` and `counted`, and no more after an error.

    Args:
        name: of the work.
        total: number of units.
        unit: name of a unit (`update`, `checkpoint`).
        done: units done before this start.
        every: seconds between lines.
    """

    def __init__(self, name: str, total: int, unit: str, done: int = 0, every: float = 5.0):
        self._name, self._total, self._unit, self._every = name, total, unit, every
        self._first = self.done = done
        self._part, self._inside = 0.0, ""  # share of the present unit that is done, and its note
        self._start = self._last = time.monotonic()
        self._bar = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            with needs("workflow"):
                from tqdm import tqdm

            self._bar = tqdm(desc=self._name, total=self._total, initial=self.done, unit=f" {self._unit}", leave=False)
        _running.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _running.remove(self)
        if self._bar is not None:
            self._bar.close()

    def advance(self, note: str = "", units: int = 1) -> None:
        """Count units as done, and show the progress with a `note`, for example a loss."""
        self.done += units
        self._part, self._inside = 0.0, ""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
        else:
            self._print(note, self.done == self._total)

    def inside(self, share: float, note: str) -> None:
        """Show the share of the present unit that is done, from 0 to 1; it never falls within a unit."""
        self._part, self._inside = max(self._part, min(share, 1.0)), note
        if self._bar is not None:
            self._bar.set_postfix_str(note)
        else:
            self._print(note, False)

    def _print(self, note: str, last: bool) -> None:
        """Print a line, if it is the last one or the time for one has come."""
        if last or time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            print(self.line(note), flush=True)

    def line(self, note: str = "") -> str:
        """One line of the log: share done, rate [units/s], remaining time [min:s]."""
        seconds, done = max(time.monotonic() - self._start, 1e-9), self.done + self._part
        rate = (done - self._first) / seconds
        left = (self._total - done) / rate if rate else float("inf")
        clock = f"{int(left) // 60}:{int(left) % 60:02d}" if left < 360000 else "unknown"
        share = f"{self._name}: {self.done}/{self._total} {self._unit}s ({100 * done / max(self._total, 1):.0f} %)"
        return f"{share}, {rate:.3g} {self._unit}s/s, {clock} min left{', ' + note if note else ''}"


def inside(done: float | int, total: float | int, note: str) -> None:
    """Tell the innermost loop at work which share of the present part of its unit is done, if there is a loop."""
    if _running:
        low, high = _scopes[-1] if _scopes else (0.0, 1.0)
        _running[-1].inside(low + (high - low) * min(done / max(total, 1), 1.0), note)


@contextmanager
def part(low: float | int, high: float | int) -> Iterator[None]:
    """A context that makes up the part of the present unit, or of the part around it, from one share to another."""
    depth = len(_scopes)
    start, end = _scopes[-1] if _scopes else (0.0, 1.0)
    _scopes.append((start + (end - start) * low, start + (end - start) * high))
    try:
        yield
    finally:
        del _scopes[depth:]


def counted(items: Sequence[Item], note: str, until: float = 1.0) -> Iterator[Item]:
    """The items of a loop inside of a unit, each an equal part of it, up to a share of it; loops may be nested."""
    for number, item in enumerate(items):
        total = len(items) / until
        inside(number, total, f"{note} {number + 1} of {len(items)}")
        with part(number / total, (number + 1) / total):
            yield item


@contextmanager
def single(name: str, unit: str) -> Iterator[None]:
    """A context, or decorator, for work of one unit that is not counted but inside."""
    with Progress(name, 1, unit) as progress:
        yield
        progress.advance()


def say_found(text: str) -> None:
    """Print what a job found, in one sentence: the workflow shows it when the job ends."""
    print(f"{FOUND}{text}", flush=True)

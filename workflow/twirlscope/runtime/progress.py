"""Progress of a loop, as a bar or as lines of a log."""

from __future__ import annotations

import sys
import time

from ..errors import needs


class Progress:
    """Progress of a loop: a bar on a terminal, else one line every few seconds with rate and remaining time.

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
        self._start = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            with needs("workflow"):
                from tqdm import tqdm

            self._bar = tqdm(desc=name, total=total, initial=done, unit=f" {unit}", leave=False)

    def advance(self, note: str = "", units: int = 1) -> None:
        """Count units as done, and show the progress with a `note`, for example a loss."""
        self.done += units
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
        elif time.monotonic() - self._last >= self._every or self.done == self._total:
            self._last = time.monotonic()
            print(self.line(note), flush=True)

    def line(self, note: str = "") -> str:
        """One line of the log: share done, rate [units/s], remaining time [min:s]."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self.done - self._first) / seconds
        left = (self._total - self.done) / rate if rate else float("inf")
        clock = f"{int(left) // 60}:{int(left) % 60:02d}" if left < 360000 else "unknown"
        share = f"{self._name}: {self.done}/{self._total} {self._unit}s ({100 * self.done / max(self._total, 1):.0f} %)"
        return f"{share}, {rate:.3g} {self._unit}s/s, {clock} min left{', ' + note if note else ''}"

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._bar is not None:
            self._bar.close()

"""Two jobs in one folder, and file systems without locks."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import numpy as np

from twirlscope.runtime import identity

from .fault import Fault, Outcome
from .trainings import DONE, ended, forked, is_right, last_line, start_in, undisturbed

MISSING = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


def held(seed: int, folder: Path) -> Outcome:
    """Another process holds the lock of the checkpoints for a while."""
    name = next((undisturbed()[0] / "checkpoints").iterdir()).name
    seconds = 0.2 + 0.3 * np.random.default_rng(seed).random()

    def hold() -> None:
        with identity.locked(folder / "checkpoints" / name):
            (folder / "held").touch()
            time.sleep(seconds)

    other = forked(hold, folder / "other.log")
    while not (folder / "held").exists():
        time.sleep(0.001)
    status = ended(start_in(folder))
    waited = "waiting: another job works in" in (folder / "log").read_text()
    right = ended(other) == DONE and status == DONE and is_right(folder)
    return Outcome(right, "waited, then identical results" if waited else "identical results; the lock was free again")


def at_once(seed: int, folder: Path) -> Outcome:
    """A second training of the same run, begun at a random moment of the first."""
    first = start_in(folder)
    time.sleep(undisturbed()[1] * np.random.default_rng(seed).random())
    second = start_in(folder)
    statuses = ended(first), ended(second)
    return Outcome(statuses == (DONE, DONE) and is_right(folder), "the second waits; identical results of both")


def without_locks(seed: int, folder: Path) -> Outcome:
    """`flock` fails as on a file system that does not have it."""
    number = MISSING[seed % len(MISSING)]

    def change() -> None:
        def refuse(*_):
            raise OSError(number, os.strerror(number))

        identity.FileLock._acquire = refuse

    status = ended(start_in(folder, change))
    warned = "is on a file system without locks" in (folder / "log").read_text()
    left = list(folder.rglob("*.lock.taken"))
    right = status == DONE and warned and not left and is_right(folder)
    return Outcome(right, "a warning, then identical results" if right else last_line(folder)[:200])


FAULTS = [
    Fault("lock held by another process", "waits, then identical results", 10, 2, held),
    Fault("second command in the same folder at once", "identical results of both", 15, 2, at_once),
    Fault("file system without `flock`", "a warning, then identical results", 9, 3, without_locks),
]

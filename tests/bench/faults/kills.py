"""A training that is killed, or told to stop, at a random moment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from .fault import Fault, Outcome
from .trainings import DONE, STOPPED, ended, is_right, last_line, start_in, undisturbed

TRIES = 20  # trainings begun until a signal meets one that is at work


def disturbed(folder: Path, random: np.random.Generator, kind: signal.Signals, saved: bool = False) -> int:
    """Exit status of a training that a signal met at a random moment, or while a file was being written.

    saved: not before it has saved its state; what is left then is about a third of it.
    """
    seconds = undisturbed()[1]
    for attempt in range(TRIES):
        if (folder / "train.zarr.zip").exists():
            raise AssertionError("a training is begun in a folder where one has ended")
        child = start_in(folder)
        ends = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while saved and not has_state(folder) and os.waitid(os.P_PID, child, ends) is None:
            time.sleep(0.0005)
        writing = random.random() < 0.5
        moment = time.monotonic() + seconds * random.random() * 0.9**attempt * (0.3 if saved else 1)
        while time.monotonic() < moment:
            time.sleep(0.0005)
        while writing and not list(folder.rglob(".*.part")) and os.waitid(os.P_PID, child, ends) is None:
            time.sleep(0.0002)
        os.kill(child, kind)  # a child that has ended is there until `ended` asks for it
        status = ended(child)
        if status != DONE:
            return status
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    raise AssertionError(f"no signal met a training in {TRIES} tries")


def has_state(folder: Path) -> bool:
    """True if the training has saved its state."""
    return bool(list(folder.glob("checkpoints/*/state.pt")))


def killed(seed: int, folder: Path, kind: signal.Signals) -> Outcome:
    """A training that gets the signal, and is begun again; in every other trial it has saved its state before."""
    status = disturbed(folder, np.random.default_rng([seed, kind]), kind, saved=seed % 2 == 1)
    named = status in (-kind, STOPPED)
    whole = not (folder / "train.zarr.zip").exists() or is_right(folder)
    state = has_state(folder)
    again = ended(start_in(folder))
    if again != DONE:
        return Outcome(False, last_line(folder))
    if not (named and whole and is_right(folder)):
        return Outcome(False, f"other results; status {status}")
    if list(folder.rglob(".*.part")):
        return Outcome(False, "half-written files are left")
    return Outcome(True, "identical results, resumed from a saved state" if state else "identical results, begun anew")


FAULTS = [
    Fault(
        f"{kind.name} at a random moment of a training",
        "begun again, it ends with identical results",
        rounds,
        few,
        lambda seed, folder, kind=kind: killed(seed, folder, kind),
    )
    for kind, rounds, few in ((signal.SIGKILL, 100, 5), (signal.SIGTERM, 50, 2))
]

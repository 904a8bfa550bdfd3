"""Files that were cut off or changed behind the workflow's back."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np

from twirlscope.errors import UserError
from twirlscope.runtime.identity import fingerprint
from twirlscope.storage import store
from twirlscope.training.checkpoints import Trained

from .fault import Fault, Outcome
from .kills import disturbed, has_state
from .trainings import DONE, REFUSED, ended, is_right, last_line, start_in, undisturbed


def damage(path: Path, random: np.random.Generator) -> None:
    """Cut a file at a random byte, or set some of its bytes to others."""
    content = bytearray(path.read_bytes())
    if random.random() < 0.5:
        path.write_bytes(content[: random.integers(len(content))])
        return
    start = int(random.integers(len(content)))
    for place in range(start, min(start + 64, len(content))):
        content[place] ^= 0x5A
    path.write_bytes(content)


def state(seed: int, folder: Path) -> Outcome:
    """The saved state of a killed training is damaged before it is begun again."""
    random = np.random.default_rng(seed)
    while not has_state(folder):
        disturbed(folder, random, signal.SIGKILL, saved=True)
    damage(next(folder.glob("checkpoints/*/state.pt")), random)
    status = ended(start_in(folder))
    if status == DONE:
        return Outcome(is_right(folder), "identical results")
    message = last_line(folder)
    named = status == REFUSED and "state.pt" in message
    if not named:
        return Outcome(False, f"status {status}: {message[:200]}")
    next(folder.glob("checkpoints/*/state.pt")).unlink()  # as the message advises
    again = ended(start_in(folder))
    return Outcome(again == DONE and is_right(folder), "refused in one line; identical results after its advice")


def half_written(seed: int, folder: Path) -> Outcome:
    """Temporary files of a killed job lie about, cut at a random byte."""
    random = np.random.default_rng(seed)
    whole = next((undisturbed()[0] / "checkpoints").iterdir())
    here = folder / "checkpoints" / whole.name
    here.mkdir(parents=True)
    for path in (*whole.glob("*.pt"), whole / "identity.json"):
        if random.random() < 0.5:
            part = here / f".{path.name}.{random.integers(1 << 15)}.part"
            part.write_bytes(path.read_bytes()[: random.integers(path.stat().st_size)])
    right = ended(start_in(folder)) == DONE and is_right(folder) and not list(folder.rglob(".*.part"))
    return Outcome(right, "removed; identical results")


def checkpoint(seed: int, folder: Path) -> Outcome:
    """A checkpoint or an update of a finished training is damaged."""
    random, whole = np.random.default_rng(seed), undisturbed()[0]
    shutil.copytree(whole / "checkpoints", folder / "checkpoints")
    shutil.copy(whole / "train.zarr.zip", folder)
    path = sorted(folder.glob("checkpoints/*/step*.pt"))[random.integers(len(list(folder.glob("checkpoints/*/step*"))))]
    damage(path, random)
    trained = Trained(folder / "train.zarr.zip", whole / "data.zarr.zip")
    step = int(path.name[4:13])
    try:
        (trained.update if "update" in path.name else trained.model)(step)
    except UserError as error:
        return Outcome(path.name in str(error), "refused in one line that names the file")
    return Outcome(False, "read")


def stored(seed: int, folder: Path) -> Outcome:
    """A store is damaged: what is read of it is refused, or every value is as it was."""
    random, whole = np.random.default_rng(seed), undisturbed()[0]
    name = ("data.zarr.zip", "train.zarr.zip")[seed % 2]
    shutil.copy(whole / name, folder)
    damage(folder / name, random)
    try:
        found = store.load(folder / name)
    except UserError as error:
        return Outcome(name in str(error) and "damaged" in str(error), "refused in one line that names the file")
    same = found.identical(store.load(whole / name))
    return Outcome(same, "every value as it was" if same else "other values")


def clock(seed: int, folder: Path) -> Outcome:
    """The clock of the machine jumps, by up to a year, at every reading."""
    random = np.random.default_rng(seed)
    real = time.time

    def change() -> None:
        time.time = lambda: real() + float(random.normal()) * 3e7

    status = ended(start_in(folder, change))
    return Outcome(status == DONE and is_right(folder), "identical results" if status == DONE else last_line(folder))


def dates(seed: int, folder: Path) -> Outcome:
    """A file of data keeps its date and gets another content, or keeps its content and gets another date."""
    random = np.random.default_rng(seed)
    path = folder / "data.xyz"
    path.write_bytes(random.bytes(1000))
    before, status = fingerprint(path), path.stat()
    moved = int(status.st_mtime_ns + random.integers(-(10**17), 10**17))
    os.utime(path, ns=(moved, moved))
    if fingerprint(path) != before:
        return Outcome(False, "another date counts as other data")
    damage(path, random)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    return Outcome(fingerprint(path) != before, "the content counts, not the date")


FAULTS = [
    Fault(
        "saved state of a training damaged at a random byte", "one message names it, or identical results", 15, 2, state
    ),
    Fault("half-written files of a killed job", "removed, identical results", 10, 2, half_written),
    Fault("checkpoint damaged at a random byte", "refused by name", 50, 3, checkpoint),
    Fault("store damaged at a random byte", "refused by name, or every value as it was", 200, 6, stored),
    Fault("clock that jumps while a training runs", "identical results", 8, 1, clock),
    Fault("data file with another date, or another content of the same date", "seen by its content", 100, 5, dates),
]

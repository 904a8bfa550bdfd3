"""A training of a second, in a process of its own that a trial may disturb, and the same training undisturbed.

The process is forked from one that has imported everything, so that a trial takes a second and not ten.

Run as a module it is that training in a fresh process: python -m faults.trainings DATA OUT
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import short_trainings
import toys
from forks import DONE, ended, forked

from twirlscope.runtime.job import exit_with_message
from twirlscope.stages.train import train
from twirlscope.storage import registry

from .contents import contents

SETTINGS = {"steps": 30, "ema": 0.9}
REFUSED, STOPPED = 1, os.EX_TEMPFAIL  # exit statuses of a job


def begin(data: Path, out: Path, save_every: float = 0.01) -> None:
    """The training, as a job runs it; the state is saved every so many seconds."""
    with exit_with_message("train"):
        train(data, out, short_trainings.run(**SETTINGS, save_every=save_every), "code")


@functools.cache
def undisturbed() -> tuple[Path, float]:
    """Folder of the training without a fault, with its data, and its duration [s]."""
    folder = Path(tempfile.mkdtemp(prefix="undisturbed"))
    registry.save(toys.frames(), folder / "data.zarr.zip")
    with contextlib.redirect_stdout(None):
        begin(folder / "data.zarr.zip", folder / "warm" / "train.zarr.zip")  # what torch does once in a process
    start = time.monotonic()
    assert ended(start_in(folder, data=folder / "data.zarr.zip")) == DONE, (folder / "log").read_text()
    return folder, time.monotonic() - start


def start_in(folder: Path, change: Callable[[], None] = lambda: None, data: Path | None = None) -> int:
    """Process id of the training with results in a folder; `change` is called in its process first."""
    data = data or undisturbed()[0] / "data.zarr.zip"

    def work() -> None:
        change()
        begin(data, folder / "train.zarr.zip")

    return forked(work, folder / "log")


@functools.cache
def right() -> dict[str, object]:
    """Contents of the undisturbed training."""
    return contents(undisturbed()[0])


def is_right(folder: Path) -> bool:
    """True if the store and every checkpoint are, bit for bit, those of the undisturbed training."""
    return contents(folder) == right()


def last_line(folder: Path) -> str:
    """Last line of the log."""
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    return lines[-1] if lines else ""


if __name__ == "__main__":
    begin(Path(sys.argv[1]), Path(sys.argv[2]))

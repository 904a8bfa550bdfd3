"""How a result came about: versions, the code a stage reaches, the log of a job, its progress."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import NO_ROOM, Stopped, UserError, UserErrors
from .heartbeat import heartbeat

SILENCE = 60.0  # seconds without a line after which a job gives a sign of life
PACKAGES = (
    "twirlscope",
    "torch",
    "e3nn",
    "numpy",
    "scipy",
    "xarray",
    "zarr",
    "rdkit",
    "ase",
    "tblite",
    "gemmi",
    "snakemake",
)


def versions() -> dict[str, str]:
    """Versions of Python, of the machine's processor type and of the packages that shape results."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """A script's frame: everything printed goes to the rule's log, a sign of life when that is silent,
    and torch gets the rule's threads. It ends as `answered` says.
    """
    import torch

    torch.set_num_threads(snakemake.threads)
    with (
        Path(snakemake.log[0]).open("a", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        answered(snakemake.rule),
        heartbeat(snakemake.rule, log, SILENCE),
    ):
        yield


@contextlib.contextmanager
def answered(name: str) -> Iterator[None]:
    """A mistake of the user's ends the process with its one message instead of a traceback. Work that was told to stop
    ends it with exit status 75, the customary one for "try again later", so that no product is taken for whole.
    """
    try:
        yield
    except (UserError, UserErrors) as error:
        print(f"ERROR {name}: {error}", flush=True)
        sys.exit(1)
    except Stopped as reason:
        print(f"STOPPED {name}: {reason}", flush=True)
        sys.exit(os.EX_TEMPFAIL)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        said = UserError(error.filename or "disk", "room and permission to write", error.strerror)
        print(f"ERROR {name}: {said}", flush=True)
        sys.exit(1)


class Progress:
    """Progress of a loop: a bar on a terminal, else one line every few seconds with rate and remaining time.

    Args:
        what: name of the work.
        total: number of units.
        unit: name of a unit (`update`, `checkpoint`).
        done: units done before this start.
        every: seconds between lines.
    """

    def __init__(self, what: str, total: int, unit: str, done: int = 0, every: float = 5.0):
        self._what, self._total, self._unit, self._every = what, total, unit, every
        self._first = self.done = done
        self._start = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=what, total=total, initial=done, unit=f" {unit}", leave=False)

    def advance(self, note: str = "", units: int = 1) -> None:
        """Some units are done; `note` is printed beside (a loss, say)."""
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
        share = f"{self._what}: {self.done}/{self._total} {self._unit}s ({100 * self.done / max(self._total, 1):.0f} %)"
        return f"{share}, {rate:.3g} {self._unit}s/s, {clock} min left{', ' + note if note else ''}"

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against a second copy of the same job; a second copy waits and then finds the work done."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting: another job works in {folder}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def device_of(name: str, double: bool = True) -> str:
    """The torch device that a setting means: `auto` is the first GPU if there is one, else the CPU.

    Args:
        name: `auto`, `cpu`, `cuda` or `mps`.
        double: whether float64 is needed, which Apple's GPUs do not have.

    Raises:
        UserError: a device this machine does not have.
    """
    import torch

    have = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() and not double else []),
    ]
    if name == "auto":
        return have[1] if have[1:] else "cpu"
    if name not in have:
        raise UserError("device", "a device this machine has", repr(name), have)
    return name


def hardware(device: str) -> str:
    """The device in words, for the report."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if device == "mps":
        return f"{platform.machine()} GPU, Metal"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} of {os.cpu_count()} threads"

"""Disks that are full, and folders that may not be written."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .fault import Fault, NotHere, Outcome
from .trainings import DONE, REFUSED, ended, is_right, last_line, start_in, undisturbed

ROOT = Path(__file__).parents[3]


def size_of(folder: Path) -> int:
    """Bytes of the files of a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def resumed(folder: Path, status: int) -> Outcome:
    """The end of a trial in which a training met a disk that could not be written, and now can."""
    message = last_line(folder)
    if status == DONE:
        return Outcome(is_right(folder), "identical results: the disk was large enough")
    if status != REFUSED or "room and permission to write" not in message:
        return Outcome(False, f"status {status}: {message[:200]}")
    if (folder / "train.zarr.zip").exists() or list(folder.rglob(".*.part")):
        return Outcome(False, "half-written files are left")
    again = ended(start_in(folder))
    return Outcome(again == DONE and is_right(folder), "refused in one line; identical results once there is room")


def limited(seed: int, folder: Path) -> Outcome:
    """No file may be longer than a random limit, as under a quota."""
    longest = max(p.stat().st_size for p in undisturbed()[0].rglob("*") if p.is_file() and p.name != "data.zarr.zip")
    most = int(np.random.default_rng(seed).integers(1500, 1.1 * longest))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    return resumed(folder, ended(start_in(folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard)))))


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes in memory at a folder. Raises `NotHere` without the right to mount."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        raise NotHere("no right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full(seed: int, folder: Path) -> Outcome:
    """A file system that is too small by a random amount, until the training is begun again."""
    needed = size_of(undisturbed()[0] / "checkpoints")
    small = folder / "small"
    small.mkdir()
    page = 4096
    with mounted(small, page * int(np.random.default_rng(seed).integers(8, needed // page))):
        os.symlink(folder / "log", small / "log")  # the log lies on another disk, to be read
        status = ended(start_in(small))
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        return resumed(small, status)


def fresh(folder: Path, package: Path, read_only: Path) -> int:
    """Exit status of a training in a fresh process for which a folder is read-only."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        raise NotHere("no right to mount a folder read-only")
    command = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    job = [sys.executable, "-m", "faults.trainings", str(undisturbed()[0] / "data.zarr.zip")]
    paths = [package, ROOT / "tests" / "bench", ROOT / "tests" / "kit"]
    with (folder / "log").open("w") as log:
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", command, str(read_only), *job, str(folder / "out" / "train.zarr.zip")],
            stdout=log,
            stderr=log,
            env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
            | {"PYTHONPATH": ":".join(map(str, paths))},
        ).returncode


def read_only_install(seed: int, folder: Path) -> Outcome:
    """The package lies in a folder that may not be written; its compiled modules cannot be kept."""
    package, out = folder / "package", folder / "out"
    shutil.copytree(ROOT / "workflow", package, ignore=shutil.ignore_patterns("__pycache__"))
    out.mkdir()
    status = fresh(folder, package, package)
    clean = not list(package.rglob("__pycache__"))
    return Outcome(status == DONE and clean and is_right(out), f"identical results{'' if clean else ', but it wrote'}")


def read_only_results(seed: int, folder: Path) -> Outcome:
    """The folder of the results may not be written."""
    out = folder / "out"
    out.mkdir()
    status, message = fresh(folder, ROOT / "workflow", out), last_line(folder)
    named = status == REFUSED and "permission to write" in message and str(out) in message
    return Outcome(named and not list(out.iterdir()), "refused in one line" if named else message[:200])


WHOLE = "one message names the file; identical results once there is room"
FAULTS = [
    Fault("limit on the size of files, at a random size", WHOLE, 20, 2, limited),
    Fault("full disk, of a random size", WHOLE, 20, 2, full),
    Fault("read-only folder of the package", "identical results, nothing written there", 3, 1, read_only_install),
    Fault("read-only folder of the results", "one message names it", 3, 1, read_only_results),
]

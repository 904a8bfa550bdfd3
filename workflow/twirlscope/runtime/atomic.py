"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
from pathlib import Path

from .._typing import Callable
from ..errors import UNWRITABLE, UserError


def write_folder(out: Path, fill: Callable[[Path], None]) -> None:
    """Call `fill` on an empty temporary folder, then move it to `out`; if `fill` fails, `out` stays as it was.

    Temporary folders of killed processes are removed.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{out.name}.*.*"):
        shutil.rmtree(left, ignore_errors=True)
    aside, old = (out.with_name(f".{out.name}.{os.getpid()}.{word}") for word in ("part", "old"))
    try:
        aside.mkdir()
        fill(aside)
        if out.exists():
            os.replace(out, old)
        os.replace(aside, out)
    finally:
        for left in (aside, old):
            shutil.rmtree(left, ignore_errors=True)


def write_whole(path: Path, write) -> None:
    """Call `write` on a temporary path, then rename the file to `path`: it appears whole or not at all.

    Temporary files of killed processes are removed.

    Raises:
        UserError: no space left, or no permission.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        left.unlink(missing_ok=True)
    try:
        write(aside)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        if error.errno in UNWRITABLE:
            raise UserError(path, "room and permission to write it", error.strerror) from error
        raise
    finally:
        aside.unlink(missing_ok=True)

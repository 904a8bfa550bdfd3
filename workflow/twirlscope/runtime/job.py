"""A job: its log with signs of life, its threads, and how it ends."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from ..errors import UNWRITABLE, Stopped, UserError, UserErrors

PACKAGE = Path(__file__).parents[1]
SILENCE = 60.0  # seconds without a line after which a job gives a sign of life


@contextlib.contextmanager
def heartbeat(name: str, log: TextIO, every: float) -> Iterator[None]:
    """While it lasts, a line whenever nothing was written to the log for so long, from a thread of its own.

    The line names the place in the package where the main thread is: a training that waits for data says so. Code that
    holds Python's lock all the while, as few extensions do, silences this too.

    Args:
        name: the job, as the line calls it.
        log: the file that everything is printed to.
        every: seconds of silence.
    """
    start, main, over = time.monotonic(), threading.get_ident(), threading.Event()

    def beat() -> None:
        size, heard = log.tell(), time.monotonic()
        while not over.wait(min(every / 4, 5.0)):
            now = time.monotonic()
            if log.tell() != size:
                size, heard = log.tell(), now
            elif now - heard >= every:
                place = _place(sys._current_frames().get(main))
                print(f"{name}: at work for {now - start:.0f} s, silent for {now - heard:.0f} s, in {place}", file=log)
                size, heard = log.tell(), now

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _place(frame: FrameType | None) -> str:
    """The innermost function of the package that a thread is in, as `train.py:120 update`."""
    while frame is not None and PACKAGE not in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    if frame is None:
        return "code outside of the package"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """A script's frame: everything printed goes to the rule's log, a sign of life when that is silent,
    and torch gets the rule's threads. It ends as `exit_with_message` says.
    """
    import torch

    torch.set_num_threads(snakemake.threads)
    with (
        Path(snakemake.log[0]).open("a", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        exit_with_message(snakemake.rule),
        heartbeat(snakemake.rule, log, SILENCE),
    ):
        yield


@contextlib.contextmanager
def exit_with_message(name: str) -> Iterator[None]:
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
        if error.errno not in UNWRITABLE:
            raise
        said = UserError(error.filename or "disk", "room and permission to write", error.strerror)
        print(f"ERROR {name}: {said}", flush=True)
        sys.exit(1)

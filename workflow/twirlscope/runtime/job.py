"""A job of the workflow: its log with heartbeat lines, its threads and its exit status."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from ..errors import UNWRITABLE, Stopped, UserError, UserErrors
from . import code_hash, memory

PACKAGE = Path(__file__).parents[1]
SILENCE = 60.0  # [s] time without a line in the log after which the heartbeat prints one


@contextlib.contextmanager
def heartbeat(name: str, log: TextIO, every: float) -> Iterator[None]:
    """Print a line to the log, from a separate thread, whenever nothing was written to it for `every` seconds.

    The line names the function of the package that the main thread is in, for example the one that waits for data.
    Extensions that hold Python's global lock all the time, which are few, stop the heartbeat too.

    Args:
        name: of the job, for the line.
        log: the file that everything is printed to.
        every: time without a line [s].
    """
    start, main, over = time.monotonic(), threading.get_ident(), threading.Event()

    def beat() -> None:
        size, last = log.tell(), time.monotonic()
        while not over.wait(min(every / 4, 5.0)):
            now = time.monotonic()
            if log.tell() != size:
                size, last = log.tell(), now
            elif now - last >= every:
                place = _place(sys._current_frames().get(main))
                print(f"{name}: at work for {now - start:.0f} s, silent for {now - last:.0f} s, in {place}", file=log)
                size, last = log.tell(), now

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _place(frame: FrameType | None) -> str:
    """Innermost function of the package that a thread is in, as `train.py:120 update`."""
    while frame is not None and PACKAGE not in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    if frame is None:
        return "code outside of the package"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"


def set_threads(count: int) -> None:
    """Threads of torch, whether it is imported already or will be: jobs that read files do without it."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Context of a script: prints go to the rule's log, with a heartbeat, and torch uses the rule's threads.

    Freed memory stays with the process, see `memory.keep_freed`. It refuses to run other code than the
    plan hashed. Errors end it as in `exit_with_message`.
    """
    set_threads(snakemake.threads)
    memory.keep_freed()
    with (
        Path(snakemake.log[0]).open("a", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        exit_with_message(snakemake.rule),
        heartbeat(snakemake.rule, log, SILENCE),
    ):
        code_hash.require(snakemake.params.job["code"], snakemake.params.sources)
        yield


@contextlib.contextmanager
def exit_with_message(name: str) -> Iterator[None]:
    """Turn errors of the user, a stop by a signal, and a full disk into one message and an exit status.

    A mistake of the user ends the process with its message instead of a traceback, and status 1. Work that a signal
    stopped ends it with status 75, the usual one for "try again later", so that its output does not count as complete.
    Any other error is a fault of the program: its traceback is printed, then one line, and it goes on upwards.
    """
    try:
        yield
    except (UserError, UserErrors) as error:
        print(f"ERROR {name}: {error}", flush=True)
        sys.exit(1)
    except Stopped as reason:
        print(f"STOPPED {name}: {reason}", flush=True)
        sys.exit(os.EX_TEMPFAIL)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            message = UserError(error.filename or "disk", "room and permission to write", error.strerror)
            print(f"ERROR {name}: {message}", flush=True)
            sys.exit(1)
        traceback.print_exc(file=sys.stdout)  # the log: whoever prints it later does so beyond the redirection
        print(f"CRASH {name}: {type(error).__name__}: {error}", flush=True)
        raise

"""A sign of life in the log of a job that prints nothing for long, and where in the code it is meanwhile."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

PACKAGE = Path(__file__).parent


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

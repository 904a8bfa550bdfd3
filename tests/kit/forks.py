"""Processes forked from one that has imported everything: they begin at once, where a fresh one takes seconds."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import torch

DONE = 0  # exit status


def forked(work: Callable[[], None], log: Path | None = None) -> int:
    """Process id of a child that does the work and ends with the exit status of a job; it prints to the log, if any."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        torch.set_num_threads(1)
        with contextlib.ExitStack() as stack:
            if log:
                file = stack.enter_context(log.open("a", buffering=1))
                stack.enter_context(contextlib.redirect_stdout(file))
                stack.enter_context(contextlib.redirect_stderr(file))
            work()
            status = DONE
    except SystemExit as end:
        status = end.code or DONE
    finally:
        os._exit(status)


def ended(child: int, seconds: float = 300.0) -> int:
    """Exit status of a child, negative for a signal; one that takes longer is killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError(f"a process did not end in {seconds:g} s")


class Forked(subprocess.Popen):
    """A fork for `subprocess.Popen([python, "-m", module], stdin=PIPE, ...)`: it calls `_join` or `main`."""

    def __init__(self, command: list[str], stdin: int, stdout: TextIO | int, stderr: TextIO, env: dict[str, str]):
        assert command[:2] == [sys.executable, "-m"]
        assert stdin == subprocess.PIPE
        read, write = os.pipe()

        def work() -> None:
            os.close(write)
            os.environ.update(env)
            os.dup2(read, 0)
            sys.stdin = os.fdopen(0)
            for number, file in ((1, stdout), (2, stderr)):
                os.dup2(os.open(os.devnull, os.O_WRONLY) if file == subprocess.DEVNULL else file.fileno(), number)
            with os.fdopen(1, "w", 1) as out, os.fdopen(2, "w", 1) as err:
                sys.stdout, sys.stderr = out, err
                module = importlib.import_module(command[2])
                sys.exit(module._join() if hasattr(module, "_join") else module.main())

        self.pid, self.status = forked(work), None
        os.close(read)
        self.stdin = os.fdopen(write, "wb")

    def poll(self) -> int | None:
        """Exit status, or None while it is at work."""
        if self.status is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if found else None
        return self.status

    def wait(self) -> int:
        """Exit status, when it has ended."""
        self.status = ended(self.pid) if self.status is None else self.status
        return self.status

    def send_signal(self, kind: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, kind)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)


# for `subprocess` of a module whose processes shall be forks
SUBPROCESS = types.SimpleNamespace(Popen=Forked, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL)

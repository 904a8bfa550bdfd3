"""Client of worker processes: starts them, asks them, replaces those that die or hang, and keeps what they computed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, needs

with needs("chemistry"):
    from ase import Atoms

    from . import worker
    from .worker import LENGTH, Evaluator, decoded, packed, send

WORKER = Path(worker.__file__)
TAIL = 1500  # bytes of stderr in an error
DEATHS = 3  # exits one after another, without a result between, after which a worker is not started again
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
OWN = ("PYTHONPATH", "PYTHONHOME")  # variables for our Python, which another one must not read


@dataclass(frozen=True)
class Spec:
    """A calculator and the process that runs it.

    calculator: `module:name` or `file.py:factory`.
    arguments: keyword arguments of the class or factory.
    python: interpreter; empty for the one that runs this.
    batched: `file.py:function` that evaluates many structures in one call, or empty.
    reset: whether `reset()` of the calculator is called before every structure.
    timeout: longest time for one structure or batch [s].
    start_timeout: longest time for the imports and the construction of the calculator [s].
    threads: of a worker.
    """

    calculator: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    python: str = ""
    batched: str = ""
    reset: bool = True
    timeout: float = 600.0
    start_timeout: float = 600.0
    threads: int = 1


class Failure(str):
    """Reason why a structure has no result; a text."""


Result = dict[str, np.ndarray] | Failure


class WorkerDied(RuntimeError):  # noqa: N818
    """A worker exited, or was killed because it gave no answer in time."""


class Worker:
    """A process with a calculator, started at the first use and again after it died.

    Attributes:
        versions: of Python and packages in the process, once it has started.
        properties: those that the calculator says it computes.
    """

    def __init__(self, spec: Spec, where: str = "external"):
        self.spec, self.where = spec, where
        self.versions: dict[str, str] = {}
        self.properties: list[str] = []
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the process and wait until the calculator is made.

        Raises:
            UserError: no such interpreter, or the calculator cannot be made there.
        """
        python = self.spec.python or sys.executable
        other = Path(python).absolute() != Path(sys.executable).absolute()
        environment = {k: v for k, v in os.environ.items() if not (other and k in OWN)}
        environment |= dict.fromkeys(THREADS, str(self.spec.threads))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log, "bufsize": 0}
        try:
            self._process = subprocess.Popen([python, str(WORKER)], env=environment, **pipes)
        except OSError as error:
            raise UserError(f"{self.where}.python", "a Python that can be started", f"{python}: {error}") from error
        try:
            send(self._process.stdin, asdict(self.spec))
            header, _ = self._receive(self.spec.start_timeout)
        except (WorkerDied, OSError) as error:
            reason = error if isinstance(error, WorkerDied) else self._end("")
            expected = f"a worker with numpy and ase that makes {self.spec.calculator}"
            raise UserError(f"{self.where}.calculator", expected, f"{python}: {reason}") from error
        if "fault" in header:
            self.close()
            expected = f"a calculator that can be made in {python}"
            raise UserError(f"{self.where}.calculator", expected, f"{self.spec.calculator}: {header['fault']}")
        self.versions, self.properties = header["versions"], header["properties"]

    def evaluate(
        self, frames: Sequence[Atoms], properties: tuple[str, ...], keep: Callable[[int, Result], None] | None = None
    ) -> list[Result]:
        """Results in the order of the structures; those of structures that failed are `Failure`.

        Where the process dies or hangs, the structure that it was at fails, and the others are done in a new process.

        Args:
            keep: called with index and result as soon as a result is known.

        Raises:
            UserError: the process dies again and again without a result.
        """
        done: dict[int, Result] = {}
        deaths, size = 0, len(frames)
        while left := [i for i in range(len(frames)) if i not in done][:size]:
            before = len(done)
            try:
                self._ask([frames[i] for i in left], left, properties, done, keep)
                deaths = 0
            except WorkerDied as reason:
                deaths = deaths + 1 if len(done) == before else 1
                if self.spec.batched and size > 1:
                    size = 1  # the structure to blame is not known
                    continue
                at = next(i for i in left if i not in done)
                done[at] = Failure(f"{reason}, at structure {at}")
                if keep:
                    keep(at, done[at])
                if deaths >= DEATHS:
                    raise UserError(self.where, "a calculator that survives its structures", done[at]) from reason
        return [done[i] for i in range(len(frames))]

    def _ask(self, frames: Sequence[Atoms], index: Sequence[int], properties, done: dict[int, Result], keep) -> None:
        """One request, whose answers are put into `done` one by one."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        try:
            send(self._process.stdin, {"properties": list(properties)}, packed(list(frames)))
        except OSError as error:
            raise WorkerDied(self._end("")) from error
        for _ in frames:
            header, result = self._receive(self.spec.timeout)
            i = index[header["index"]]
            done[i] = Failure(header["error"]) if header["error"] else result
            if keep:
                keep(i, done[i])

    def _receive(self, seconds: float) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The next message of the process. Raises WorkerDied."""
        deadline = time.monotonic() + seconds
        header, content = LENGTH.unpack(self._read(LENGTH.size, deadline, seconds))
        text = self._read(header, deadline, seconds)
        return decoded(text, self._read(content, deadline, seconds))

    def _read(self, count: int, deadline: float, seconds: float) -> bytes:
        """Exactly so many bytes from the process. Raises WorkerDied."""
        found, stream = bytearray(), self._process.stdout.fileno()
        while len(found) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                raise WorkerDied(self._end(f"no answer within {seconds:g} s"))
            piece = os.read(stream, count - len(found))
            if not piece:
                raise WorkerDied(self._end(""))
            found += piece
        return bytes(found)

    def _end(self, reason: str) -> str:
        """End the process; the reason of its end, with the last lines of its stderr."""
        process, self._process = self._process, None
        if not reason:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            code = process.poll()
            reason = "exit" if code is None else exit_words(code)
        process.kill()
        process.wait()
        process.stdin.close(), process.stdout.close()
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - TAIL))
        tail = " | ".join(self._log.read().decode(errors="replace").strip().splitlines()[-6:])
        self._log.close()
        return reason + (f"; its stderr ends: {tail}" if tail else "")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._end("closed")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def exit_words(code: int) -> str:
    """An exit status of a process in words."""
    if code >= 0:
        return f"the worker exited with status {code}"
    with contextlib.suppress(ValueError):
        return f"the worker was killed by {signal.Signals(-code).name}"
    return f"the worker was killed by signal {-code}"


class Pool:
    """Several workers with the same calculator, which share the structures of a request.

    Args:
        workers: number of processes.
        batch: structures in one call of the batch function.
    """

    def __init__(self, spec: Spec, workers: int = 1, batch: int = 32, where: str = "external"):
        self.spec, self._batch = spec, batch if spec.batched else 8
        self._workers = [Worker(spec, where) for _ in range(workers)]

    @property
    def first(self) -> Worker:
        """A started worker."""
        if not self._workers[0].versions:
            self._workers[0].start()
        return self._workers[0]

    def evaluate(
        self, frames: Sequence[Atoms], properties: tuple[str, ...], keep: Callable[[int, Result], None] | None = None
    ) -> list[Result]:
        """Results in the order of the structures, see `Worker.evaluate`."""
        pieces = [range(s, min(s + self._batch, len(frames))) for s in range(0, len(frames), self._batch)]
        found: dict[int, Result] = {}

        def work(number: int) -> None:
            for piece in pieces[number :: len(self._workers)]:
                first = piece.start
                chosen = [frames[i] for i in piece]
                told = (lambda i, result, first=first: keep(first + i, result)) if keep else None
                found.update(zip(piece, self._workers[number].evaluate(chosen, properties, told), strict=True))

        with ThreadPoolExecutor(len(self._workers)) as threads:
            for job in [threads.submit(work, n) for n in range(len(self._workers))]:
                job.result()
        return [found[i] for i in range(len(frames))]

    def close(self) -> None:
        """End all processes."""
        for each in self._workers:
            each.close()


class Local:
    """A calculator in this process, with the interface of `Pool`."""

    def __init__(self, calculator: Any, reset: bool = True):
        name = f"{type(calculator).__module__}:{type(calculator).__qualname__}"
        self.spec = Spec(name, reset=reset)
        self._evaluator = Evaluator({"reset": reset}, calculator)
        self.versions = worker.versions({"calculator": name})
        self.properties = getattr(calculator, "implemented_properties", list(worker.PROPERTIES))

    @property
    def first(self) -> Local:
        """Itself, which stands for a started worker."""
        return self

    def evaluate(
        self, frames: Sequence[Atoms], properties: tuple[str, ...], keep: Callable[[int, Result], None] | None = None
    ) -> list[Result]:
        """Results in the order of the structures."""
        done: dict[int, Result] = {}
        for i, result in self._evaluator.results(list(frames), properties):
            done[i] = Failure(result) if isinstance(result, str) else result
            if keep:
                keep(i, done[i])
        return [done[i] for i in range(len(frames))]

    def close(self) -> None:
        """Nothing to end."""

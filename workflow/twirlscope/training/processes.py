"""Data-parallel training by several processes, one per GPU: their parts of a batch; how they start, stop and end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from .._typing import Tensor
from ..errors import Stopped, UserError

PACKAGE = Path(__file__).parents[1]
GRACE = 30.0  # seconds that processes have to end by themselves after one of them has failed


@dataclass(frozen=True)
class ProcessGroup:
    """The process group of a training, as one process sees it. All draw the same batches and take parts of them.

    rank: number of this process; 0 is the main one, which alone writes files and prints.
    size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """True for the process that writes files and prints."""
        return self.rank == 0

    def parts(self, samples: int, most: int) -> list[slice]:
        """Micro-batches of this process as slices of the batch, each of at most `most` samples; 0 sets no limit.

        Raises:
            UserError: fewer samples than processes.
        """
        if samples < self.size:
            raise UserError("train.batch", f"at least one sample for each of {self.size} processes", samples)
        start, end = (r * samples // self.size for r in (self.rank, self.rank + 1))
        step = most or end - start
        return [slice(s, min(s + step, end)) for s in range(start, end, step)]

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in float64, the same in each; as it is for one process."""
        if self.size == 1:
            return value
        value = value.double()
        distributed.all_reduce(value)
        return value

    def shared_signal(self, name: str | None) -> str | None:
        """The name of a signal that came to any process, the same in each, or None."""
        if self.size == 1:
            return name
        number = torch.tensor([signal.Signals[name].value if name else 0])
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return signal.Signals(number.item()).name if number.item() else None


SINGLE = ProcessGroup()


def launch(module: str, job: dict[str, Any], count: int) -> None:
    """Run `python -m module` in so many processes and wait. Each gets the job from `job_of_this_process`.

    SIGTERM and SIGUSR1 are handed on to all. When one fails the others follow; none outlives this process, however it
    ends. `torchrun` would not do: it dies of SIGUSR1, and its exit status does not tell a stop from a failure.

    Raises:
        Stopped: a signal ended them before they could save anything.
        SystemExit: they failed, or were stopped, and have said so; with their status.
    """
    with tempfile.TemporaryDirectory() as folder, stop_signals() as signalled:
        job = job | {"size": count, "meeting": str(Path(folder) / "meeting")}
        job["threads"] = max(torch.get_num_threads() // count, 1)
        processes = [_started(module, job | {"rank": rank}) for rank in range(count)]
        try:
            status = _watched(processes, signalled)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        if status < 0 and signalled():
            raise Stopped(f"{signalled()} before the first update; the same job goes on where it was")
    if status:
        if status < 0:
            print(f"a process of the training was killed by {signal.Signals(-status).name}", flush=True)
        sys.exit(status if status > 0 else 128 - status)


def _started(module: str, job: dict[str, Any]) -> subprocess.Popen:
    """A process of the group. Its standard input stays open until this process ends."""
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=sys.stdout if job["rank"] == 0 else subprocess.DEVNULL,
        stderr=sys.stderr,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    return process


def _watched(processes: list[subprocess.Popen], signalled) -> int:
    """The exit status of the first process that failed, or 0, when all have ended."""
    told, failed, deadline = False, 0, float("inf")
    while True:
        states = [process.poll() for process in processes]
        if not failed and any(states):
            failed, deadline = next(filter(None, states)), time.monotonic() + GRACE
        if None not in states or time.monotonic() > deadline:
            return failed
        if signalled() and not told:
            told = True
            for process in processes:
                process.send_signal(signal.Signals[signalled()])
        time.sleep(0.05)


def job_of_this_process() -> dict[str, Any]:
    """The job that `launch` handed to this process. From now on it ends when the process that started it ends."""
    job = json.loads(sys.stdin.readline())

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing more comes: it returns when the other end is closed
        os._exit(os.EX_TEMPFAIL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
    torch.set_num_threads(job["threads"])
    return job


@contextlib.contextmanager
def connected(job: dict[str, Any]) -> Iterator[ProcessGroup]:
    """Process group of this process, connected to the others: by Gloo for numbers, by NCCL for tensors on GPUs."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    where = f"file://{job['meeting']}"
    distributed.init_process_group(backend, where, rank=job["rank"], world_size=job["size"])
    yield ProcessGroup(job["rank"], job["size"])
    distributed.destroy_process_group()


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], str | None]]:
    """Context in which SIGTERM and SIGUSR1 end nothing; it yields a function that names the signal received, or None.

    A cluster sends SIGTERM seconds before SIGKILL, when it takes a job's node away or the job's time is over. It sends
    SIGUSR1 as early as `sbatch --signal` says.
    """
    came: list[str] = []
    kinds = (signal.SIGTERM, signal.SIGUSR1)
    before = {kind: signal.signal(kind, lambda number, _: came.append(signal.Signals(number).name)) for kind in kinds}
    try:
        yield lambda: came[0] if came else None
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)

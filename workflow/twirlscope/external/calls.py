"""Calls of a calculator with a cache of its answers, their number and their cost.

Answers are kept in a file as soon as they are known, under a hash of the calculator, its files, the versions of its
packages and the bytes of the structure. A measurement that was killed goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..errors import UserError, needs
from ..runtime.progress import inside
from .client import Failure, Local, Pool, Result
from .specification import file_hashes
from .worker import packed

with needs("chemistry"):
    from ase import Atoms

EXECUTION = ("python", "timeout", "start_timeout")  # of a specification: no answer depends on them
COMMIT = 0.02  # [s] between commits, which take 40 µs


class Cache:
    """Answers by key, in a file, or in memory without one. Safe in several threads and processes."""

    def __init__(self, path: Path | None = None):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(path or ":memory:", timeout=600, check_same_thread=False)
        self._base.execute("PRAGMA synchronous=OFF")  # a kill loses nothing; a power failure may
        self._base.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value BLOB)")
        self._base.commit()
        self._lock, self._last = threading.Lock(), time.monotonic()

    def get(self, key: bytes) -> np.ndarray | None:
        """The numbers under a key."""
        with self._lock:
            row = self._base.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], np.float64)

    def put(self, key: bytes, numbers: np.ndarray) -> None:
        """Keep numbers under a key."""
        with self._lock:
            self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, numbers.tobytes()))
            if time.monotonic() - self._last > COMMIT:
                self._base.commit()
                self._last = time.monotonic()

    def commit(self) -> None:
        """Make all that was put visible to others."""
        with self._lock:
            self._base.commit()

    def close(self) -> None:
        """Close the file."""
        self.commit()
        self._base.close()


class Budget:
    """Number of calls of a measurement, over all its checkpoints, and an estimate of its time.

    Args:
        planned: calls without any cached answer.
        limit: most planned calls; 0 for no limit.
        say: prints a line.
    """

    def __init__(self, planned: int, limit: int = 0, say: Callable[[str], None] | None = None):
        if limit and planned > limit:
            expected = f"at most {limit} calls of the calculator (samples x rotations + panel + floors + test sets)"
            raise UserError("max_calls", expected, f"{planned} planned; lower samples, rotations, panel or their sets")
        self.planned, self._say = planned, say or (lambda line: print(line, flush=True))
        self.made = self.reused = 0
        self._start, self._told = time.monotonic(), 0.0
        self._say(f"{planned} calls of the calculator are planned")

    def count(self, made: int, reused: int) -> None:
        """Note calls; the first time, and then every half minute, print an estimate of the time that is left."""
        self.made, self.reused = self.made + made, self.reused + reused
        now = time.monotonic()
        inside(self.made + self.reused, self.planned, "calls")
        if self.made and (not self._told or now - self._told > 30):
            self._told, rate = now, self.made / max(now - self._start, 1e-9)
            left = max(self.planned - self.made - self.reused, 0)
            kept = f", {self.reused} from an earlier start" if self.reused else ""
            self._say(f"{self.made} calls made{kept}, {rate:.3g} per second, about {left / rate / 60:.1f} min left")


class Calls:
    """Answers of one calculator to structures, from the cache or from the calculator.

    Args:
        backend: the calculator, in workers or in this process.
        properties: computed for every structure.
        cache: of answers.
        budget: shared by all checkpoints.
    """

    def __init__(self, backend: Pool | Local, properties: tuple[str, ...], cache: Cache, budget: Budget):
        self.backend, self.properties, self.budget = backend, properties, budget
        self._cache, self._identity = cache, None

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python and packages in the process of the calculator."""
        return self.backend.first.versions

    def check(self, where: str) -> None:
        """Refuse a calculator that does not compute the properties.

        Raises:
            UserError: it names those that it offers.
        """
        offered = self.backend.first.properties
        if missing := [name for name in self.properties if name not in offered]:
            expected = f"a calculator that computes {', '.join(self.properties)}"
            raise UserError(f"{where}.calculator", expected, f"one without {', '.join(missing)}", offered)

    def evaluate(self, frames: Sequence[Atoms], repeat: int = 0) -> list[Result]:
        """Results in the order of the structures; those of structures that failed are `Failure`.

        Args:
            repeat: another number asks again for structures that have an answer already.
        """
        keys = [self._key(frame, repeat) for frame in frames]
        found: dict[int, Result] = {}
        for i, (key, frame) in enumerate(zip(keys, frames, strict=True)):
            numbers = self._cache.get(key)
            if numbers is not None:
                found[i] = self._decoded(numbers, len(frame))
        asked = [i for i in range(len(frames)) if i not in found]

        def keep(place: int, result: Result) -> None:
            if not isinstance(result, Failure):
                values = [result[name].ravel() for name in self.properties]
                self._cache.put(keys[asked[place]], np.concatenate(values))

        if asked:
            answers = self.backend.evaluate([frames[i] for i in asked], self.properties, keep)
            found |= dict(zip(asked, answers, strict=True))
            self._cache.commit()
        self.budget.count(len(asked), len(frames) - len(asked))
        return [found[i] for i in range(len(frames))]

    def _key(self, frame: Atoms, repeat: int) -> bytes:
        if self._identity is None:
            spec = {k: v for k, v in asdict(self.backend.spec).items() if k not in EXECUTION}
            facts = [spec, self.versions, file_hashes(self.backend.spec), self.properties]
            self._identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()
        content = hashlib.sha256(self._identity + str(repeat).encode())
        for name, array in packed([frame]).items():
            content.update(name.encode() + array.tobytes())
        return content.digest()

    def _decoded(self, numbers: np.ndarray, atoms: int) -> Result:
        """A result from its numbers in the cache."""
        shapes, found, start = {"energy": (), "forces": (atoms, 3), "stress": (3, 3)}, {}, 0
        for name in self.properties:
            size = int(np.prod(shapes[name], dtype=int))
            found[name] = numbers[start : start + size].reshape(shapes[name])
            start += size
        return found

    def close(self) -> None:
        """End the processes of the calculator."""
        self.backend.close()

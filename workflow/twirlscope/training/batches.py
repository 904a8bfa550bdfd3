"""Batches of a training: their samples and random numbers; made ahead in a thread where asked for.

Random numbers are drawn from (seed, purpose, update), for the whole batch of an update before it is divided. So they
depend neither on the number of processes, nor on the size of a micro-batch, nor on prefetching.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial

import numpy as np
import torch

from .._typing import Array, Callable, Int
from ..errors import UserError
from ..objective import Rows

ORDER, ROTATION, WEIGHTS, SUBSET, NOISE = 1, 2, 3, 4, 5  # purposes of random numbers


def seed_of(*numbers: int) -> int:
    """A 64-bit seed from (seed, purpose, counter)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def nested_subset(index: Int[Array, " n"], count: int) -> Int[Array, " some"]:
    """Nested random subset of `count` samples, as a learning curve needs; 0 takes all.

    Raises:
        UserError: there are not so many.
    """
    if count > len(index):
        raise UserError("train.samples", f"at most the {len(index)} samples of the train split", count)
    return np.random.default_rng(SUBSET).permutation(index)[:count] if count else index


def batch_index(index: Int[Array, " n"], update: int, size: int, seed: int) -> Int[Array, " batch"]:
    """Samples of an update: consecutive pieces of an endless sequence of permutations of all samples, one per epoch."""
    place = np.arange(update * size, (update + 1) * size)
    epochs = {e: order(len(index), e, seed) for e in (place // len(index)).tolist()}
    return np.array([index[epochs[e][p]] for e, p in zip(place // len(index), place % len(index), strict=True)])


@lru_cache(maxsize=2)
def order(count: int, epoch: int, seed: int) -> Int[Array, " n"]:
    """The permutation of an epoch, cached: for a million samples it takes longer than reading a batch."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)


def turns_of(seed: int, update: int) -> torch.Generator:
    """The generator of the rotations of an update."""
    return torch.Generator().manual_seed(seed_of(seed, ROTATION, update))


def batches_ahead(setting: int, device: str) -> int:
    """Batches made ahead: as set, or for -1 two on a GPU and none on a CPU.

    On a CPU the thread that makes them moves each batch from one core to another, which costs more than it saves.
    """
    return setting if setting >= 0 else 0 if device == "cpu" else 2


class Loader:
    """Batches of one update after the other, made ahead or on demand: the same to the last bit. A context.

    Within the context a thread makes them ahead while the model computes, one after the other. What goes wrong there
    is raised where the batch is asked for. Outside the context there is no thread, and each is made on demand.

    Args:
        make: gives the batch of an update; draws from generators of its own, never from torch's default one, which
            the model may draw from at the same time.
        end: number of updates.
        ahead: number of batches made ahead, all of them in memory; 0 for none.
        device: the torch device they are made for.
    """

    def __init__(self, make: Callable[[int], Rows], end: int, ahead: int, device: str):
        self._make, self._end, self._ahead = make, end, ahead
        # a thread starts on the first GPU, whichever its process uses
        self._start = partial(torch.cuda.set_device, device) if device.startswith("cuda:") else None
        self._pool: ThreadPoolExecutor | None = None
        self._coming: dict[int, Future[Rows]] = {}

    def __enter__(self) -> Loader:
        if self._ahead:
            self._pool = ThreadPoolExecutor(1, "batches", self._start)
        return self

    def __exit__(self, *_: object) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
            self._coming.clear()

    def get(self, update: int) -> Rows:
        """The batch of an update, the same or a later one than before. Raises what `make` raises."""
        if self._pool is None:
            return self._make(update)
        for coming in range(update, min(update + self._ahead + 1, self._end)):
            if coming not in self._coming:
                self._coming[coming] = self._pool.submit(self._make, coming)
        return self._coming.pop(update).result()

"""Synthetic CA traces, generated without input files, with the local statistics and compactness of real proteins.

Consecutive states of (angle, dihedral) have the probabilities of real chains, helices are right-handed, and chains fold
until they are as compact as globular proteins. There are no sequences, and strands do not form sheets.
"""

from __future__ import annotations

import numpy as np
import torch

from .._typing import Array, Int
from ..geometry import so3
from ..runtime.progress import counted
from ..settings.base import key
from ..sources import Part, Reject
from .protein import backbones, ca_statistics
from .protein.backbones import BackboneSettings, Chain
from .protein.folding import Targets, fold

ATTRIBUTES = {"labels": "synthetic CA traces (Markov chain of angles fitted to PDB chains, annealed), no real proteins"}


class SyntheticBackbones(backbones.Backbones):
    """Chains from a second-order Markov chain of states, folded by annealing.

    Chains are folded in batches of a fixed size. Each batch has its own random numbers, so chains do not depend on
    `parts`. Every chain is rotated at random, so that no direction of space is preferred.
    """

    class Settings(BackboneSettings):
        """Number and length of the chains, and steps of the folding."""

        parts: int = key(4, "jobs of the preparation; the result does not depend on it", shapes=(), ge=1)
        split_by: str = key("chain", "unit of the split: single chains, as there are no sequences", pattern="chain")
        shortest: int = key(48, "minimum number of residues per chain", ge=4)
        longest: int = key(96, "maximum number of residues per chain", ge=4)
        chains: int = key(480, "chains generated; a few are rejected for overlaps", ge=2)
        batch: int = key(80, "chains folded at a time", ge=1)
        anneal_steps: int = key(600, "steps of the folding", ge=1)

    def read(self, part: int) -> Part:
        """Every `parts`-th batch."""
        s, chains, rejects = self.settings, [], []
        for batch in counted(range(part, -(-s.chains // s.batch), s.parts), "batch"):
            for chain in self._batch(batch, min(s.batch, s.chains - batch * s.batch)):
                if reason := backbones.reject_reason(chain, s, most_breaks=0):
                    rejects.append(Reject(chain.name, 0, reason))
                else:
                    chains.append(chain)
        samples = backbones.to_dataset(chains)
        if samples is not None:
            samples.attrs = ATTRIBUTES | {"source": f"synthetic; statistics of {ca_statistics.provenance()}"}
        return Part(samples, rejects)

    def _batch(self, batch: int, count: int) -> list[Chain]:
        """Chains of a batch, in nm."""
        s, states = self.settings, ca_statistics.load()
        rng = np.random.default_rng([s.seed, batch])
        length = rng.integers(s.shortest, s.longest + 1, count)
        state = sample_states(states, count, s.longest - 2, rng)
        mean = np.stack([states.angle, states.dihedral], 1)[state]
        deviation = np.stack([states.angle_deviation, states.dihedral_deviation], 1)[state]
        radius = states.radius * length**states.exponent * np.exp(states.spread * rng.normal(size=count))
        floats = (torch.from_numpy(v.astype(np.float32)) for v in (mean, deviation, radius))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        x = fold(Targets(torch.from_numpy(length), *floats), s.anneal_steps, generator).double().numpy()
        x = x @ so3.matrix(torch.from_numpy(rng.normal(size=(count, 4)))).numpy()
        first = batch * s.batch
        return [Chain(first + i, f"synthetic {first + i}", x[i, : length[i]]) for i in range(count)]


def sample_states(
    states: ca_statistics.States, count: int, length: int, rng: np.random.Generator
) -> Int[Array, "chain state"]:
    """Random states of `count` chains, each given the two states before it."""
    first = (states.pairs.cumsum() < rng.random(count)[:, None] * states.pairs.sum()).sum(1)
    row = [first // len(states.angle), first % len(states.angle)]
    cumulative = states.triples.cumsum(-1)
    while len(row) < length:
        level = cumulative[row[-2], row[-1]]
        row.append((level < rng.random(count)[:, None] * level[:, -1:]).sum(1))
    return np.stack(row, 1)

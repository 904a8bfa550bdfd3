"""Synthetic CA traces, made on the spot: no protein, but chains with the local statistics and compactness of proteins.

States of (angle, dihedral) follow each other as in real chains, helices are right-handed, and chains fold until they
are as compact as globular proteins. There are no sequences, and strands do not pair to sheets: statistics, not physics.
"""

from __future__ import annotations

import numpy as np
import torch

from .._typing import Array, Int
from ..contracts import Part, Reject
from ..geometry import so3
from ..settings.base import key
from .protein import backbones, ca_statistics
from .protein.backbones import BackboneSettings, Chain
from .protein.folding import Wells, folded

ABOUT = {"labels": "synthetic CA traces (Markov chain of angles fitted to PDB chains, annealed), no real proteins"}


class SyntheticBackbones(backbones.Backbones):
    """Chains from a second-order Markov chain of states, folded by annealing.

    Chains are folded in batches of a fixed size with random numbers of their own, so they do not depend on `parts`.
    Each is turned at random, so that no direction of space is preferred.
    """

    class Settings(BackboneSettings):
        """How many chains, how long, how carefully folded."""

        parts: int = key(4, "jobs the preparation is split into; the result does not depend on it", ge=1)
        split_by: str = key("chain", "what is held out: single chains, as there are no sequences", pattern="chain")
        shortest: int = key(48, "fewest residues of a chain", ge=4)
        longest: int = key(96, "most residues of a chain", ge=4)
        chains: int = key(480, "chains made; a few are rejected for overlaps", ge=2)
        batch: int = key(80, "chains folded at once", ge=1)
        anneal_steps: int = key(600, "steps of the folding", ge=1)

    def read(self, part: int) -> Part:
        """Every `parts`-th batch."""
        s, found, lost = self.settings, [], []
        for batch in range(part, -(-s.chains // s.batch), s.parts):
            for chain in self._batch(batch, min(s.batch, s.chains - batch * s.batch)):
                if reason := backbones.fault(chain, s, most_breaks=0):
                    lost.append(Reject(chain.name, 0, reason))
                else:
                    found.append(chain)
        samples = backbones.table(found)
        if samples is not None:
            samples.attrs = ABOUT | {"source": f"synthetic; statistics of {ca_statistics.provenance()}"}
        return Part(samples, lost)

    def _batch(self, batch: int, count: int) -> list[Chain]:
        """The chains of a batch, in nm."""
        s, states = self.settings, ca_statistics.load()
        rng = np.random.default_rng([s.seed, batch])
        length = rng.integers(s.shortest, s.longest + 1, count)
        state = drawn(states, count, s.longest - 2, rng)
        mean = np.stack([states.angle, states.dihedral], 1)[state]
        deviation = np.stack([states.angle_deviation, states.dihedral_deviation], 1)[state]
        radius = states.radius * length**states.exponent * np.exp(states.spread * rng.normal(size=count))
        floats = (torch.from_numpy(v.astype(np.float32)) for v in (mean, deviation, radius))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        x = folded(Wells(torch.from_numpy(length), *floats), s.anneal_steps, generator).double().numpy()
        x = x @ so3.matrix(torch.from_numpy(rng.normal(size=(count, 4)))).numpy()
        first = batch * s.batch
        return [Chain(first + i, f"synthetic {first + i}", x[i, : length[i]]) for i in range(count)]


def drawn(states: ca_statistics.States, count: int, places: int, rng: np.random.Generator) -> Int[Array, "chain place"]:
    """States of `count` chains, each place given the two before."""
    first = (states.pairs.cumsum() < rng.random(count)[:, None] * states.pairs.sum()).sum(1)
    row = [first // len(states.angle), first % len(states.angle)]
    cumulative = states.triples.cumsum(-1)
    while len(row) < places:
        level = cumulative[row[-2], row[-1]]
        row.append((level < rng.random(count)[:, None] * level[:, -1:]).sum(1))
    return np.stack(row, 1)

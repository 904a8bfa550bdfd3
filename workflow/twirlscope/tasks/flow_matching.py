"""Flow matching on protein backbones: the velocity from noise to a CA trace, at a point of the straight path between.

The path is x_t = (1 - t) x0 + t x1, from centred Gaussian noise x0 (t = 0) to a centred chain x1 (t = 1), in nm. Noise,
path, chain and velocity turn together. Backbones are chiral: the symmetry is SO(3), reflections are none.

Source: Lipman et al., arXiv:2210.02747, and Albergo and Vanden-Eijnden, arXiv:2209.15571, for flow matching; Geffner et
al., arXiv:2503.00710, for prior, times and loss weight.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import xarray as xr

from ..contracts import Batch, Task, Term
from ..hints import Array, Float, Int
from ..settings.base import Settings, key


class FlowMatching(Task):
    """Term `velocity` (1o, a residue); the positions on the path turn, times and chain breaks do not.

    The same index gives the same noise and time; `draw` gives fresh ones, for training. What of the target depends on
    the noise alone cannot be predicted: the loss does not go to 0, and its floor depends on the time.
    """

    class Settings(Settings):
        """Times and the weight of the loss."""

        seed: int = key(0, "seed of the noise and times with which samples are evaluated", ge=0)
        uniform: float = key(0.02, "share of times drawn uniformly, the others from a beta distribution", ge=0, le=1)
        beta: float = key(1.9, "times follow Beta(beta, 1): above 1 they lie closer to the chain", gt=0)
        epsilon: float = key(
            1e-5, "bounds the weight 1 / ((1 - t)² + epsilon) of the error in the clean chain as t goes to 1", ge=0
        )

    name = "flow_matching"
    reads = "backbones"
    turns: ClassVar[dict[str, str]] = {"positions": "1o"}

    def __init__(self, settings: FlowMatching.Settings, data: xr.Dataset):
        self.settings = settings
        self.terms = (Term("velocity", "1o", "mse", unit="nm"),)
        self.constants = {}
        self._first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
        self._positions = data["ca_positions"].values
        self._breaks = data["chain_break"].values

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """Each chain with the noise and the time that belong to its index."""
        found = [self._noise(n, np.random.default_rng([self.settings.seed, i])) for i, n in self._counted(index)]
        return self._batch(index, [x for x, _ in found], np.array([t for _, t in found]))

    def draw(self, index: Int[Array, " sample"], rng: np.random.Generator) -> Batch:
        """Each chain with fresh noise and a fresh time."""
        found = [self._noise(n, rng) for _, n in self._counted(index)]
        return self._batch(index, [x for x, _ in found], np.array([t for _, t in found]))

    def _counted(self, index: Int[Array, " sample"]) -> list[tuple[int, int]]:
        """Each index with the number of residues of its chain."""
        return list(zip(index.tolist(), (self._first[index + 1] - self._first[index]).tolist(), strict=True))

    def _noise(self, residues: int, rng: np.random.Generator) -> tuple[Float[Array, "residue 3"], float]:
        """Centred Gaussian noise, unit variance a coordinate [nm], and a time."""
        x, s = rng.normal(size=(residues, 3)), self.settings
        t = rng.random() if rng.random() < s.uniform else rng.beta(s.beta, 1.0)
        return x - x.mean(0), t

    def _batch(self, index: Int[Array, " sample"], noise: list[Array], time: Float[Array, " sample"]) -> Batch:
        """Chains padded to the longest of the batch; real residues are those with mask 1."""
        counts = self._first[index + 1] - self._first[index]
        column = np.arange(counts.max())
        real = column < counts[:, None]
        atom = np.where(real, self._first[index][:, None] + column, 0)
        x1 = np.where(real[..., None], self._positions[atom], 0.0)
        x0 = np.zeros(x1.shape)
        x0[real] = np.concatenate(noise)
        t = time[:, None, None]
        rest = (1 - time) ** 2
        weight = rest / (rest + self.settings.epsilon)
        return Batch(
            inputs={
                "positions": torch.from_numpy(((1 - t) * x0 + t * x1).astype(np.float32)),
                "time": torch.from_numpy(time.astype(np.float32)),
                "mask": torch.from_numpy(real.astype(np.int64)),
                "chain_break": torch.from_numpy(np.where(real, self._breaks[atom], 0).astype(np.int64)),
            },
            targets={"velocity": torch.from_numpy((x1 - x0).astype(np.float32))},
            weights={"velocity": torch.from_numpy((weight[:, None] * real / counts[:, None]).astype(np.float32))},
        )

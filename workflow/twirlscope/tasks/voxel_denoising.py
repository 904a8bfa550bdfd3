"""Denoising voxels: the clean grid of a molecule from its grid plus white noise, at one level of noise.

Molecules are turned and shifted as atoms, before they are put on the grid. A grid itself turns exactly by the 24
rotations of a cube alone, which is what the measurement uses: an error relative to them is a lower bound of the error
relative to all rotations. For the latter, atoms may be turned and put on the grid again, and the noise turned with them
in an orthogonal way; what is interpolated then has a floor, which is measured.

Source: Pinheiro et al., arXiv:2306.07473 (VoxMol), for the task, the noise and the blobs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Float, Int, Tensor
from ..contracts import Batch, Task, Term
from ..geometry import action, so3, voxels
from ..settings.base import Settings, key
from ..storage.ragged import Ragged

BLOCK = 1 << 12  # molecules at a time, where all are gone through

# by name, the group, how a field turns, and the input that turns like this
ACTIONS = {
    "octahedral": ("octahedral", "grid 0e", "grid"),
    "trilinear": ("SO3", "trilinear 0e", "grid"),
    "atoms": ("SO3", "fourier 0e", "noise"),
}


class VoxelDenoising(Task):
    """Term `density`: scalar fields, one an element, occupied 1 and empty 0; the squared error is a mean over voxels.

    A sample of the measurement has an orientation, a shift and a noise of its own, always the same; training draws all
    of them anew at every visit.
    """

    class Settings(Settings):
        """The grid, the noise, and how grids turn in the measurement."""

        size: int = key(16, "voxels along an edge of the grid", ge=4)
        resolution: float = key(0.5, "edge of a voxel", "Å", gt=0)
        radius: float = key(1.0, "radius of every atom", "Å", gt=0)
        sigma: float = key(0.9, "standard deviation of the noise in every voxel", ge=0)
        shift: float = key(0.25, "largest random shift of a molecule along each axis", "Å", ge=0)
        action: Literal[tuple(ACTIONS)] = key(
            "octahedral",
            "rotations of the measurement: the 24 that turn a grid exactly; all, of atoms that are put on the grid "
            "again and noise that turns with them; all, by trilinear interpolation, which takes most of the noise away",
        )

    name = "voxel_denoising"
    dataset_kind = "molecules"
    irreps_in: ClassVar[dict[str, str]] = {}

    def __init__(self, settings: VoxelDenoising.Settings, data: xr.Dataset):
        s, elements = settings, [int(z) for z in data["element"].values]
        self.settings = settings
        self.group, field, moved = ACTIONS[s.action]
        self.irreps_in = {moved: field} | ({"positions": "1o"} if self.group == "SO3" else {})
        self.terms = (Term("density", field),)
        self.grid = voxels.Grid(s.size, s.resolution, s.radius, tuple(elements))
        self.constants = {"elements": elements, "size": s.size}
        self._molecules = Ragged(data, "numbers", "positions")
        voxels.check_fit(self._reach(), self.grid, s.shift)

    def metrics(
        self, index: Int[Array, " sample"], prediction: dict[str, Tensor]
    ) -> dict[str, Float[Array, " sample"]]:
        """Atoms that are found as peaks of the denoised fields, and peaks that are no atoms, both over the atoms."""
        numbers, positions = self._placed(index, *self._pose(_random(index)))
        counts = []
        for field, z, x in zip(prediction["density"], numbers.numpy(), positions.numpy(), strict=True):
            found, true = voxels.peaks(field, self.grid), (z[z > 0], x[z > 0])
            right = voxels.count_found_atoms(found, true)
            counts.append([right / len(true[0]), (len(found[0]) - right) / len(true[0])])
        return dict(zip(("atoms found", "atoms made up"), np.array(counts).T, strict=True))

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """The samples in orientations, with shifts and noise of their own: the same at every call."""
        random = _random(index)
        turn, shift = self._pose(random)
        shape = (self.settings.size,) * 3 + (len(self.grid.channels),)
        noise = torch.from_numpy(np.stack([r.standard_normal(shape, np.float32) for r in random]))
        numbers, positions = self._placed(index, turn, shift)
        batch = self._noisy(voxels.voxelise(positions, numbers, self.grid), noise)
        if self.group == "octahedral":
            return batch
        atoms = {"numbers": numbers, "positions": positions}
        return replace(batch, inputs=batch.inputs | atoms | ({"noise": noise} if "noise" in self.irreps_in else {}))

    def rotate(self, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> Batch:
        """Each sample turned: its grids by an octahedral rotation, or its atoms by any, and put on the grid again.

        The clean grids of turned atoms are exact: beside them it is seen what interpolation does to a field.
        """
        if self.group == "octahedral":
            return super().rotate(batch, rotation)
        inputs = {k: action.rotate(self.irreps_in.get(k, "0e"), rotation, v) for k, v in batch.inputs.items()}
        clean = voxels.voxelise(inputs["positions"], inputs["numbers"], self.grid)
        if "noise" in inputs:
            inputs["grid"] = clean + self.settings.sigma * inputs["noise"]
        return replace(batch, inputs=inputs, targets={"density": clean})

    def training_batch(
        self,
        index: Int[Array, " sample"],
        rng: np.random.Generator,
        rotation: Float[Tensor, "sample 3 3"] | None,
        device: torch.device | str,
    ) -> Batch:
        """The samples put on the grid on the device: atoms turned, then shifted, both and the noise anew."""
        shift = torch.from_numpy(rng.uniform(-1, 1, (len(index), 3))).float()
        numbers, positions = self._placed(index, rotation, shift, device)
        clean = voxels.voxelise(positions, numbers, self.grid)
        noise = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        return self._noisy(clean, torch.randn(clean.shape, generator=noise, device=device))

    def _pose(self, random: list[np.random.Generator]) -> tuple[Float[Tensor, "sample 3 3"], Float[Tensor, "sample 3"]]:
        """A uniform orientation and a shift, as a share of the largest, for each."""
        turn = so3.matrix(torch.from_numpy(np.stack([r.normal(size=4) for r in random]))).float()
        return turn, torch.from_numpy(np.stack([r.uniform(-1, 1, 3) for r in random])).float()

    def _reach(self) -> float:
        """The largest distance of an atom from the mean of its molecule [Å], gone through a few molecules at a time."""
        every = np.arange(len(self._molecules))
        pieces = (every[i : i + BLOCK] for i in range(0, len(every), BLOCK))
        return max(voxels.largest_radius(torch.from_numpy(self._atoms(piece)[1])) for piece in pieces)

    def _atoms(self, index: Int[Array, " sample"]) -> tuple[Int[Array, "sample atom"], Float[Array, "sample atom 3"]]:
        """Atomic numbers and positions [Å], padded with 0 to the largest molecule, centred on the mean of the atoms."""
        real, (numbers, positions) = self._molecules.padded(index)
        centred = positions - positions.sum(1, keepdims=True) / real.sum(1)[:, None, None]
        return numbers.astype(np.int64), np.where(real[..., None], centred, 0).astype(np.float32)

    def _placed(
        self,
        index: Int[Array, " sample"],
        rotation: Float[Tensor, "sample 3 3"] | None,
        shift: Float[Tensor, "sample 3"],
        device: torch.device | str = "cpu",
    ) -> tuple[Int[Tensor, "sample atom"], Float[Tensor, "sample atom 3"]]:
        """Atomic numbers and positions [Å] of molecules, turned and then shifted by a share of the largest shift."""
        numbers, positions = (torch.from_numpy(a).to(device) for a in self._atoms(index))
        if rotation is not None:
            positions = positions @ rotation.to(positions).mT
        return numbers, positions + self.settings.shift * shift.to(positions)[:, None]

    def _noisy(self, clean: Float[Tensor, "sample size size size channel"], noise: Tensor) -> Batch:
        """The batch of clean grids and unit noise; every voxel weighs the same."""
        weights = torch.full(clean.shape[:-1], 1 / self.settings.size**3, device=clean.device)
        inputs = {"grid": clean + self.settings.sigma * noise}
        return Batch(inputs=inputs, targets={"density": clean}, weights={"density": weights})


def _random(index: Int[Array, " sample"]) -> list[np.random.Generator]:
    """The random numbers of samples of the measurement: pose first, then noise."""
    return [np.random.default_rng([0x70CE1, i]) for i in index.tolist()]

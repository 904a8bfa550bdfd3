"""Voxel denoising: the clean grid of a molecule from its grid plus white noise, at one noise level.

In training, atoms are rotated and shifted before they are put on the grid. The grid itself has exact rotations only for
the 24 rotations of a cube, which the measurement uses: the equivariance error relative to them is a lower bound of that
relative to all rotations. For all rotations, the measurement can rotate the atoms, put them on the grid again, and
rotate the noise by an orthogonal map. Its interpolation error is measured.

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
from ..settings.base import MEASUREMENTS, Settings, key
from ..storage.ragged import Ragged

BLOCK = 1 << 12  # molecules at a time, where a computation covers all

# by name: the group, the action on a field, and the input with this action
ACTIONS = {
    "octahedral": ("octahedral", "grid 0e", "grid"),
    "trilinear": ("SO3", "trilinear 0e", "grid"),
    "atoms": ("SO3", "fourier 0e", "noise"),
}


class VoxelDenoising(Task):
    """Term `density`: scalar fields, one per element, 1 if occupied and 0 if empty; the loss is a mean over voxels.

    In the measurement, the orientation, shift and noise of a sample are always the same. Training draws them anew every
    time.
    """

    class Settings(Settings):
        """Grid, noise, and rotations of the measurement."""

        size: int = key(16, "voxels along an edge of the grid", ge=4)
        resolution: float = key(0.5, "edge of a voxel", "Å", gt=0)
        radius: float = key(1.0, "radius of every atom", "Å", gt=0)
        sigma: float = key(0.9, "standard deviation of the noise in every voxel", ge=0)
        shift: float = key(0.25, "largest random shift of a molecule along each axis", "Å", ge=0)
        action: Literal[tuple(ACTIONS)] = key(
            "octahedral",
            "rotations of the measurement; octahedral: the 24 that are exact on a grid, and the losses also under all, "
            "as with atoms; atoms: all, applied to atoms and noise before the grid; trilinear: all, by interpolation, "
            "which removes most of the noise",
            shapes=MEASUREMENTS,
        )

    name = "voxel_denoising"
    dataset_kind = "molecules"
    on_grid = True
    irreps_in: ClassVar[dict[str, str]] = {}

    def __init__(self, settings: VoxelDenoising.Settings, data: xr.Dataset):
        s, elements = settings, [int(z) for z in data["element"].values]
        self.settings, self._data = settings, data
        self.group, field, rotated = ACTIONS[s.action]
        self.irreps_in = {rotated: field} | ({"positions": "1o"} if self.group == "SO3" else {})
        self.terms = (Term("density", field),)
        self.grid = voxels.Grid(s.size, s.resolution, s.radius, tuple(elements))
        self.constants = {"elements": elements, "size": s.size}
        self._molecules = Ragged(data, "numbers", "positions")
        voxels.check_fit(self._largest_radius(), self.grid, s.shift)

    def metrics(
        self, index: Int[Array, " sample"], prediction: dict[str, Tensor]
    ) -> dict[str, Float[Array, " sample"]]:
        """Atoms found as peaks of the denoised fields, and peaks that are no atoms, relative to the number of atoms."""
        numbers, positions = self._posed_atoms(index, *self._pose(_random(index)))
        counts = []
        for field, z, x in zip(prediction["density"], numbers.numpy(), positions.numpy(), strict=True):
            peaks, atoms = voxels.peaks(field, self.grid), (z[z > 0], x[z > 0])
            found = voxels.count_found_atoms(peaks, atoms)
            counts.append([found / len(atoms[0]), (len(peaks[0]) - found) / len(atoms[0])])
        return dict(zip(("atoms found", "atoms made up"), np.array(counts).T, strict=True))

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """Samples, each with its own orientation, shift and noise, the same at every call."""
        random = _random(index)
        rotation, shift = self._pose(random)
        shape = (self.settings.size,) * 3 + (len(self.grid.channels),)
        noise = torch.from_numpy(np.stack([r.standard_normal(shape, np.float32) for r in random]))
        numbers, positions = self._posed_atoms(index, rotation, shift)
        batch = self._noisy(voxels.voxelise(positions, numbers, self.grid), noise)
        if self.group == "octahedral":
            return batch
        atoms = {"numbers": numbers, "positions": positions}
        return replace(batch, inputs=batch.inputs | atoms | ({"noise": noise} if "noise" in self.irreps_in else {}))

    def rotate(self, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> Batch:
        """Each sample rotated: its grids by an octahedral rotation, or its atoms by any, then put on the grid again.

        The clean grids of rotated atoms are exact, so they show the error of an interpolated field.
        """
        if self.group == "octahedral":
            return super().rotate(batch, rotation)
        inputs = {k: action.rotate(self.irreps_in.get(k, "0e"), rotation, v) for k, v in batch.inputs.items()}
        clean = voxels.voxelise(inputs["positions"], inputs["numbers"], self.grid)
        if "noise" in inputs:
            inputs["grid"] = clean + self.settings.sigma * inputs["noise"]
        return replace(batch, inputs=inputs, targets={"density": clean})

    def under_all_rotations(self) -> VoxelDenoising | None:
        """The task with the action on atoms and noise; None if its own action is one of all rotations."""
        if self.group == "SO3":
            return None
        return VoxelDenoising(self.settings.model_copy(update={"action": "atoms"}), self._data)

    def training_batch(
        self,
        index: Int[Array, " sample"],
        rng: np.random.Generator,
        rotation: Float[Tensor, "sample 3 3"] | None,
        device: torch.device | str,
    ) -> Batch:
        """Samples on the grid, on the device: atoms rotated, then shifted, with new shifts and noise."""
        shift = torch.from_numpy(rng.uniform(-1, 1, (len(index), 3))).float()
        numbers, positions = self._posed_atoms(index, rotation, shift, device)
        clean = voxels.voxelise(positions, numbers, self.grid)
        noise = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        return self._noisy(clean, torch.randn(clean.shape, generator=noise, device=device))

    def _pose(self, random: list[np.random.Generator]) -> tuple[Float[Tensor, "sample 3 3"], Float[Tensor, "sample 3"]]:
        """Uniform rotation and shift of each sample; the shift is relative to the largest one."""
        rotation = so3.matrix(torch.from_numpy(np.stack([r.normal(size=4) for r in random]))).float()
        return rotation, torch.from_numpy(np.stack([r.uniform(-1, 1, 3) for r in random])).float()

    def _largest_radius(self) -> float:
        """Largest distance of an atom from the mean of its molecule [Å], computed block by block."""
        index = np.arange(len(self._molecules))
        blocks = (index[i : i + BLOCK] for i in range(0, len(index), BLOCK))
        return max(voxels.largest_radius(torch.from_numpy(self._atoms(block)[1])) for block in blocks)

    def _atoms(self, index: Int[Array, " sample"]) -> tuple[Int[Array, "sample atom"], Float[Array, "sample atom 3"]]:
        """Atomic numbers and positions [Å], padded with 0 to the largest molecule, centred on the mean of the atoms."""
        real, (numbers, positions) = self._molecules.padded(index)
        centred = positions - positions.sum(1, keepdims=True) / real.sum(1)[:, None, None]
        return numbers.astype(np.int64), np.where(real[..., None], centred, 0).astype(np.float32)

    def _posed_atoms(
        self,
        index: Int[Array, " sample"],
        rotation: Float[Tensor, "sample 3 3"] | None,
        shift: Float[Tensor, "sample 3"],
        device: torch.device | str = "cpu",
    ) -> tuple[Int[Tensor, "sample atom"], Float[Tensor, "sample atom 3"]]:
        """Atomic numbers and positions [Å] of molecules, rotated, then shifted by `shift` times the largest shift."""
        numbers, positions = (torch.from_numpy(a).to(device) for a in self._atoms(index))
        if rotation is not None:
            positions = positions @ rotation.to(positions).mT
        return numbers, positions + self.settings.shift * shift.to(positions)[:, None]

    def _noisy(self, clean: Float[Tensor, "sample size size size channel"], noise: Tensor) -> Batch:
        """Batch of clean grids and unit noise; every voxel has the same weight."""
        weights = torch.full(clean.shape[:-1], 1 / self.settings.size**3, device=clean.device)
        inputs = {"grid": clean + self.settings.sigma * noise}
        return Batch(inputs=inputs, targets={"density": clean}, weights={"density": weights})


def _random(index: Int[Array, " sample"]) -> list[np.random.Generator]:
    """Random numbers of the samples in the measurement: pose first, then noise."""
    return [np.random.default_rng([0x70CE1, i]) for i in index.tolist()]

"""Molecules on a cubic grid: a Gaussian blob per atom, a channel per element, values from 0 to 1; and back to atoms.

Centres of voxels are symmetric about the origin. So for the 24 rotations of a cube the grid of the rotated molecule is
exactly the rotated grid. Tensors have the layout `[sample, x, y, z, channel]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from .._typing import Array, Float, Int, Tensor
from ..errors import Deferred, UserError

optimize = Deferred("scipy.optimize")
PEAK_THRESHOLD = 0.25  # least value of a peak; the centre of an atom has 1, a voxel half a diagonal away 0.5 or more
TOLERANCE = 0.5  # [Å] largest distance between an atom and its peak; half of a short bond
WIDTH = 0.93  # width of a blob over the radius of its atom: g(r) = exp(-(d / (0.93 radius))^2)


def peaks(
    field: Float[Tensor, "size size size channel"], grid: Grid, lowest: float = PEAK_THRESHOLD
) -> tuple[Int[Array, " peak"], Float[Array, "peak 3"]]:
    """Atomic numbers and positions [Å] of the local maxima of all channels.

    A maximum is a voxel higher than its 26 neighbours. Along each axis, its position within the voxel is the maximum of
    the parabola through the logarithms of the voxel and its two neighbours; this is exact for a single blob.

    Args:
        field: all channels of one sample.
        grid: geometry and channels of the field.
        lowest: least value of a maximum.
    """
    order = torch.arange(grid.size**3, dtype=torch.float64).reshape((grid.size,) * 3)
    ranked = field.movedim(-1, 0).double() + 1e-12 * order  # of equal neighbours one is the peak
    values = torch.nn.functional.pad(ranked, [1] * 6)
    around = torch.nn.functional.max_pool3d(values, 3, stride=1)
    inner = values[:, 1:-1, 1:-1, 1:-1]
    place = ((inner >= around) & (inner >= lowest)).nonzero()
    channel, voxel = place[:, 0], place[:, 1:]
    logs, offset = values.clamp_min(1e-6).log(), torch.zeros(len(place), 3, dtype=torch.float64)
    for axis in range(3):
        step = torch.eye(3, dtype=torch.long)[axis]
        below, at, above = (logs[(channel, *(voxel + 1 + k * step).T)] for k in (-1, 0, 1))
        offset[:, axis] = ((above - below) / (2 * (2 * at - below - above).clamp_min(1e-9))).clamp(-0.5, 0.5)
    position = (voxel - (grid.size - 1) / 2 + offset) * grid.resolution
    return np.array(grid.channels)[channel.numpy()], position.numpy()


def count_found_atoms(
    found: tuple[Int[Array, " peak"], Float[Array, "peak 3"]],
    true: tuple[Int[Array, " atom"], Float[Array, "atom 3"]],
    tolerance: float = TOLERANCE,
) -> int:
    """Number of atoms with a peak of their element within the tolerance [Å]; each peak counts for one atom at most."""
    distance = np.linalg.norm(found[1][:, None] - true[1][None], axis=-1)
    wrong = (found[0][:, None] != true[0][None]) | (distance > tolerance)
    rows, columns = optimize.linear_sum_assignment(np.where(wrong, 1.0, 0.0))
    return int((~wrong[rows, columns]).sum())


@dataclass(frozen=True)
class Grid:
    """A cubic grid.

    size: voxels along an edge.
    resolution: edge of a voxel [Å].
    radius: radius of every atom [Å].
    channels: the atomic number of each channel.
    """

    size: int
    resolution: float
    radius: float
    channels: tuple[int, ...]

    def __post_init__(self):
        if len(set(self.channels)) < len(self.channels) or not self.channels:
            raise UserError("channels", "one or more elements, each once", list(self.channels))

    @property
    def box(self) -> float:
        """Edge of the grid [Å]."""
        return self.size * self.resolution

    def centres(self, like: Tensor) -> Float[Tensor, " size"]:
        """Centres of the voxels along an axis [Å], on the device and in the dtype of a tensor."""
        return self.resolution * (torch.arange(self.size, device=like.device, dtype=like.dtype) - (self.size - 1) / 2)

    def channel_of(self, numbers: Int[Tensor, "sample atom"]) -> Int[Tensor, "sample atom"]:
        """The channel of each atom, -1 on padding (atomic number 0).

        Raises:
            UserError: an element without a channel.
        """
        table = torch.full((max(*self.channels, int(numbers.max())) + 1,), -2, device=numbers.device)
        table[0] = -1
        table[list(self.channels)] = torch.arange(len(self.channels), device=numbers.device)
        channel = table[numbers]
        if (channel == -2).any():
            got = sorted(set(numbers[channel == -2].tolist()))
            raise UserError("channels", "a channel for every element of the data", f"none for {got}", [])
        return channel


def voxelise(
    positions: Float[Tensor, "sample atom 3"], numbers: Int[Tensor, "sample atom"], grid: Grid
) -> Float[Tensor, "sample size size size channel"]:
    """Occupancy of each channel, 1 - PROD(1 - g) over its atoms; between 0 and 1, 0 far from all atoms.

    The blobs have no cut-off.

    Args:
        positions: relative to the centre of the grid [Å].
        numbers: atomic numbers, 0 on padding.

    Raises:
        UserError: an element without a channel, or a sample without atoms: its grid would be empty.

    Source: the shape and width of the blobs, Pinheiro et al., arXiv:2306.07473 (VoxMol).
    """
    if not (numbers > 0).any(1).all():
        raise UserError("voxels", "at least one atom in every sample", "a sample without atoms")
    index = grid.channel_of(numbers)
    distance = (positions[..., None] - grid.centres(positions)) / (WIDTH * grid.radius)
    x, y, z = (-distance.square()).exp().unbind(2)  # a Gaussian is a product of functions of x, y and z
    x = torch.where(index[..., None] < 0, torch.zeros_like(x), x)
    samples, atoms = numbers.shape
    free = positions.new_ones(samples, len(grid.channels), grid.size, grid.size, grid.size)
    sample, channel = torch.arange(samples, device=positions.device), index.clamp_min(0)
    for a in range(atoms):  # one atom of every sample at a time: memory does not grow with the atoms
        plane = x[:, a, :, None] * y[:, a, None, :]
        blob = plane[..., None] * z[:, a, None, None, :]
        free[sample, channel[:, a]] *= 1 - blob
    return (1 - free).movedim(1, -1).contiguous()


def largest_radius(positions: Float[Tensor, "sample atom 3"]) -> float:
    """The largest distance of an atom from the origin [Å]; padding lies at the origin."""
    return positions.norm(dim=-1).max().item() if positions.numel() else 0.0


def check_fit(farthest: float, grid: Grid, shift: float) -> None:
    """Check that molecules lie in the grid in every orientation, shifted by up to `shift` [Å] along each axis.

    Args:
        farthest: `largest_radius` of the molecules [Å].
        grid: the grid.
        shift: largest shift along each axis [Å].

    Raises:
        UserError: the grid is too small; the message says how large it must be.
    """
    needed = 2 * (farthest + grid.radius + shift)
    if needed > grid.box * (1 + 1e-6):
        raise UserError(
            "task",
            f"molecules that fit into the grid of {grid.box:g} Å in every orientation",
            f"one that needs {math.ceil(100 * needed) / 100:g} Å; raise size or resolution, or prepare the data with a "
            f"box of {grid.box:g} Å and a margin of {grid.radius + shift:g} Å",
        )

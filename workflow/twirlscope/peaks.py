"""Atoms from fields on a grid: a peak of a channel is an atom of its element. The inverse of `voxels.voxelise`."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from .hints import Array, Float, Int, Tensor
from .voxels import Grid

LOWEST = 0.25  # of a peak that counts; the centre of an atom has 1, a voxel half a diagonal off 0.5 or more
TOLERANCE = 0.5  # [Å] between an atom and its peak; half of a short bond


def peaks(
    field: Float[Tensor, "size size size channel"], grid: Grid, lowest: float = LOWEST
) -> tuple[Int[Array, " peak"], Float[Array, "peak 3"]]:
    """Atomic numbers and positions [Å] of the local maxima of all channels.

    A maximum is higher than its 26 neighbours; within its voxel it lies at that of the parabolas through the
    logarithms of its neighbours along each axis, which is exact for a single blob.
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


def matched(
    found: tuple[Int[Array, " peak"], Float[Array, "peak 3"]],
    true: tuple[Int[Array, " atom"], Float[Array, "atom 3"]],
    tolerance: float = TOLERANCE,
) -> int:
    """Number of atoms with a peak of their element within the tolerance [Å], each peak counted for one atom at most."""
    distance = np.linalg.norm(found[1][:, None] - true[1][None], axis=-1)
    wrong = (found[0][:, None] != true[0][None]) | (distance > tolerance)
    rows, columns = linear_sum_assignment(np.where(wrong, 1.0, 0.0))
    return int((~wrong[rows, columns]).sum())

"""Rotation of fields on a cubic grid: (R v)(r) = v(R^-1 r), exact for the 24 rotations of a cube, or interpolated.

Tensors have the layout `[sample, x, y, z, component]`. The 24 octahedral rotations only permute voxels: no value
changes, white noise stays white noise, and they compose exactly.

Any other rotation needs values between voxels. A trilinear mean of eight neighbours reduces the variance of white noise
to (2/3)^3 = 0.30. A noisy grid rotated in this way no longer resembles the inputs that a network was trained on.
`fourier` keeps white noise white and smooth fields nearly exact.
"""

from __future__ import annotations

import math

import torch

from .._typing import Float, Int, Tensor
from ..errors import UserError
from . import rotation_sets, so3

TOLERANCE = 1e-4  # largest distance of an entry of an octahedral matrix from -1, 0 or 1


def signed_permutation(rotation: Float[Tensor, "sample 3 3"]) -> Int[Tensor, "sample 3 3"]:
    """Octahedral rotations with entries rounded to -1, 0 and 1.

    Raises:
        UserError: a rotation that is not octahedral.
    """
    rounded = rotation.round()
    off = (rotation - rounded).abs().amax((-1, -2))
    one = rounded.abs().sum(-1)
    wrong = (off > TOLERANCE) | (one != 1).any(-1) | (torch.linalg.det(rounded.double()) < 0)
    if wrong.any():
        got = f"{int(wrong.sum())} of {len(wrong)} others, the first is number {int(wrong.nonzero()[0, 0])}"
        raise UserError("rotation of a grid", "one of the 24 rotations of a cube, which rotate a grid exactly", got)
    return rounded.long()


def permute(
    rotation: Float[Tensor, "sample 3 3"], field: Float[Tensor, "sample x y z c"] | Int[Tensor, "sample x y z c"]
) -> Tensor:
    """Each field rotated by its octahedral rotation: a permutation of its voxels.

    Raises:
        UserError: a rotation that is not octahedral, or a grid that is not cubic.
    """
    size = _size(field)
    integer = signed_permutation(rotation).to(field.device)
    steps = torch.tensor([size * size, size, 1], device=field.device)
    step = (integer * steps).sum(-1)  # in memory, from the source of a voxel to that of the next one along each axis
    twice = 2 * torch.arange(size, device=field.device) - (size - 1)
    x, y, z = (step[:, :, None] * twice).unbind(1)
    middle = (size - 1) * int(steps.sum())
    source = (x[:, :, None, None] + y[:, None, :, None] + z[:, None, None, :] + middle) // 2
    first = torch.arange(len(field), device=field.device) * size**3
    rows = (source.flatten(1) + first[:, None]).flatten()
    return field.reshape(-1, field.shape[-1]).index_select(0, rows).reshape(field.shape)


def trilinear(rotation: Float[Tensor, "sample 3 3"], field: Float[Tensor, "sample x y z c"]) -> Tensor:
    """Each field rotated by any rotation, with trilinear interpolation between voxels and 0 outside of the grid.

    NOT a group action: a rotation followed by its inverse smooths the field.

    Raises:
        UserError: a grid that is not cubic.
    """
    size, n = _size(field), len(field)
    middle = (size - 1) / 2
    axis = torch.arange(size, device=field.device, dtype=field.dtype) - middle
    target = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    source = target @ rotation.to(field) + middle  # rows r^T R = (R^-1 r)^T
    low = source.floor()
    share = source - low
    flat, first = field.reshape(n * size**3, -1), torch.arange(n, device=field.device)[:, None] * size**3
    total = 0
    for corner in range(8):
        bits = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1], device=field.device)
        place = low.long() + bits
        weight = torch.where(bits.bool(), share, 1 - share).prod(-1)
        inside = ((place >= 0) & (place < size)).all(-1)
        x, y, z = place.clamp(0, size - 1).unbind(-1)
        rows = (x * size + y) * size + z + first
        values = flat.index_select(0, rows.flatten()).reshape(n, size**3, -1)
        total = total + (weight * inside)[..., None] * values
    return total.reshape(field.shape)


def fourier(rotation: Float[Tensor, "sample 3 3"], field: Float[Tensor, "sample x y z c"]) -> Tensor:
    """Each field rotated by any rotation in an orthogonal way: white Gaussian noise stays white Gaussian noise.

    The nearest octahedral rotation comes first, then three shears for each of the remaining Euler angles. A shear
    shifts every line of voxels by a fraction of a voxel, by Fourier transform. Nearly exact for fields that are smooth
    on the scale of a voxel and lie within the sphere in the grid; corners are wrapped around. NOT a group action: a
    rotation followed by its inverse gives the field again only to the same accuracy.

    Raises:
        UserError: a grid that is not cubic.

    Source: Paeth, Graphics Interface (1986), for a rotation as three shears.
    """
    _size(field)
    cube = so3.matrix(rotation_sets.rotation_set("O").quaternion).to(rotation)
    nearest = cube[torch.einsum("sij,oij->so", rotation, cube).argmax(1)]
    field = permute(nearest, field)
    left = (rotation @ nearest.mT).to(field)  # R_z R_y R_x, by angles below 90 degrees
    angles = (
        torch.atan2(left[:, 2, 1], left[:, 2, 2]),
        -torch.asin(left[:, 2, 0].clamp(-1, 1)),
        torch.atan2(left[:, 1, 0], left[:, 0, 0]),
    )
    for axis, angle in enumerate(angles):
        u, v = (axis + 1) % 3 + 1, (axis + 2) % 3 + 1  # the plane that rotates
        for along, across, slope in (
            (u, v, -(angle / 2).tan()),
            (v, u, angle.sin()),
            (u, v, -(angle / 2).tan()),
        ):
            field = _sheared(field, along, across, slope)
    return field


def _sheared(
    field: Float[Tensor, "sample x y z c"], along: int, across: int, slope: Float[Tensor, " sample"]
) -> Tensor:
    """The field with lines along one axis shifted periodically by slope times the coordinate across.

    Orthogonal for every slope.
    """
    size = field.shape[along]
    lines = field.movedim((along, across), (-1, -2))
    shift = slope[:, None] * (torch.arange(size, device=field.device, dtype=field.dtype) - (size - 1) / 2)
    frequency = torch.arange(size // 2 + 1, device=field.device, dtype=field.dtype) / size
    if size % 2 == 0:
        frequency[-1] = 0  # the highest frequency has no phase in real numbers: it is not shifted, so nothing is lost
    phase = -2 * math.pi * shift[:, None, None, :, None] * frequency
    shifted = torch.fft.irfft(torch.fft.rfft(lines) * torch.polar(torch.ones_like(phase), phase), n=size)
    return shifted.movedim((-1, -2), (along, across))


def _size(field: Tensor) -> int:
    """Voxels along an edge. Raises UserError."""
    if field.ndim != 5 or len(set(field.shape[1:4])) != 1:
        raise UserError("grid", "a tensor [sample, x, y, z, component] with equal edges", f"shape {list(field.shape)}")
    return field.shape[1]

"""Rotations: Haar-distributed, the Euler product that is not, and the finite groups. Matrices act on columns."""

from __future__ import annotations

import math

import torch
from scipy.spatial.transform import Rotation

from .hints import Float, Tensor

GROUPS = {"D2": "D2", "T": "T", "O": "O", "I": "I"}  # 4, 12, 24, 60 rotations; exact to degree 1, 2, 3, 5


def matrix(quaternion: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices of quaternions, scalar first, of any length but 0."""
    w, x, y, z = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(r, -1) for r in rows], -2)


def haar(*shape: int, generator: torch.Generator) -> Float[Tensor, "*b 4"]:
    """Independent rotations, uniform on SO(3), as unit quaternions in float64, scalar first.

    Source: Shoemake, Graphics Gems III (1992): a normalised Gaussian 4-vector is uniform on the sphere.
    """
    quaternion = torch.randn(*shape, 4, dtype=torch.float64, generator=generator)
    return quaternion / quaternion.norm(dim=-1, keepdim=True)


def euler_product(*shape: int, generator: torch.Generator) -> Float[Tensor, "*b 4"]:
    """R_z R_y R_x with three independent uniform angles, as unit quaternions.

    NOT Haar (degrees 2 and 4 are biased), but what published code for voxels draws; offered to reproduce it.
    """
    half = math.pi * torch.rand(3, *shape, dtype=torch.float64, generator=generator)
    one, zero = torch.ones_like(half[0]), torch.zeros_like(half[0])
    x = torch.stack([half[0].cos() * one, half[0].sin(), zero, zero], -1)
    y = torch.stack([half[1].cos(), zero, half[1].sin(), zero], -1)
    z = torch.stack([half[2].cos(), zero, zero, half[2].sin()], -1)
    return product(z, product(y, x))


def product(a: Float[Tensor, "*b 4"], b: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """Quaternion product: first b, then a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def group(name: str) -> Float[Tensor, "n 4"]:
    """The rotations of a finite group, as unit quaternions, scalar first. Source: scipy `Rotation.create_group`."""
    quaternion = Rotation.create_group(GROUPS[name]).as_quat(scalar_first=True)
    return torch.from_numpy(quaternion)

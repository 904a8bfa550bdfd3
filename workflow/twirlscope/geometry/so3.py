"""Rotations and rotoreflections: quaternions, matrices, and random rotations. Matrices act on columns.

An element of O(3) is a unit quaternion, scalar first, and a parity: 1 for a rotation, -1 for one followed by inversion.
"""

from __future__ import annotations

import math

import torch

from .._typing import Float, Tensor

BISECTIONS = 60  # halve the angle to the rounding of float64


def matrix(quaternion: Float[Tensor, "*b 4"], parity: Tensor | int = 1) -> Float[Tensor, "*b 3 3"]:
    """Matrices of quaternions; the determinant is the parity.

    Args:
        quaternion: scalar first, of any length but 0.
        parity: 1 or -1, for all or for each; -1 gives the rotation followed by inversion, -R.
    """
    w, x, y, z = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    rotation = torch.stack([torch.stack(r, -1) for r in rows], -2)
    return torch.as_tensor(parity, dtype=rotation.dtype, device=rotation.device)[..., None, None] * rotation


def haar(*shape: int, generator: torch.Generator) -> Float[Tensor, "*b 4"]:
    """Independent rotations, uniform on SO(3), as unit quaternions in float64, scalar first.

    Source: Shoemake, Graphics Gems III (1992): a normalised Gaussian 4-vector is uniform on the sphere.
    """
    quaternion = torch.randn(*shape, 4, dtype=torch.float64, generator=generator)
    return quaternion / quaternion.norm(dim=-1, keepdim=True)


def haar_within(angle: float, *shape: int, generator: torch.Generator) -> Float[Tensor, "*b 4"]:
    """Independent rotations, uniform among those of at most this angle [rad], as unit quaternions.

    The angle w of a uniform rotation has the distribution function (w - sin w) / pi, inverted here by bisection.
    """
    share = torch.rand(*shape, dtype=torch.float64, generator=generator) * (angle - math.sin(angle))
    low, high = torch.zeros_like(share), torch.full_like(share, angle)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = middle - middle.sin() < share
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    axis = torch.randn(*shape, 3, dtype=torch.float64, generator=generator)
    return about(axis, (low + high) / 2)


def about(axis: Float[Tensor, "*b 3"], angle: Float[Tensor, "*b"] | float) -> Float[Tensor, "*b 4"]:
    """Rotations by an angle [rad] about axes of any length but 0, as unit quaternions."""
    half = torch.as_tensor(angle, dtype=axis.dtype).expand(axis.shape[:-1])[..., None] / 2
    return torch.cat([half.cos(), half.sin() * axis / axis.norm(dim=-1, keepdim=True)], -1)


def generator(axis: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Derivatives at angle 0 of the rotations about axes of any length but 0: v -> n x v for the unit axis n."""
    x, y, z = (axis / axis.norm(dim=-1, keepdim=True)).unbind(-1)
    zero = torch.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def euler_product(*shape: int, generator: torch.Generator) -> Float[Tensor, "*b 4"]:
    """Rotations R_z R_y R_x with three independent uniform angles, as unit quaternions.

    NOT Haar: degrees 2 and 4 are biased. Published code for voxels draws these rotations; they serve to reproduce it.
    """
    angles = 2 * math.pi * torch.rand(3, *shape, dtype=torch.float64, generator=generator)
    x, y, z = (axis_rotation(axis, angles[axis]) for axis in range(3))
    return product(z, product(y, x))


def axis_rotation(axis: int, angle: Float[Tensor, "*b"]) -> Float[Tensor, "*b 4"]:
    """Rotations by an angle [rad] about the axis x, y or z (0, 1, 2), as unit quaternions."""
    quaternion = angle.new_zeros(*angle.shape, 4)
    quaternion[..., 0], quaternion[..., 1 + axis] = (angle / 2).cos(), (angle / 2).sin()
    return quaternion


def angle(quaternion: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b"]:
    """Angles of rotation [rad], 0 to pi, accurate at both ends; q and -q are the same rotation."""
    return 2 * torch.atan2(quaternion[..., 1:].norm(dim=-1), quaternion[..., 0].abs())


def product(a: Float[Tensor, "*#b 4"], b: Float[Tensor, "*#b 4"]) -> Float[Tensor, "*#b 4"]:
    """Quaternion product, the rotation b followed by a; leading axes broadcast."""
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

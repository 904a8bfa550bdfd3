"""Rotation of tensors: the orthogonal action rho(g) on the last axis of a tensor, from e3nn irreps or their string.

`0e` is a scalar and stays as it is, `1o` is a vector in the order x, y, z, `0e+2e` a symmetric 3x3 tensor (stress), and
so on. The parity gives the sign under inversion: `1e`, a pseudo-vector, keeps it, and `0o`, a pseudo-scalar, changes
it.

`grid 0e` stands for scalar fields on a cubic grid, `[sample, x, y, z, field]`. The octahedral rotations permute their
voxels exactly; other rotations are refused. `trilinear 0e` and `fourier 0e` stand for fields that are interpolated
under any rotation (see `grid_action`).

Rotated tensors are floating-point: in integers, the entries of a rotation would be cut to -1, 0 and 1. Integers (atomic
numbers, labels, masks) are accepted where nothing is computed: under scalars `0e`, and under a permutation of voxels.
"""

from __future__ import annotations

import functools
import re

import torch

from .._typing import Float, Irreps, Tensor
from ..errors import UserError, needs
from . import grid_action

# rotation of the voxels of a field, by the word before its irreps
FIELD_ROTATIONS = {"grid": grid_action.permute, "trilinear": grid_action.trilinear, "fourier": grid_action.fourier}


@functools.lru_cache
def _parse(irreps: str):
    """The e3nn `Irreps` of a string."""
    with needs("equivariant"):
        from e3nn import o3  # imported here: it takes seconds, and scalars and vectors do not need it

    return o3.Irreps(irreps)


def text(irreps: Irreps) -> str:
    """Irreps as a string, from a string or an e3nn `Irreps` or `Irrep`; a multiplicity of 1 is left out (`1o`)."""
    return re.sub(r"\b1x", "", str(irreps)).strip()


def representation(irreps: Irreps, rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b d d"]:
    """The matrices rho(g), block diagonal in the irreps, in e3nn's basis, accurate to the dtype of `rotation`.

    For R of determinant p = +-1 the block of an odd irrep is p D(p R), that of an even one D(p R).

    Args:
        irreps: a string or an e3nn `Irreps`.
        rotation: orthogonal matrices, with or without inversion; they are not checked here.
    """
    irreps = text(irreps)
    if irreps == "1o":
        return rotation
    blocks = [block for mul, ir in _parse(irreps) for block in [_block(ir.l, ir.p, rotation.double())] * mul]
    size = sum(block.shape[-1] for block in blocks)
    matrix = rotation.new_zeros(*rotation.shape[:-2], size, size, dtype=torch.float64)
    start = 0
    for block in blocks:
        end = start + block.shape[-1]
        matrix[..., start:end, start:end] = block
        start = end
    return matrix.to(rotation.dtype)


def field_and_irreps(irreps: Irreps) -> tuple[str, str]:
    """The kind of a field (`grid`, `trilinear`, `fourier`; empty for tensors that are no fields) and the irreps."""
    irreps = text(irreps)
    word, _, rest = irreps.partition(" ")
    return (word, rest) if word in FIELD_ROTATIONS else ("", irreps)


def rotate(irreps: Irreps, rotation: Float[Tensor, "sample 3 3"], tensor: Tensor) -> Tensor:
    """rho(g) applied to the last axis of a tensor.

    Args:
        irreps: of the last axis, as a string or an e3nn `Irreps`; a tensor of irreps `0e` may have any shape.
        rotation: one matrix per sample.
        tensor: `[sample, ..., component]`, with any axes between.

    Raises:
        UserError: the last axis does not fit the irreps, the tensor is of integers and would be rotated, or a grid
            cannot be rotated exactly by a rotation.
    """
    require_floating(f"irreps {text(irreps)}", irreps, tensor)
    kind, irreps = field_and_irreps(irreps)
    if kind:
        tensor = FIELD_ROTATIONS[kind](rotation, tensor)
    if irreps == "0e":
        return tensor
    size = 3 if irreps == "1o" else _parse(irreps).dim
    if tensor.shape[-1:] != (size,):
        raise UserError(f"irreps {irreps}", f"{size} components on the last axis", f"shape {tuple(tensor.shape)}")
    if _all_scalars(irreps):
        return tensor
    matrix = representation(irreps, rotation).to(tensor)
    flat = tensor.reshape(len(tensor), -1, tensor.shape[-1])
    return (flat @ matrix.transpose(-1, -2)).reshape(tensor.shape)


def require_floating(where: str, irreps: Irreps, tensor: Tensor) -> None:
    """Refuses integers and booleans under irreps that rotate, and in fields that are interpolated.

    Raises:
        UserError: it names the irreps and the dtype.
    """
    kind, irreps = field_and_irreps(irreps)
    if tensor.is_floating_point() or tensor.is_complex() or (kind in ("", "grid") and _all_scalars(irreps)):
        return
    got = f"{tensor.dtype}, in which a rotation would be cut to whole numbers; convert the tensor with .float()"
    raise UserError(where, f"a floating-point tensor, as {irreps!r} is rotated", got)


def _all_scalars(irreps: str) -> bool:
    """True for irreps that no rotation and no inversion changes."""
    return irreps == "0e" or (irreps != "1o" and all(ir.l == 0 and ir.p == 1 for _, ir in _parse(irreps)))


def twist(irreps: Irreps, rotation: Float[Tensor, "sample 3 3"], response: Tensor) -> Tensor:
    """The twisted prediction z(g) = rho(g)^-1 f(g x), from the response f(g x) of a model."""
    return rotate(irreps, rotation.transpose(-1, -2), response)


def _block(degree: int, parity: int, rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b d d"]:
    """The matrix of one irrep: the Wigner matrix, times the determinant if the parity is not (-1)^degree."""
    wigner = _wigner(degree, rotation)
    if parity == (-1) ** degree:
        return wigner
    x, y, z = rotation.unbind(-2)
    return (torch.linalg.cross(x, y) * z).sum(-1).sign()[..., None, None] * wigner


@functools.lru_cache
def _fixed_directions(degree: int) -> tuple[Tensor, Tensor]:
    """Fixed directions and the pseudo-inverse of their spherical harmonics of this degree."""
    with needs("equivariant"):
        from e3nn.o3 import spherical_harmonics

    points = torch.randn(4 * degree + 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(degree))
    points = points / points.norm(dim=-1, keepdim=True)
    return points, torch.linalg.pinv(spherical_harmonics(degree, points, normalize=False))


def _wigner(degree: int, rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b d d"]:
    """Wigner matrix of a degree, from Y(R x) = D(R) Y(x) on fixed directions.

    e3nn's own `D_from_matrix` uses Euler angles and constants in single precision. Its error of 1e-6 would exceed the
    rounding error of an equivariant model in float64.
    """
    with needs("equivariant"):
        from e3nn.o3 import spherical_harmonics

    points, inverse = (t.to(rotation.device) for t in _fixed_directions(degree))
    turned = spherical_harmonics(degree, points @ rotation.transpose(-1, -2), normalize=False)
    return (inverse @ turned).transpose(-1, -2)

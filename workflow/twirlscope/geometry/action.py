"""How tensors turn: the orthogonal action rho(g) on the last axis of a tensor, from an e3nn irreps string.

`0e` does not turn, `1o` is a vector in the order x, y, z, `0e+2e` a symmetric 3x3 tensor (stress), and so on. The
parity says what inversion does: `1e`, a pseudo-vector, keeps its sign under it, and `0o`, a pseudo-scalar, changes it.

`grid 0e` is scalar fields on a cubic grid, `[sample, x, y, z, field]`: their voxels move, exactly, under the octahedral
rotations and under no others; `trilinear 0e` and `fourier 0e` are fields that are interpolated under any rotation (see
`grid_action`).
"""

from __future__ import annotations

import functools

import torch

from .._typing import Float, Tensor
from ..errors import UserError
from . import grid_action

# words before irreps: how voxels move
FIELD_ROTATIONS = {"grid": grid_action.permute, "trilinear": grid_action.trilinear, "fourier": grid_action.fourier}


@functools.lru_cache
def _parse(irreps: str):
    from e3nn.o3 import Irreps  # here, because importing e3nn takes seconds and scalars and vectors do not need it

    return Irreps(irreps)


def representation(irreps: str, rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b d d"]:
    """The matrices rho(g), block diagonal in the irreps, in e3nn's basis, accurate to the dtype of `rotation`.

    For R of determinant p = +-1 the block of an odd irrep is p D(p R), that of an even one D(p R).

    Args:
        rotation: orthogonal matrices, with inversion or without; `refusals.proper` says whether they are.
    """
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


def field_and_irreps(irreps: str) -> tuple[str, str]:
    """The word before irreps that says how voxels move, empty for what is no field, and the irreps of a value."""
    word, _, rest = irreps.partition(" ")
    return (word, rest) if word in FIELD_ROTATIONS else ("", irreps)


def rotate(irreps: str, rotation: Float[Tensor, "sample 3 3"], tensor: Tensor) -> Tensor:
    """rho(g) applied to the last axis; the first axis of both is the sample, axes between are free.

    A tensor of irreps `0e` may have any shape.

    Raises:
        UserError: the last axis does not fit the irreps, or a rotation does not act on a grid.
    """
    kind, irreps = field_and_irreps(irreps)
    if kind:
        tensor = FIELD_ROTATIONS[kind](rotation, tensor)
    if irreps == "0e":
        return tensor
    size = 3 if irreps == "1o" else _parse(irreps).dim
    if tensor.shape[-1:] != (size,):
        raise UserError(f"irreps {irreps}", f"{size} components on the last axis", f"shape {tuple(tensor.shape)}")
    matrix = representation(irreps, rotation).to(tensor)
    flat = tensor.reshape(len(tensor), -1, tensor.shape[-1])
    return (flat @ matrix.transpose(-1, -2)).reshape(tensor.shape)


def twist(irreps: str, rotation: Float[Tensor, "sample 3 3"], response: Tensor) -> Tensor:
    """The twisted prediction z(g) = rho(g)^-1 f(g x) from the response f(g x)."""
    return rotate(irreps, rotation.transpose(-1, -2), response)


def _block(degree: int, parity: int, rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b d d"]:
    """One irrep: spherical harmonics bring the parity (-1)^degree along, the sign of the determinant the other one."""
    wigner = _wigner(degree, rotation)
    if parity == (-1) ** degree:
        return wigner
    x, y, z = rotation.unbind(-2)
    return (torch.linalg.cross(x, y) * z).sum(-1).sign()[..., None, None] * wigner


@functools.lru_cache
def _frame(degree: int) -> tuple[Tensor, Tensor]:
    """Fixed directions and the pseudo-inverse of their spherical harmonics of this degree."""
    from e3nn.o3 import spherical_harmonics

    points = torch.randn(4 * degree + 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(degree))
    points = points / points.norm(dim=-1, keepdim=True)
    return points, torch.linalg.pinv(spherical_harmonics(degree, points, normalize=False))


def _wigner(degree: int, rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b d d"]:
    """Wigner matrix of a degree from Y(R x) = D(R) Y(x) on fixed directions.

    e3nn's own `D_from_matrix` goes through Euler angles and constants in single precision and is off by 1e-6, which
    would drown the floor of an equivariant model in float64.
    """
    from e3nn.o3 import spherical_harmonics

    points, inverse = (t.to(rotation.device) for t in _frame(degree))
    turned = spherical_harmonics(degree, points @ rotation.transpose(-1, -2), normalize=False)
    return (inverse @ turned).transpose(-1, -2)

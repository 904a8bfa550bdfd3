"""Stress as irreps: a symmetric 3x3 matrix as `0e+2e`, its trace first, then the traceless part in e3nn's order.

The basis is orthonormal under the Frobenius product, so the length of the six components is the norm of the matrix.
The loss `l2` of the components is the Frobenius norm of the error; `mse`, a mean over components, is its square over 6.
"""

from __future__ import annotations

import math

import torch

from .._typing import Float, Tensor

IRREPS = "0e+2e"
COMPONENTS = 6


def basis(like: Tensor) -> Float[Tensor, "6 3 3"]:
    """The six symmetric basis matrices, in the dtype and on the device of a tensor.

    The quadratic forms of the last five are the spherical harmonics of degree 2 in e3nn's order: xz, xy, 2yy-xx-zz,
    yz, zz-xx.
    """
    matrices = torch.zeros(COMPONENTS, 3, 3, dtype=torch.float64)
    matrices[0] = torch.eye(3, dtype=torch.float64) / math.sqrt(3)
    for number, (a, b) in {1: (0, 2), 2: (0, 1), 4: (1, 2)}.items():
        matrices[number, a, b] = matrices[number, b, a] = math.sqrt(0.5)
    matrices[3] = torch.diag(matrices.new_tensor([-1.0, 2.0, -1.0])) / math.sqrt(6)
    matrices[5] = torch.diag(matrices.new_tensor([-1.0, 0.0, 1.0])) / math.sqrt(2)
    return matrices.to(like)


def components(matrix: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 6"]:
    """Components of the symmetric part of a matrix."""
    return torch.einsum("...ij,cij->...c", matrix, basis(matrix))


def matrix(components: Float[Tensor, "*n 6"]) -> Float[Tensor, "*n 3 3"]:
    """The symmetric matrix of these components."""
    return torch.einsum("...c,cij->...ij", components, basis(components))


def volume(cell: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
    """Volume of cells [Å^3]; 0, with finite derivatives, for cells that are not periodic along all three axes."""
    first, second, third = cell.unbind(-2)
    return (torch.linalg.cross(first, second) * third).sum(-1).abs()

"""The 24 rotations of a cube as a group: characters, and the equivariance error by irreducible representations.

Where only these rotations act, as on cubic grids, degrees of SO(3) are not defined, but the five irreps of the group
are: A1 is what does not change under any of them, A2, E, T1 and T2 make the error. Degree 0 of SO(3) holds A1; degree 1
T1; degree 2 E and T2; degree 3 A2, T1 and T2; degree 4 A1, E, T1 and T2: an error of degree 4 is seen only in part.
Source: Serre, Linear Representations of Finite Groups (1977), chapters 2 and 5.
"""

from __future__ import annotations

import numpy as np

from . import so3
from .hints import Array, Float, Tensor

IRREPS = {"A1": 1, "A2": 1, "E": 2, "T1": 3, "T2": 3}  # and their dimensions


def characters(quaternion: Float[Tensor, "*b 4"]) -> Float[Array, " irrep *b"]:
    """Characters of the five irreps at octahedral rotations.

    From the matrix R, a permutation of the axes with signs: T1 is its trace, A2 the sign of the permutation, and the
    permutation itself is A1 + E.
    """
    matrix = so3.matrix(quaternion).numpy().round()
    trace, axes = (np.trace(m, axis1=-2, axis2=-1) for m in (matrix, np.abs(matrix)))
    sign = np.linalg.det(np.abs(matrix)).round()
    return np.stack([np.ones_like(trace), sign, axes - 1, trace, trace * sign])


def relative(quaternion: Float[Tensor, "n 4"]) -> Float[Array, "irrep n n"]:
    """Characters at g_i^-1 g_j, times the dimension of their irrep."""
    inverse = quaternion * quaternion.new_tensor([1, -1, -1, -1])
    found = characters(so3.product(inverse[:, None], quaternion))
    return found * np.array(list(IRREPS.values()))[:, None, None]


def spectrum(gram: Float[Array, "*b n n"], quaternion: Float[Tensor, "n 4"]) -> Float[Array, "*b irrep"]:
    """Part of the mean square of z in each irrep, exact: q = d / 24^2 SUM_ij chi(g_i^-1 g_j) <z_i, z_j>.

    Without A1 they sum to the equivariance error.

    Args:
        gram: <z_i, z_j>, of all 24 rotations.
        quaternion: the rotations, each once, in that order.
    """
    return np.einsum("...ij,kij->...k", gram, relative(quaternion)) / len(quaternion) ** 2


def alpha(quaternion: Float[Tensor, "n 4"]) -> Float[Array, " irrep"]:
    """What averaging over a set of octahedral rotations lets through of each irrep, on average over random offsets."""
    return relative(quaternion).mean((1, 2)) / np.array(list(IRREPS.values())) ** 2

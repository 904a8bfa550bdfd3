"""Panel under the 24 rotations of a cube: equivariance error by irrep of the group, and loss after twirling.

On cubic grids only these rotations act. Degrees of SO(3) are then not defined, but the five irreps of the group are. A1
is invariant; A2, E, T1 and T2 make up the equivariance error. Degree 0 of SO(3) contains A1, degree 1 T1, degree 2 E
and T2, degree 3 A2, T1 and T2, and degree 4 A1, E, T1 and T2. So an error of degree 4 is seen only in part.

The average over the whole group is exact, so no replicates are needed. The molecules themselves are randomly oriented,
so the mean over samples is a mean over all orientations.

Source: Serre, Linear Representations of Finite Groups (1977), chapters 2 and 5.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from .._typing import Array, Float, Tensor
from ..estimators.bootstrap import standard_error
from ..geometry import rotation_sets, so3
from ..geometry.rotation_sets import INDEPENDENT

IRREPS = {"A1": 1, "A2": 1, "E": 2, "T1": 3, "T2": 3}  # dimension by irrep
SUBGROUPS = ("D2", "T", "O")  # rotation sets that are subgroups


def characters(quaternion: Float[Tensor, "*b 4"]) -> Float[Array, " irrep *b"]:
    """Characters of the five irreps at octahedral rotations.

    They follow from the matrix R, a signed permutation of the axes. T1 is the trace of R, A2 the sign of the
    permutation, and the permutation without signs is A1 + E.
    """
    matrix = so3.matrix(quaternion).numpy().round()
    trace, axes = (np.trace(m, axis1=-2, axis2=-1) for m in (matrix, np.abs(matrix)))
    sign = np.linalg.det(np.abs(matrix)).round()
    return np.stack([np.ones_like(trace), sign, axes - 1, trace, trace * sign])


def relative_characters(quaternion: Float[Tensor, "n 4"]) -> Float[Array, "irrep n n"]:
    """Characters at g_i^-1 g_j, each times the dimension of its irrep."""
    inverse = quaternion * quaternion.new_tensor([1, -1, -1, -1])
    found = characters(so3.product(inverse[:, None], quaternion))
    return found * np.array(list(IRREPS.values()))[:, None, None]


def spectrum(gram: Float[Array, "*b n n"], quaternion: Float[Tensor, "n 4"]) -> Float[Array, "*b irrep"]:
    """Exact part of the mean square of z in each irrep: q = d / 24^2 SUM_ij chi(g_i^-1 g_j) <z_i, z_j>.

    The parts without A1 sum to the equivariance error.

    Args:
        gram: <z_i, z_j> for all 24 rotations.
        quaternion: the rotations, each once, in the order of `gram`.
    """
    return np.einsum("...ij,kij->...k", gram, relative_characters(quaternion)) / len(quaternion) ** 2


def alpha(quaternion: Float[Tensor, "n 4"]) -> Float[Array, " irrep"]:
    """Share of each irrep that remains after averaging over octahedral rotations, as a mean over random offsets."""
    return relative_characters(quaternion).mean((1, 2)) / np.array(list(IRREPS.values())) ** 2


def summarise(
    data: xr.Dataset,
    errors: Float[Array, "step term panel n n"],
    quaternion: Float[Tensor, "n 4"],
) -> xr.Dataset:
    """The dataset with spectrum, equivariance error and predicted losses of twirling added.

    Args:
        data: the panel, with the clusters of its samples.
        errors: <z_i - y, z_j - y> under every rotation of the group.
        quaternion: the rotations.
    """
    q, both = np.moveaxis(spectrum(errors, quaternion), -1, 2), ("step", "term")
    value, error = q.mean(-1), standard_error(q, data["panel_cluster"].values)
    sets = [rotation_sets.rotation_set(name) for name in SUBGROUPS]
    weight = np.stack([alpha(s.quaternion) for s in sets])
    last, counts = value[-1], np.array([*INDEPENDENT.values()])
    independent = last[:, 0] + last[:, 1:].sum(-1) / counts[:, None]  # rotations of the group, drawn with replacement
    found = {
        "irrep_spectrum": ((*both, "irrep"), value),
        "irrep_spectrum_error": ((*both, "irrep"), error),
        "panel_loss_equiv": (both, value[..., 1:].sum(-1)),
        "twirled_loss_predicted": (("rotation_set", "term"), np.concatenate([weight @ last.T, independent])),
        "passes": (("rotation_set",), np.array([*(len(s) for s in sets), *counts], np.int64)),
    }
    names = {"irrep": list(IRREPS), "rotation_set": [*SUBGROUPS, *INDEPENDENT]}
    return data.assign(found).assign_coords({k: np.array(v, object) for k, v in names.items()})

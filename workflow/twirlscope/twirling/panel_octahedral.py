"""A panel under the 24 rotations of a cube: equivariance error by irreducible representation, and what twirling leaves.

Where only these rotations act, as on cubic grids, degrees of SO(3) are not defined, but the five irreps of the group
are: A1 does not change under any of them; A2, E, T1 and T2 make the error. Degree 0 of SO(3) holds A1; degree 1
T1; degree 2 E and T2; degree 3 A2, T1 and T2; degree 4 A1, E, T1 and T2: an error of degree 4 is seen only in part.
The whole group is an exact average, so no replicates are needed; the molecules' own random orientations make the mean
over samples one over all orientations.

Source: Serre, Linear Representations of Finite Groups (1977), chapters 2 and 5.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from .._typing import Array, Float, Tensor
from ..estimators import bootstrap
from ..geometry import rotation_sets, so3
from ..geometry.rotation_sets import INDEPENDENT
from ..settings.twirl import TwirlSettings

IRREPS = {"A1": 1, "A2": 1, "E": 2, "T1": 3, "T2": 3}  # and their dimensions
SUBGROUPS = ("D2", "T", "O")  # rotation sets within the group


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


def summarise(
    data: xr.Dataset,
    errors: Float[Array, "step term panel n n"],
    quaternion: Float[Tensor, "n 4"],
    settings: TwirlSettings,
) -> xr.Dataset:
    """The data with spectrum, equivariance error and predicted losses of twirling.

    Args:
        errors: <z_i - y, z_j - y> under every rotation of the group.
        quaternion: the rotations.
        settings: number and seed of the bootstrap resamples.
    """
    q, both = spectrum(errors, quaternion), ("step", "term")
    pooled = bootstrap.pooled(np.moveaxis(q, -1, 2), settings.resamples, settings.seed)
    sets = [rotation_sets.rotation_set(name) for name in SUBGROUPS]
    weight = np.stack([alpha(s.quaternion) for s in sets])
    last, few = pooled.value[-1], np.array([*INDEPENDENT.values()])
    drawn = last[:, 0] + last[:, 1:].sum(-1) / few[:, None]  # independent rotations of the group, with replacement
    found = {
        "irrep_spectrum": ((*both, "irrep"), pooled.value),
        "irrep_spectrum_error": ((*both, "irrep"), pooled.error),
        "panel_loss_equiv": (both, pooled.value[..., 1:].sum(-1)),
        "twirled_loss_predicted": (("rotation_set", "term"), np.concatenate([weight @ last.T, drawn])),
        "passes": (("rotation_set",), np.array([*(len(s) for s in sets), *few], np.int64)),
    }
    names = {"irrep": list(IRREPS), "rotation_set": [*SUBGROUPS, *INDEPENDENT]}
    return data.assign(found).assign_coords({k: np.array(v, object) for k, v in names.items()})

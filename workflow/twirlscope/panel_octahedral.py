"""What follows from a panel under all 24 rotations of a cube: the spectrum by irreps, and what twirling would leave.

The whole group is an exact average, so no replicates are needed; the molecules' own random orientations are what makes
the mean over samples one over all orientations.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from . import estimators, octahedral, rotation_sets
from .hints import Array, Float, Tensor
from .rotation_sets import INDEPENDENT
from .settings.twirl import TwirlSettings

SUBGROUPS = ("D2", "T", "O")  # rotation sets within the group


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
    q, both = octahedral.spectrum(errors, quaternion), ("step", "term")
    pooled = estimators.pooled(np.moveaxis(q, -1, 2), settings.draws, settings.seed)
    sets = [rotation_sets.rotation_set(name) for name in SUBGROUPS]
    alpha = np.stack([octahedral.alpha(s.quaternion) for s in sets])
    last, few = pooled.value[-1], np.array([*INDEPENDENT.values()])
    drawn = last[:, 0] + last[:, 1:].sum(-1) / few[:, None]  # independent rotations of the group, with replacement
    found = {
        "irrep_spectrum": ((*both, "irrep"), pooled.value),
        "irrep_spectrum_error": ((*both, "irrep"), pooled.error),
        "panel_loss_equiv": (both, pooled.value[..., 1:].sum(-1)),
        "twirled_loss_predicted": (("rotation_set", "term"), np.concatenate([alpha @ last.T, drawn])),
        "passes": (("rotation_set",), np.array([*(len(s) for s in sets), *few], np.int64)),
    }
    names = {"irrep": list(octahedral.IRREPS), "rotation_set": [*SUBGROUPS, *INDEPENDENT]}
    return data.assign(found).assign_coords({k: np.array(v, object) for k, v in names.items()})

"""What periodic frames have beyond molecules, cells and stresses: stored, and as a force-field task hands them out."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from ..._typing import Array, Sequence
from ...geometry import stress


def table(lattices: Sequence[Array], stresses: Sequence[Array | None]) -> xr.Dataset:
    """Cells and stresses of the frames of a part, also where it has none: another part may."""
    unknown = np.full((3, 3), np.nan)
    each = np.array([unknown if s is None else s for s in stresses], np.float32)
    return xr.Dataset(
        {
            "cell": (("sample", "lattice", "xyz"), np.array(lattices, np.float32)),
            "stress": (("sample", "xyz", "xyz_other"), each),
        }
    )


def finished(data: xr.Dataset) -> xr.Dataset:
    """The data without `cell` where no frame is periodic, and with `stress` only where training frames have one."""
    if "cell" not in data:
        return data
    if not data["cell"].values.any():
        return data.drop_vars(["cell", "stress"])
    train = data["stress"].values[data["split"].values == 0].astype(np.float64)
    squares = (train[np.isfinite(train).all((1, 2))] ** 2).sum((1, 2))
    if not squares.any():
        return data.drop_vars("stress")
    return data.assign(stress_scale=((), math.sqrt(squares.mean() / stress.COMPONENTS)))

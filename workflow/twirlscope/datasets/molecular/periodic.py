"""Cells and stresses of periodic frames, as stored variables."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from ..._typing import Array, Sequence

COMPONENTS = len(np.tril_indices(3)[0])  # independent ones of a stress, a symmetric matrix


def to_dataset(lattices: Sequence[Array], stresses: Sequence[Array | None]) -> xr.Dataset:
    """Cells and stresses of the frames of a part, also if it has none, as another part may have some."""
    unknown = np.full((3, 3), np.nan)
    known = np.array([unknown if s is None else s for s in stresses], np.float32)
    return xr.Dataset(
        {
            "cell": (("sample", "lattice", "xyz"), np.array(lattices, np.float32)),
            "stress": (("sample", "xyz", "xyz_other"), known),
        }
    )


def finish(data: xr.Dataset) -> xr.Dataset:
    """Data without `cell` if no frame is periodic, and with `stress` and its scale only if training frames have one."""
    if "cell" not in data:
        return data
    if not data["cell"].values.any():
        return data.drop_vars(["cell", "stress"])
    train = data["stress"].values[data["split"].values == 0].astype(np.float64)
    squares = (train[np.isfinite(train).all((1, 2))] ** 2).sum((1, 2))
    if not squares.any():
        return data.drop_vars("stress")
    return data.assign(stress_scale=((), math.sqrt(squares.mean() / COMPONENTS)))

"""Charge and spin multiplicity of frames, as stored variables."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ..._typing import Mapping, Sequence

NAMES = {"charge": ("charge", "total_charge"), "spin": ("spin", "multiplicity", "spin_multiplicity")}


def of_values(values: Mapping[str, Any]) -> dict[str, float]:
    """Charge and spin multiplicity among the values of a frame; NaN where there is none."""
    found = {}
    for name, keys in NAMES.items():
        given = [values[k] for k in keys if k in values and np.size(values[k]) == 1]
        known = given and np.asarray(given[0]).dtype.kind in "if"
        found[name] = float(np.asarray(given[0]).item()) if known else np.nan
    return found


def to_dataset(charges: Sequence[float], spins: Sequence[float]) -> xr.Dataset:
    """Charges and spins of the frames of a part, also if it has none, as another part may have some."""
    given = {"charge": charges, "spin": spins}
    return xr.Dataset({name: ("sample", np.array(values, np.float64)) for name, values in given.items()})


def finish(data: xr.Dataset) -> xr.Dataset:
    """Data without charges or spins where no frame has one."""
    return data.drop_vars([n for n in NAMES if n in data and np.isnan(data[n].values).all()])

"""Every array that is ever stored, by name. A stage imports the declarations of its own store alone (`arrays/`)."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from . import store
from .arrays.data import DATA
from .arrays.gradient import GRADIENT
from .arrays.hessian import HESSIAN
from .arrays.train import TRAIN
from .arrays.twirl import TWIRL

VARIABLES = DATA | TRAIN | TWIRL | HESSIAN | GRADIENT


def save(data: xr.Dataset, path: str | Path) -> None:
    """Write a dataset of any kind of store; raises as `store.save`."""
    store.save(data, path, VARIABLES)

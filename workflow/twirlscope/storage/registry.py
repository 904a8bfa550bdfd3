"""Declarations of all stored arrays, by name. A stage imports only those of its own store (`arrays/`)."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from . import store
from .arrays.data import DATA
from .arrays.dynamics import DYNAMICS
from .arrays.gradient import GRADIENT
from .arrays.hessian import HESSIAN
from .arrays.layers import LAYERS
from .arrays.train import TRAIN
from .arrays.twirl import TWIRL

VARIABLES = DATA | TRAIN | TWIRL | HESSIAN | GRADIENT | LAYERS | DYNAMICS


def save(data: xr.Dataset, path: str | Path) -> None:
    """Write a dataset of any kind of store.

    Raises:
        ValueError: a variable that is not declared, or has other dimensions or another dtype.
        UserError: the disk is full or not writable; nothing is left behind.
    """
    store.save(data, path, VARIABLES)

"""Base class of datasets, and what they return to the stage `prepare`.

A dataset is ONE file with one subclass of `Dataset` and its `Settings`, like the other plug-ins (see `contracts`).
Torch is not imported here: without it, jobs that read files start in a fraction of the time and of the memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import xarray as xr

from ._typing import Array, Int
from .errors import UserError
from .settings.prepare import DatasetSettings

EVERY = "all"  # samples of an external run, in place of the name of a split


@dataclass(frozen=True)
class Reject:
    """A record that cannot be used: its source (file or molecule), its index there, and the reason."""

    source: str
    index: int
    reason: str


@dataclass
class Part:
    """Result of one job of `prepare`: samples (variables of the dataset's kind) and rejects."""

    samples: xr.Dataset | None
    rejects: list[Reject] = field(default_factory=list)


class Dataset(ABC):
    """A source of samples, determined by settings and seed, whatever the number of parts and cores.

    Args:
        settings: an instance of `Settings`.
    """

    Settings: ClassVar[type[DatasetSettings]]
    kind: ClassVar[str]  # kind of its samples, e.g. "frames"; `storage/arrays/data.py` declares the variables

    def __init__(self, settings: DatasetSettings):
        self.settings = settings

    def files(self) -> list[Path]:
        """The files of the user that it reads. They must exist before any job starts; changes rerun `prepare`."""
        return []

    def splits(self) -> list[str]:
        """Names of its splits."""
        return ["train", "test"]

    @abstractmethod
    def read(self, part: int) -> Part:
        """The samples of part number `part` of `settings.parts`."""

    @abstractmethod
    def finish(self, data: xr.Dataset) -> xr.Dataset:
        """All samples with their `split`, and the quantities computed on the training split (scales, references)."""


def split_index(data: xr.Dataset, name: str) -> Int[Array, " sample"]:
    """Indices of the samples of a split.

    Raises:
        ValueError: the data have no such split.
    """
    names = data["split"].attrs["flag_meanings"].split()
    if name not in names:
        raise ValueError(f"split {name!r} is not among {names}")
    return np.flatnonzero(data["split"].values == names.index(name))


def external_index(data: xr.Dataset, name: str, where: str) -> Int[Array, " sample"]:
    """Indices of the samples of a split, or of all for `all`: no sample was used to train an external model here.

    Args:
        where: key path of the split, for the error.

    Raises:
        UserError: the data have no such split.
    """
    if name == EVERY:
        return np.arange(data.sizes["sample"])
    try:
        return split_index(data, name)
    except ValueError as error:
        known = [*data["split"].attrs["flag_meanings"].split(), EVERY]
        raise UserError(where, "a split of the data", repr(name), known) from error

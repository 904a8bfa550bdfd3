"""Frames from a SPICE file: HDF5, a group a molecule, in atomic units; read in parts, so that none is ever whole.

The energies are total ones, of 10^4 eV and more; the element references that every dataset of frames is given take out
what the composition explains. Molecules are told apart by their SMILES without atom maps, so that a molecule that
occurs in several subsets is on one side of the split.

Source: Eastman et al., Scientific Data 10, 11 (2023), doi 10.1038/s41597-022-01882-6; layout of the released files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..contracts import Part, Reject
from ..errors import UserError
from ..settings.base import key
from ..settings.prepare import DatasetSettings
from .molecular import frames
from .molecular.frames import BOHR, HARTREE, Frame

if TYPE_CHECKING:
    import h5py

UNITS = {"conformations": "bohr", "dft_total_energy": "hartree", "dft_total_gradient": "hartree/bohr"}
ATOM_MAP = re.compile(r":\d+\]")
STRIDE = 1 << 20  # more conformations than a molecule has: frames are ordered by molecule, then by conformation


class Spice(frames.Frames):
    """All conformations of all molecules of a file, in the order of the names of its groups."""

    class Settings(DatasetSettings):
        """Which file, and what of it."""

        file: str = key(..., "SPICE HDF5 file", min_length=1)
        subsets: list[str] = key([], "subsets taken, by how their names begin; empty takes all")
        labels: str = key("ωB97M-D3(BJ)/def2-TZVPPD (SPICE)", "level of theory, in words; the report prints it")
        parts: int = key(16, "jobs the file is read in; the memory of one is that of a part of the frames", ge=1)
        split_by: Literal["frame", "molecule"] = key(
            "molecule", "what is held out: all conformations of a molecule, or single frames"
        )

    def files(self) -> list[Path]:
        """The file."""
        return [Path(self.settings.file)]

    def read(self, part: int) -> Part:
        """A run of the groups.

        Raises:
            UserError: the file cannot be read, has other units, or has none of the subsets.
        """
        found, lost = [], []
        with self._open() as file:
            names = sorted(file)
            for place in np.array_split(np.arange(len(names)), self.settings.parts)[part].tolist():
                for index, frame in enumerate(self._frames(file[names[place]], place)):
                    if isinstance(frame, str):
                        lost.append(Reject(f"{self.settings.file}:{names[place]}", index, frame))
                    else:
                        found.append(frame)
        samples = frames.table(found)
        if samples is not None:
            samples.attrs = {"labels": self.settings.labels, "source": self.settings.file}
        return Part(samples, lost)

    def _open(self) -> h5py.File:
        """The file, open for reading."""
        import h5py

        try:
            return h5py.File(self.settings.file)
        except OSError as error:
            raise UserError(self.settings.file, "an HDF5 file that can be read", error) from error

    def _frames(self, group: h5py.Group, place: int) -> list[Frame | str]:
        """The conformations of a molecule in eV and Å; for one that cannot be used, why."""
        if self.settings.subsets and not _text(group, "subset").startswith(tuple(self.settings.subsets)):
            return []
        missing = [n for n in ("atomic_numbers", *UNITS) if n not in group]
        if missing:
            return [f"no dataset {missing[0]!r}"]
        positions, energy, gradient = (_values(group, name) for name in UNITS)
        numbers = group["atomic_numbers"][()]
        molecule = ATOM_MAP.sub("]", _text(group, "smiles")) or group.name.strip("/")
        if not len(positions) == len(energy) == len(gradient):
            return [f"{len(positions)} conformations, {len(energy)} energies, {len(gradient)} gradients"]
        each = zip(positions * BOHR, gradient * (-HARTREE / BOHR), energy * HARTREE, strict=True)
        start = place * STRIDE
        found = [Frame(start + i, numbers, x, f, float(e), molecule) for i, (x, f, e) in enumerate(each)]
        return [frames.fault(frame) or frame for frame in found]


def _values(group: h5py.Group, name: str) -> np.ndarray:
    """A dataset in double precision, if it says no other unit than its own."""
    unit = group[name].attrs.get("units", UNITS[name])
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    if unit != UNITS[name]:
        raise UserError(f"{group.file.filename}:{group.name}/{name}", f"values in {UNITS[name]}", repr(unit))
    return group[name][()].astype(np.float64)


def _text(group: h5py.Group, name: str) -> str:
    """A text of the group, which the file holds as an array of one; empty if it has none."""
    if name not in group:
        return ""
    value = np.ravel(group[name][()])[0]
    return value.decode() if isinstance(value, bytes) else str(value)

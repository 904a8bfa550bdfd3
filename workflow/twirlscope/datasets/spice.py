"""Frames from a SPICE file: HDF5, one group per molecule, in atomic units; read in parts to limit the memory.

The energies are total energies, of 10^4 eV and more. The element references of every dataset of frames remove the part
that the composition explains. Molecules are identified by their SMILES without atom maps, so that a molecule in several
subsets is on one side of the split.

Source: Eastman et al., Scientific Data 10, 11 (2023), doi 10.1038/s41597-022-01882-6; layout of the released files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError, needs
from ..runtime.progress import counted
from ..settings.base import key
from ..settings.prepare import DatasetSettings
from ..sources import Part, Reject
from .molecular import frames
from .molecular.frames import BOHR, HARTREE, Frame

if TYPE_CHECKING:
    import h5py

UNITS = {"conformations": "bohr", "dft_total_energy": "hartree", "dft_total_gradient": "hartree/bohr"}
ATOM_MAP = re.compile(r":\d+\]")
DAMAGE_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)  # of HDF5, in a damaged file
LARGEST = 1 << 15  # of anything that may be an atomic number
STRIDE = 1 << 20  # more conformations than a molecule has: frames are ordered by molecule, then by conformation


class Spice(frames.Frames):
    """All conformations of all molecules of a file, sorted by the names of its groups."""

    class Settings(DatasetSettings):
        """File, and the part of it that is used."""

        file: str = key(..., "SPICE HDF5 file", min_length=1)
        subsets: list[str] = key([], "subsets used, by the beginning of their names; empty for all")
        labels: str = key("ωB97M-D3(BJ)/def2-TZVPPD (SPICE)", "level of theory; the report prints it")
        parts: int = key(16, "jobs that read the file; each needs memory for one part of the frames", shapes=(), ge=1)

    def files(self) -> list[Path]:
        """File of the user."""
        return [Path(self.settings.file)]

    def read(self, part: int) -> Part:
        """Consecutive groups of the file.

        Raises:
            UserError: the file cannot be read, has other units, or has none of the subsets.
        """
        usable, rejects = [], []
        with self._open() as file:
            names = self._molecules(file)
            mine = np.array_split(np.arange(len(names)), self.settings.parts)[part].tolist()
            for number in counted(mine, "molecule"):
                for index, frame in enumerate(self._readable_frames(file, names[number], number)):
                    if isinstance(frame, str):
                        rejects.append(Reject(f"{self.settings.file}:{names[number]}", index, frame))
                    else:
                        usable.append(frame)
        samples = frames.to_dataset(usable)
        if samples is not None:
            samples.attrs = {"labels": self.settings.labels, "source": self.settings.file}
        return Part(samples, rejects)

    def _open(self) -> h5py.File:
        """File, open for reading."""
        with needs("chemistry"):
            import h5py

        try:
            return h5py.File(self.settings.file)
        except OSError as error:
            raise UserError(self.settings.file, "an HDF5 file that can be read", error) from error

    def _molecules(self, file: h5py.File) -> list[str]:
        """Names of the groups of the file, and of links to nothing; a dataset beside them is no molecule."""
        try:
            return sorted(name for name in file.keys() if not hasattr(_member(file, name), "shape"))  # noqa: SIM118
        except DAMAGE_ERRORS as error:
            raise UserError(self.settings.file, "an HDF5 file that can be read", error) from error

    def _readable_frames(self, file: h5py.File, name: str, number: int) -> list[Frame | str]:
        """Conformations of a molecule, or a reason to reject it where the file is damaged."""
        try:
            group = _member(file, name)
            return ["a link to nothing"] if group is None else self._frames(group, number)
        except UserError:
            raise
        except DAMAGE_ERRORS as error:
            return [f"HDF5 cannot read the molecule: {' '.join(str(error).split())[:160]}"]

    def _frames(self, group: h5py.Group, number: int) -> list[Frame | str]:
        """Conformations of molecule number `number` in eV and Å, or reasons to reject them."""
        if self.settings.subsets and not _text(group, "subset").startswith(tuple(self.settings.subsets)):
            return []
        missing = [n for n in ("atomic_numbers", *UNITS) if not hasattr(_member(group, n), "shape")]
        if missing:
            return [f"no dataset {missing[0]!r}"]
        positions, energy, gradient = (_values(group, name) for name in UNITS)
        numbers = _numbers(_content(group["atomic_numbers"]))
        if any(values is None for values in (positions, energy, gradient, numbers)):
            return ["values that are no numbers, or atomic numbers that are no whole numbers"]
        energy = energy.reshape(-1)  # (n, 1) and a single number are energies too
        if numbers.ndim != 1 or positions.ndim != 3:
            return [f"atomic_numbers of shape {numbers.shape}, conformations of shape {positions.shape}"]
        molecule = ATOM_MAP.sub("]", _text(group, "smiles")) or group.name.strip("/")
        if not len(positions) == len(energy) == len(gradient):
            return [f"{len(positions)} conformations, {len(energy)} energies, {len(gradient)} gradients"]
        if not len(positions):
            return ["no conformations"]
        conformations = zip(positions * BOHR, gradient * (-HARTREE / BOHR), energy * HARTREE, strict=True)
        first = number * STRIDE
        found = [Frame(first + i, numbers, x, f, float(e), molecule) for i, (x, f, e) in enumerate(conformations)]
        return [frames.reject_reason(frame) or frame for frame in found]


def _member(group: h5py.Group, name: str) -> Any:
    """Group or dataset of a name; None if there is none, or a link to nothing."""
    return group.get(name)


def _content(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a dataset.

    Raises:
        OSError: a damaged file, in which it is longer than the file; also other errors of `DAMAGE_ERRORS`.
    """
    if dataset.chunks is None and dataset.nbytes > dataset.file.id.get_filesize():
        raise OSError(f"{dataset.name} is longer than the file")
    return np.asarray(dataset[()])


def _numbers(values: np.ndarray) -> np.ndarray | None:
    """Atomic numbers; None if they are no whole numbers."""
    whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and (values == np.round(values)).all())
    return values.astype(np.int64) if whole and (np.abs(values) < LARGEST).all() else None


def _values(group: h5py.Group, name: str) -> np.ndarray | None:
    """Values of an HDF5 dataset in double precision; None if they are no numbers.

    Raises:
        UserError: it has another unit than that of `UNITS`, or names none.
    """
    where, attributes = f"{group.file.filename}:{group.name}/{name}", group[name].attrs
    unit = next((attributes[key] for key in ("units", "unit") if key in attributes), None)
    if unit is None:
        raise UserError(
            where, f"the attribute `units`, which should be {UNITS[name]!r}", "none; write it into the file"
        )
    unit = _decoded(unit)
    if unit != UNITS[name]:
        raise UserError(where, f"values in {UNITS[name]}", repr(unit))
    values = _content(group[name])
    return values.astype(np.float64) if values.dtype.kind in "iuf" else None


def _text(group: h5py.Group, name: str) -> str:
    """Text of the group, which the file stores as an array of one element; empty if it has none."""
    dataset = _member(group, name)
    return _decoded(_content(dataset)) if hasattr(dataset, "shape") else ""


def _decoded(value: Any) -> str:
    """Text that HDF5 holds as bytes, as a string, or as an array of one of them; empty for an empty array."""
    values = np.ravel(value)
    value = values[0] if len(values) else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

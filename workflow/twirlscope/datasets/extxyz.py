"""Frames from extended-XYZ files and other files that ASE reads; a broken frame is rejected, the others are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from ..errors import UserError
from ..runtime.input_files import require_distinct
from ..runtime.progress import counted
from ..settings.base import key
from ..settings.prepare import DatasetSettings
from ..sources import Part, Reject
from .molecular import electrons, file_shares, frames, periodic
from .molecular.frames import BOHR, HARTREE, KCAL_PER_MOL, Frame
from .molecular.xyz_files import read_frames
from .molecular.xyz_records import Record

ENERGY = {"eV": 1.0, "meV": 1e-3, "hartree": HARTREE, "kcal/mol": KCAL_PER_MOL, "kJ/mol": KCAL_PER_MOL / 4.184}
LENGTH = {"angstrom": 1.0, "bohr": BOHR, "nm": 10.0}
FORCE = {f"{energy}/{length}": ENERGY[energy] / LENGTH[length] for energy in ENERGY for length in LENGTH}
MOLECULE_KEYS = ("name", "molecule")
GIGAPASCAL = 1 / 160.2176634  # [eV/Å^3] CODATA 2018
PRESSURE = {f"{energy}/{length}^3": ENERGY[energy] / LENGTH[length] ** 3 for energy in ENERGY for length in LENGTH}
PRESSURE |= {"GPa": GIGAPASCAL, "kbar": GIGAPASCAL / 10}
ASYMMETRY = 1e-3  # largest of a stress, relative to its largest component: rounding in a file stays below it
STRIDE = 1 << 32  # more frames than a file has: frames are ordered by file, then by place


class ExtXyz(frames.Frames):
    """Frames of files of the user, in the order of the files."""

    class Settings(DatasetSettings):
        """Files, names of energy and forces in them, and their units."""

        files: list[str] = key(..., "extended XYZ files (also .gz), or any file that ASE reads", min_length=1)
        test_files: dict[str, list[str]] = key(
            {}, "held-out files by split name; if none is named `test`, that split is a random part of `files`"
        )
        energy_key: str = key("energy", "name of the total energy in a frame")
        forces_key: str = key("forces", "name of the forces in a frame")
        molecule_key: str = key(
            "", "name of the molecule in a frame; empty for `name`, else `molecule`; without one the graph alone counts"
        )
        stress_key: str = key(
            "stress", "name of the stress in a frame, positive under tension; 6 numbers (xx yy zz yz xz xy) or 9"
        )
        virial_key: str = key("virial", "name of the virial, minus volume times stress; read if there is no stress")
        energy_unit: Literal[tuple(ENERGY)] = key("eV", "unit of the energy in the files")
        length_unit: Literal[tuple(LENGTH)] = key("angstrom", "unit of the positions in the files")
        force_unit: Literal[("", *FORCE)] = key(
            "", "unit of the forces in the files; empty for energy_unit/length_unit"
        )
        stress_unit: Literal[("", *PRESSURE)] = key(
            "", "unit of the stress in the files; empty for energy_unit/length_unit^3"
        )
        benchmark: Literal["", "acac", "3bpa", "3bpa_proxy"] = key(
            "",
            "public benchmark that the files come from; the report shows its published errors; "
            "`3bpa_proxy` if the test files are parts of other files of that benchmark",
        )
        require_labels: bool = key(
            True, "whether frames without energy or forces are rejected; false keeps them, for external runs"
        )
        labels: str = key("not stated", "level of theory of energy and forces; the report prints it")

    def files(self) -> list[Path]:
        """Files of the user, those for training first."""
        return [path for path, _ in self._files_with_split()]

    def extra_splits(self) -> list[str]:
        """Names of the splits besides train and test."""
        return [name for name in self.settings.test_files if name != "test"]

    def _files_with_split(self) -> list[tuple[Path, int]]:
        """Files and the numbers of their splits, -1 for a random one."""
        s = self.settings
        number = {name: 2 + i for i, name in enumerate(self.extra_splits())} | {"test": 1}
        held = [(Path(f), number[name]) for name, files in s.test_files.items() for f in files]
        return [(Path(f), 0 if "test" in s.test_files else -1) for f in s.files] + held

    def read(self, part: int) -> Part:
        """An equal share of the bytes of the files, in order.

        Raises:
            UserError: a file is missing, damaged or named twice, or none of its frames has a name of the settings.
        """
        rejects, files = [], self.files()
        require_distinct(files)
        samples = frames.in_blocks(self._usable(part, rejects), _to_dataset)
        if samples is not None:
            s = self.settings
            samples.attrs = {"labels": s.labels, "source": ", ".join(map(str, files)), "benchmark": s.benchmark}
        return Part(samples, rejects)

    def _usable(self, part: int, rejects: list[Reject]) -> Iterator[Frame]:
        """Frames of a part, one at a time; rejects are added to the list."""
        windows = file_shares.windows(self.files(), self.settings.parts, part)
        for number, (path, split) in enumerate(counted(self._files_with_split(), "file")):
            if (window := windows[number]) is None:
                continue
            no_forces = self.settings.require_labels and self._has_no_forces(path) and split > 0
            for index, atoms in read_frames(path, window):
                made = (
                    atoms if isinstance(atoms, str) else self._frame(atoms, number * STRIDE + index, split, no_forces)
                )
                if isinstance(made, str):
                    rejects.append(Reject(str(path), index, made))
                else:
                    yield made

    def _frame(self, atoms: Record, order: int, split: int, no_forces: bool) -> Frame | str:
        """One frame in eV and Å, or the reason to reject it."""
        s = self.settings
        scalars, vectors = _scalars(atoms), _vectors(atoms)
        if s.energy_key not in scalars and s.require_labels:
            return f"no energy {s.energy_key!r}"
        no_forces = no_forces or (s.forces_key not in vectors and not s.require_labels)
        if s.forces_key not in vectors and not no_forces:
            return f"no forces {s.forces_key!r}"
        if s.molecule_key and s.molecule_key not in atoms.values:
            return f"no molecule {s.molecule_key!r}"
        length, energy = LENGTH[s.length_unit], ENERGY[s.energy_unit]
        force = FORCE[s.force_unit or f"{s.energy_unit}/{s.length_unit}"]
        keys = [k for k in ([s.molecule_key] if s.molecule_key else MOLECULE_KEYS) if k in atoms.values]
        frame = Frame(
            order=order,
            numbers=atoms.numbers,
            positions=atoms.positions * length,
            forces=None if no_forces else vectors[s.forces_key] * force,
            energy=self._energy(scalars, energy),
            molecule=str(atoms.values[keys[0]]) if keys else "",
            split=split,
            cell=atoms.cell * length,
            periodic=atoms.periodic,
            stress=self._stress(atoms),
            optional=not s.require_labels,
            **electrons.of_values(atoms.values),
        )
        return frames.reject_reason(frame) or frame

    def _energy(self, scalars: dict[str, float], unit: float) -> float:
        """Energy of a frame [eV]; infinite where the file has one that is no number, NaN where it has none."""
        name = self.settings.energy_key
        given = scalars.get(name, np.nan) * unit
        return np.inf if name in scalars and np.isnan(given) else given

    def _stress(self, atoms: Record) -> np.ndarray | None:
        """Stress of a frame [eV/Å^3]; None if it has none, or is not periodic along all axes."""
        s, all_ = self.settings, atoms.values
        volume = abs(np.linalg.det(atoms.cell)) if all(atoms.periodic) else 0.0
        given = {name: _symmetric(all_[name]) for name in (s.stress_key, s.virial_key) if name in all_}
        if not volume or not given:
            return None
        if s.stress_key in given:
            return given[s.stress_key] * PRESSURE[s.stress_unit or f"{s.energy_unit}/{s.length_unit}^3"]
        return -given[s.virial_key] * ENERGY[s.energy_unit] / (volume * LENGTH[s.length_unit] ** 3)

    def _has_no_forces(self, path: Path) -> bool:
        """True if no frame of a file has forces: a held-out file may have energies only.

        Frames are read up to the first of each name of the settings, which in a right file is the first frame.

        Raises:
            UserError: no frame has such a name, but frames have other values of that kind; else each frame is a reject.
        """
        kinds = {"energy_key": _scalars, "forces_key": _vectors, "molecule_key": lambda record: record.values}
        known = {setting: set() for setting in kinds if getattr(self.settings, setting)}
        missing = set(known)
        for _, atoms in read_frames(path):
            for setting in [] if isinstance(atoms, str) else known:
                known[setting] |= kinds[setting](atoms).keys()
            missing = {setting for setting in missing if getattr(self.settings, setting) not in known[setting]}
            if not missing:
                break
        for setting in known:
            if setting in missing and known[setting]:
                expected = f"{setting} to be a name in the frames ({setting.removesuffix('_key')})"
                got = repr(getattr(self.settings, setting))
                raise UserError(f"{path}, frame 0", expected, got, sorted(known[setting]))
        return "forces_key" in missing


def _to_dataset(block: list[Frame]) -> xr.Dataset:
    """Frames with their cells and stresses as stored variables."""
    state = electrons.to_dataset([f.charge for f in block], [f.spin for f in block])
    cells = periodic.to_dataset([f.lattice for f in block], [f.stress for f in block])
    return xr.merge([frames.to_dataset(block), cells, state])


def _scalars(atoms: Record) -> dict[str, float]:
    """Scalars of a frame by name."""
    return {
        k: float(v)
        for k, v in atoms.values.items()
        if isinstance(v, (int, float, np.number)) and not isinstance(v, bool)
    }


def _symmetric(values: Any) -> np.ndarray:
    """Symmetric matrix from its 6 components in Voigt order or from all 9; NaN for other values, which are rejected."""
    components = np.asarray(values).ravel()
    if components.size == 6:
        components = components[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
    if components.size != 9 or not _numeric(components):
        return np.full((3, 3), np.nan)
    full = components.reshape(3, 3).astype(np.float64)
    return np.where(abs(full - full.T).max() <= ASYMMETRY * abs(full).max(), full, np.nan)


def _vectors(atoms: Record) -> dict[str, np.ndarray]:
    """Vectors of a frame, one per atom, by name, without the positions."""
    shape = (len(atoms.numbers), 3)
    return {
        k: np.asarray(v) for k, v in atoms.arrays.items() if k != "positions" and np.shape(v) == shape and _numeric(v)
    }


def _numeric(values: Any) -> bool:
    return np.asarray(values).dtype.kind in "fi"

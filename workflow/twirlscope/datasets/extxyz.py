"""Frames from files: extended XYZ, and whatever else ASE reads. A broken frame is rejected, its neighbours are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..contracts import Part, Reject
from ..errors import UserError
from ..settings.base import key
from ..settings.prepare import DatasetSettings
from .molecular import frames, periodic
from .molecular.frames import BOHR, HARTREE, KCAL_PER_MOL, Frame
from .molecular.xyz_files import atoms_of

ENERGY = {"eV": 1.0, "meV": 1e-3, "hartree": HARTREE, "kcal/mol": KCAL_PER_MOL, "kJ/mol": KCAL_PER_MOL / 4.184}
LENGTH = {"angstrom": 1.0, "bohr": BOHR, "nm": 10.0}
FORCE = {f"{energy}/{length}": ENERGY[energy] / LENGTH[length] for energy in ENERGY for length in LENGTH}
MOLECULE_KEYS = ("name", "molecule")
GIGAPASCAL = 1 / 160.2176634  # [eV/Å^3] CODATA 2018
PRESSURE = {f"{energy}/{length}^3": ENERGY[energy] / LENGTH[length] ** 3 for energy in ENERGY for length in LENGTH}
PRESSURE |= {"GPa": GIGAPASCAL, "kbar": GIGAPASCAL / 10}
ASYMMETRY = 1e-3  # of a stress, over its largest number: above what rounding in a file does
STRIDE = 1 << 32  # more frames than a file has: frames are ordered by file, then by place


class ExtXyz(frames.Frames):
    """Frames of the user's files, in the order of the files."""

    class Settings(DatasetSettings):
        """Which files, what they call energy and forces, and in which units they are."""

        files: list[str] = key(..., "extended XYZ files (also .gz), or any file that ASE reads", min_length=1)
        test_files: dict[str, list[str]] = key(
            {}, "files to hold out, by the name of their split; unless one is `test`, that is drawn from `files`"
        )
        energy_key: str = key("energy", "name of the total energy in a frame")
        forces_key: str = key("forces", "name of the forces in a frame")
        molecule_key: str = key(
            "", "name of the molecule in a frame; empty for `name`, `molecule`, or else the formula"
        )
        stress_key: str = key(
            "stress", "name of the stress in a frame, positive under tension; 6 numbers (xx yy zz yz xz xy) or 9"
        )
        virial_key: str = key("virial", "name of the virial, minus volume times stress; read where there is no stress")
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
            "public benchmark that the files are, whose published errors the report shows beside; "
            "`3bpa_proxy` where the test files are cut from other files of it",
        )
        labels: str = key("not stated", "level of theory of energy and forces, in words; the report prints it")

    def files(self) -> list[Path]:
        """The user's files, those to train on first."""
        return [path for path, _ in self._placed()]

    def held_out(self) -> list[str]:
        """Names of the splits beyond train and test."""
        return [name for name in self.settings.test_files if name != "test"]

    def _placed(self) -> list[tuple[Path, int]]:
        """The files and the numbers of their splits."""
        s = self.settings
        number = {name: 2 + i for i, name in enumerate(self.held_out())} | {"test": 1}
        held = [(Path(f), number[name]) for name, files in s.test_files.items() for f in files]
        return [(Path(f), 0 if "test" in s.test_files else -1) for f in s.files] + held

    def read(self, part: int) -> Part:
        """Every `parts`-th file.

        Raises:
            UserError: a file is missing, damaged or named twice, or no frame of it has a key that is asked for.
        """
        found, lost, files = [], [], self.files()
        for place, (path, split) in enumerate(self._placed()):
            if path in files[:place]:
                raise UserError("files", "each file once", path)
            if place % self.settings.parts == part:
                for index, frame in enumerate(self._frames(path, place, split)):
                    if isinstance(frame, str):
                        lost.append(Reject(str(path), index, frame))
                    else:
                        found.append(frame)
        samples = frames.table(found)
        if samples is not None:
            s = self.settings
            samples = samples.merge(periodic.table([f.lattice for f in found], [f.stress for f in found]))
            samples.attrs = {"labels": s.labels, "source": ", ".join(map(str, files)), "benchmark": s.benchmark}
        return Part(samples, lost)

    def _frames(self, path: Path, place: int, split: int) -> list[Frame | str]:
        """The frames of a file; for one that cannot be used, why. A held-out file may have energies alone."""
        found = list(atoms_of(path))
        read = [atoms for atoms in found if not isinstance(atoms, str)]
        self._check_keys(path, read)
        bare = split > 0 and not any(self.settings.forces_key in _vectors(atoms) for atoms in read)
        base = place * STRIDE
        return [a if isinstance(a, str) else self._frame(a, base + i, split, bare) for i, a in enumerate(found)]

    def _frame(self, atoms: Any, order: int, split: int, bare: bool) -> Frame | str:
        """One frame in eV and Å, or why it cannot be used."""
        s = self.settings
        scalars, vectors = _scalars(atoms), _vectors(atoms)
        if s.energy_key not in scalars:
            return f"no energy {s.energy_key!r}"
        if s.forces_key not in vectors and not bare:
            return f"no forces {s.forces_key!r}"
        if s.molecule_key and s.molecule_key not in atoms.info:
            return f"no molecule {s.molecule_key!r}"
        length, energy = LENGTH[s.length_unit], ENERGY[s.energy_unit]
        keys = [k for k in ([s.molecule_key] if s.molecule_key else MOLECULE_KEYS) if k in atoms.info]
        frame = Frame(
            order=order,
            numbers=atoms.numbers,
            positions=atoms.positions * length,
            forces=None if bare else vectors[s.forces_key] * FORCE[s.force_unit or f"{s.energy_unit}/{s.length_unit}"],
            energy=scalars[s.energy_key] * energy,
            molecule=str(atoms.info[keys[0]]) if keys else atoms.get_chemical_formula(),
            split=split,
            cell=atoms.cell.array * length,
            periodic=tuple(atoms.pbc.tolist()),
            stress=self._stress(atoms),
        )
        return frames.fault(frame) or frame

    def _stress(self, atoms: Any) -> np.ndarray | None:
        """The stress of a frame [eV/Å^3], or None: where none is given, or the volume it refers to is not defined."""
        s, all_ = self.settings, atoms.info | (atoms.calc.results if atoms.calc else {})
        volume = abs(np.linalg.det(atoms.cell.array)) if atoms.pbc.all() else 0.0
        given = {name: _symmetric(all_[name]) for name in (s.stress_key, s.virial_key) if name in all_}
        if not volume or not given:
            return None
        if s.stress_key in given:
            return given[s.stress_key] * PRESSURE[s.stress_unit or f"{s.energy_unit}/{s.length_unit}^3"]
        return -given[s.virial_key] * ENERGY[s.energy_unit] / (volume * LENGTH[s.length_unit] ** 3)

    def _check_keys(self, path: Path, found: list[Any]) -> None:
        """Refuse a name that no frame has where others of its kind are; where none is, each frame is a reject."""
        asked = {"energy_key": _scalars, "forces_key": _vectors, "molecule_key": lambda atoms: atoms.info}
        for setting, of in asked.items():
            name = getattr(self.settings, setting)
            if not name or any(name in of(atoms) for atoms in found):
                continue
            if known := {k for atoms in found for k in of(atoms)}:
                expected = f"{setting} to name what a frame has ({setting.removesuffix('_key')})"
                raise UserError(f"{path}, frame 0", expected, repr(name), sorted(known))


def _scalars(atoms: Any) -> dict[str, float]:
    """Numbers of a frame by name. ASE moves those it knows, such as `energy`, from `info` to a calculator."""
    all_ = atoms.info | (atoms.calc.results if atoms.calc else {})
    return {k: float(v) for k, v in all_.items() if isinstance(v, (int, float, np.number)) and not isinstance(v, bool)}


def _symmetric(values: Any) -> np.ndarray:
    """A symmetric matrix from its 6 numbers in Voigt's order or from all 9; NaN for what is none, which is a fault."""
    found = np.asarray(values).ravel()
    if found.size == 6:
        found = found[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
    if found.size != 9 or not _numeric(found):
        return np.full((3, 3), np.nan)
    full = found.reshape(3, 3).astype(np.float64)
    return np.where(abs(full - full.T).max() <= ASYMMETRY * abs(full).max(), full, np.nan)


def _vectors(atoms: Any) -> dict[str, np.ndarray]:
    """Vectors of a frame, one an atom, by name, positions excepted."""
    all_ = atoms.arrays | (atoms.calc.results if atoms.calc else {})
    shape = (len(atoms), 3)
    return {k: np.asarray(v) for k, v in all_.items() if k != "positions" and np.shape(v) == shape and _numeric(v)}


def _numeric(values: Any) -> bool:
    return np.asarray(values).dtype.kind in "fi"

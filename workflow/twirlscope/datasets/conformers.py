"""Molecules without labels: conformers generated from SMILES, or geometries read from SDF and XYZ files.

Conformers of a molecule that are the same up to rotation, reflection and the order of equal atoms are one sample.
All molecules fit, in every orientation, into a cubic box of one size, as a task on grids requires.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from .._typing import Array, Float, Int, Sequence
from ..errors import UserError, needs
from ..runtime.input_files import kind_of, require_distinct
from ..runtime.progress import counted
from ..settings.base import key
from ..settings.prepare import DatasetSettings
from ..sources import Dataset, Part, Reject
from .molecular import duplicates, frames
from .molecular.sdf_files import read_records
from .molecular.smiles import SMILES_LIST, Unusable, embed_conformers, parse_smiles, read_smiles_list
from .molecular.xyz_files import read_frames

STRIDE = 1 << 32  # more records than a file has: samples are ordered by file, then by place

ATTRIBUTES = {
    "labels": "",  # there are only positions
    "citation": "Riniker, Landrum, J. Chem. Inf. Model. 55, 2562 (2015); Halgren, J. Comput. Chem. 17, 490 (1996)",
}


@dataclass(frozen=True)
class Geometry:
    """One molecule in one geometry.

    order: rank among all samples of the dataset.
    source: file or SMILES, for the table of rejects.
    record: index in the file, or of the conformer.
    numbers, positions: atomic numbers, and positions [Å].
    molecule: name that its source gives to the molecule; empty if it gives none.
    """

    order: int
    source: str
    record: int
    numbers: Int[Array, " atom"]
    positions: Float[Array, "atom 3"]
    molecule: str


class Conformers(Dataset):
    """Conformers of the molecules of SMILES lists, and geometries of files, unchanged.

    The random numbers of a conformer come from the seed and the canonical SMILES of its molecule: it depends neither on
    the rest of the list nor on `parts`. A geometry is rejected if it has another element or does not fit into the box
    in some orientation.
    """

    class Settings(DatasetSettings):
        """Molecules, and the box that each must fit into."""

        files: list[str] = key(
            [],
            "SMILES lists (.smi, .txt), SDF and MOL files (.sdf, .mol) and XYZ files (.xyz), also .gz; empty for the "
            "packaged list of 480 small molecules",
        )
        molecules: int = key(0, "molecules of each list of SMILES, evenly spread over it; 0 for all", ge=0)
        conformers: int = key(40, "conformers generated per SMILES; a rigid molecule has one that is kept", ge=1)
        min_rmsd: float = key(
            0.02,
            "conformers of a molecule whose interatomic distances differ by less (root mean square) count as one",
            "Å",
            ge=0,
        )
        elements: list[str] = key(
            ["H", "C", "N", "O", "F", "S", "Cl", "Br"], "symbols of the allowed elements", min_length=1
        )
        box: float = key(8.0, "edge of the box", "Å", gt=0)
        margin: float = key(
            1.25, "smallest distance of an atom from a face: its radius plus the largest shift in the task", "Å", ge=0
        )
        max_rejected: float = key(
            0.5, "share of unusable records above which preparation fails; too large for the box counts", ge=0, le=1
        )

    kind = "molecules"

    def __init__(self, settings: Conformers.Settings):
        with needs("chemistry"):
            from ase.data import atomic_numbers

        super().__init__(settings)
        unknown = [s for s in settings.elements if s not in atomic_numbers or s == "X"]
        if unknown:
            raise UserError("elements", "symbols of chemical elements", repr(unknown[0]), list(atomic_numbers)[1:])
        self._allowed = {atomic_numbers[s] for s in settings.elements}

    def files(self) -> list[Path]:
        """Files of the user; the packaged SMILES list is part of the code."""
        return [Path(name) for name in self.settings.files]

    def read(self, part: int) -> Part:
        """Every `parts`-th molecule of each list of SMILES, and every `parts`-th record of each other file.

        Raises:
            UserError: a file is missing, damaged, named twice or of an unknown kind.
        """
        geometries, rejects, files = [], [], self.files() or [SMILES_LIST]
        require_distinct(files)
        for number, path in enumerate(counted(files, "file")):
            for record in self._records(path, number, part):
                if isinstance(record, Reject):
                    rejects.append(record)
                elif reason := self._reject_reason(record):
                    rejects.append(Reject(record.source, record.record, reason))
                else:
                    geometries.append(record)
        samples = to_dataset(geometries)
        if samples is not None:
            samples.attrs = ATTRIBUTES | {"source": ", ".join(p.name for p in files), "box": self.settings.box}
        return Part(samples, rejects)

    def finish(self, data: xr.Dataset) -> xr.Dataset:
        """Samples in order, with molecules and split.

        Raises:
            UserError: too few samples or molecules to split, or an element without training data.
        """
        return frames.assign_splits(data, self.settings)[0]

    def _reject_reason(self, geometry: Geometry) -> str | None:
        """Reason why a geometry cannot be used; None if it can."""
        reason = frames.geometry_reject_reason(geometry.numbers, geometry.positions)
        if reason:
            return reason
        if not set(geometry.numbers.tolist()) <= self._allowed:
            return "an element that is not among `elements`"
        radius = np.linalg.norm(geometry.positions - geometry.positions.mean(0), axis=1).max()
        if radius + self.settings.margin > self.settings.box / 2:
            return f"does not fit into the box of {self.settings.box:g} Å in every orientation"
        return None

    def _records(self, path: Path, number: int, part: int) -> Iterator[Geometry | Reject]:
        """Geometries of file number `number` that belong to a part, and the records that cannot be read."""
        kind = kind_of(path)
        if kind in (".smi", ".txt"):
            yield from self._conformers(path, number, part)
            return
        readers = {".sdf": read_records, ".mol": read_records, ".xyz": _read_xyz, ".extxyz": _read_xyz}
        if kind not in readers:
            raise UserError(path, "a file .smi, .txt, .sdf, .mol or .xyz, also with .gz", repr(path.name))
        for i, record in enumerate(readers[kind](path)):
            if i % self.settings.parts == part:
                if isinstance(record, str):
                    yield Reject(path.name, i, record)
                else:
                    yield Geometry(number * STRIDE + i, path.name, i, *record)

    def _conformers(self, path: Path, number: int, part: int) -> Iterator[Geometry | Reject]:
        """Conformers of those molecules of a SMILES list that belong to a part."""
        seen, s = set(), self.settings
        for i, (line, smiles) in enumerate(counted(read_smiles_list(path, s.molecules), "molecule")):
            try:
                molecule = parse_smiles(smiles)
                if molecule.smiles in seen:
                    raise Unusable("duplicate of an earlier molecule of the list")
                seen.add(molecule.smiles)
                if i % s.parts != part:
                    continue
                if not set(molecule.numbers.tolist()) <= self._allowed:
                    raise Unusable("an element that is not among `elements`")
                x = embed_conformers(molecule, s.conformers, molecule.rng(s.seed))
                for k in duplicates.different(molecule.numbers, x, s.min_rmsd).tolist():
                    order = number * STRIDE + i * s.conformers + k
                    yield Geometry(order, molecule.smiles, k, molecule.numbers, x[k], molecule.smiles)
            except Unusable as reason:
                if i % s.parts == part:
                    yield Reject(path.name, line, str(reason))


def to_dataset(geometries: Sequence[Geometry]) -> xr.Dataset | None:
    """Geometries of a part as stored variables, centred on the mean of their atoms; None if there are none."""
    if not geometries:
        return None
    centred = [g.positions - g.positions.mean(0) for g in geometries]
    return xr.Dataset(
        {
            "atoms": ("sample", np.array([len(g.numbers) for g in geometries], np.int32)),
            "sample_molecule": ("sample", np.array([g.molecule for g in geometries], object)),
            "numbers": ("atom", np.concatenate([g.numbers for g in geometries]).astype(np.int16)),
            "positions": (("atom", "xyz"), np.concatenate(centred).astype(np.float32)),
        },
        coords={"sample": ("sample", np.array([g.order for g in geometries], np.int64))},
    )


def _read_xyz(path: Path) -> Iterator[tuple[Array, Array, str] | str]:
    """Numbers, positions and name of each frame of an XYZ file, or the reason to reject it."""
    for _, atoms in read_frames(path):
        if isinstance(atoms, str):
            yield atoms
        elif any(atoms.periodic):
            yield "periodic cells are not supported"
        else:
            yield atoms.numbers, atoms.positions, str(atoms.values.get("name", ""))

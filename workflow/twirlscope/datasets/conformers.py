"""Molecules with positions and nothing else: conformers made from SMILES, or geometries read from SDF and XYZ files.

All of them fit, in every orientation, into a cubic box of one size, as a task on grids needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .._typing import Array, Float, Int, Sequence
from ..contracts import Dataset, Part, Reject
from ..errors import UserError
from ..runtime.compressed_files import read_decompressed
from ..settings.base import key
from ..settings.prepare import DatasetSettings
from .molecular import frames
from .molecular.smiles import SMILES_LIST, Unusable, embed_conformers, parse_smiles, read_smiles_list
from .molecular.xyz_files import atoms_of

STRIDE = 1 << 32  # more records than a file has: samples are ordered by file, then by place

ABOUT = {
    "labels": "",  # positions alone
    "citation": "Riniker, Landrum, J. Chem. Inf. Model. 55, 2562 (2015); Halgren, J. Comput. Chem. 17, 490 (1996)",
}


@dataclass(frozen=True)
class Geometry:
    """One molecule in one geometry [Å]. `record` is its place in the file, `order` that among all samples."""

    order: int
    source: str
    record: int
    numbers: Int[Array, " atom"]
    positions: Float[Array, "atom 3"]
    molecule: str


class Conformers(Dataset):
    """Conformers of the molecules of SMILES lists, and geometries of files, read as they are.

    A conformer has random numbers of its molecule's own, from the seed and its canonical SMILES: it depends neither on
    the rest of the list nor on `parts`. A geometry is rejected, and counted, if it has another element or reaches out
    of the box in some orientation.
    """

    class Settings(DatasetSettings):
        """Which molecules, and the box that each must fit into."""

        files: list[str] = key(
            [],
            "SMILES lists (.smi, .txt), SDF files (.sdf) and XYZ files (.xyz), also .gz; none for the SMILES list that "
            "comes along",
        )
        conformers: int = key(40, "conformers of each SMILES", ge=1)
        elements: list[str] = key(
            ["H", "C", "N", "O", "F", "S", "Cl", "Br"], "symbols of the elements that may occur", min_length=1
        )
        box: float = key(8.0, "edge of the box", "Å", gt=0)
        margin: float = key(
            1.25, "room from an atom's centre to the face: its radius and largest shift in the task", "Å", ge=0
        )
        max_rejected: float = key(
            0.5, "share of unusable records, those too large for the box included, above which it fails", ge=0, le=1
        )

    kind = "molecules"

    def __init__(self, settings: Conformers.Settings):
        from ase.data import atomic_numbers

        super().__init__(settings)
        unknown = [s for s in settings.elements if s not in atomic_numbers or s == "X"]
        if unknown:
            raise UserError("elements", "symbols of chemical elements", repr(unknown[0]), list(atomic_numbers)[1:])
        self._allowed = {atomic_numbers[s] for s in settings.elements}

    def files(self) -> list[Path]:
        """The user's files; the list of SMILES that comes along is part of the code."""
        return [Path(name) for name in self.settings.files]

    def read(self, part: int) -> Part:
        """Every `parts`-th molecule of each list of SMILES, and every `parts`-th record of each other file.

        Raises:
            UserError: a file is missing, damaged, named twice or of a kind that is not known.
        """
        found, lost, files = [], [], self.files() or [SMILES_LIST]
        for place, path in enumerate(files):
            if path in files[:place]:
                raise UserError("files", "each file once", path)
            for record in self._records(path, place, part):
                reason = record.reason if isinstance(record, Reject) else self._fault(record)
                if reason is None:
                    found.append(record)
                else:
                    lost.append(Reject(record.source, getattr(record, "index", getattr(record, "record", 0)), reason))
        samples = table(found)
        if samples is not None:
            samples.attrs = ABOUT | {"source": ", ".join(p.name for p in files), "box": self.settings.box}
        return Part(samples, lost)

    def finish(self, data: xr.Dataset) -> xr.Dataset:
        """Samples in order, with molecules and split.

        Raises:
            UserError: too few samples or molecules to split, or an element without training data.
        """
        return frames.gathered(data, self.settings)[0]

    def _fault(self, found: Geometry) -> str | None:
        """Why a geometry cannot be used, or None when it can."""
        reason = frames.geometry_fault(found.numbers, found.positions)
        if reason:
            return reason
        if not set(found.numbers.tolist()) <= self._allowed:
            return "an element that is not among `elements`"
        radius = np.linalg.norm(found.positions - found.positions.mean(0), axis=1).max()
        if radius + self.settings.margin > self.settings.box / 2:
            return f"does not fit into the box of {self.settings.box:g} Å in every orientation"
        return None

    def _records(self, path: Path, place: int, part: int) -> Iterator[Geometry | Reject]:
        """The geometries of a file that belong to a part, and what cannot be read."""
        kind = Path(path.name.removesuffix(".gz")).suffix
        if kind in (".smi", ".txt"):
            yield from self._made(path, place, part)
            return
        readers = {".sdf": _sdf, ".xyz": _xyz, ".extxyz": _xyz}
        if kind not in readers:
            raise UserError(path, "a file .smi, .txt, .sdf or .xyz, also with .gz", repr(path.name))
        for i, found in enumerate(readers[kind](path)):
            if i % self.settings.parts == part:
                if isinstance(found, str):
                    yield Reject(path.name, i, found)
                else:
                    yield Geometry(place * STRIDE + i, path.name, i, *found)

    def _made(self, path: Path, place: int, part: int) -> Iterator[Geometry | Reject]:
        """Conformers of the molecules of a list of SMILES that belong to a part."""
        seen, s = set(), self.settings
        for i, (line, smiles) in enumerate(read_smiles_list(path)):
            try:
                molecule = parse_smiles(smiles)
                if molecule.smiles in seen:
                    raise Unusable("molecule is in the list already")
                seen.add(molecule.smiles)
                if i % s.parts != part:
                    continue
                if not set(molecule.numbers.tolist()) <= self._allowed:
                    raise Unusable("an element that is not among `elements`")
                for k, x in enumerate(embed_conformers(molecule, s.conformers, molecule.rng(s.seed))):
                    order = place * STRIDE + i * s.conformers + k
                    yield Geometry(order, molecule.smiles, k, molecule.numbers, x, molecule.smiles)
            except Unusable as why:
                if i % s.parts == part:
                    yield Reject(path.name, line, str(why))


def table(found: Sequence[Geometry]) -> xr.Dataset | None:
    """Geometries as stored variables of a part, centred on the mean of their atoms; None for none."""
    if not found:
        return None
    centred = [g.positions - g.positions.mean(0) for g in found]
    return xr.Dataset(
        {
            "atoms": ("sample", np.array([len(g.numbers) for g in found], np.int32)),
            "sample_molecule": ("sample", np.array([g.molecule for g in found], object)),
            "numbers": ("atom", np.concatenate([g.numbers for g in found]).astype(np.int16)),
            "positions": (("atom", "xyz"), np.concatenate(centred).astype(np.float32)),
        },
        coords={"sample": ("sample", np.array([g.order for g in found], np.int64))},
    )


def _sdf(path: Path) -> Iterator[tuple[Array, Array, str] | str]:
    """Numbers, positions and canonical SMILES of each record of an SDF file, or why it cannot be used."""
    import io

    from rdkit import Chem, rdBase

    raw = read_decompressed(path, "an SDF file that can be read")
    with rdBase.BlockLogs():
        for mol in Chem.ForwardSDMolSupplier(io.BytesIO(raw), removeHs=False):
            yield _described(mol)


def _described(mol: Any) -> tuple[Array, Array, str] | str:
    """Numbers, positions and canonical SMILES of a molecule of RDKit's, or why it cannot be used."""
    from rdkit import Chem

    if mol is None:
        return "RDKit cannot read the record"
    if not mol.GetNumAtoms():
        return "no atoms"
    if not mol.GetNumConformers() or not mol.GetConformer().Is3D():
        return "no positions in three dimensions"
    numbers = np.array([a.GetAtomicNum() for a in mol.GetAtoms()])
    if 1 not in numbers and any(a.GetTotalNumHs() for a in mol.GetAtoms()):
        return "no hydrogen has a position"
    return numbers, mol.GetConformer().GetPositions(), Chem.MolToSmiles(Chem.RemoveHs(mol))


def _xyz(path: Path) -> Iterator[tuple[Array, Array, str] | str]:
    """Numbers, positions and name of each frame of an XYZ file, or why it cannot be used."""
    for atoms in atoms_of(path):
        if isinstance(atoms, str):
            yield atoms
        elif atoms.pbc.any():
            yield "periodic cells are not supported yet"
        else:
            yield atoms.numbers, atoms.positions, str(atoms.info.get("name", atoms.get_chemical_formula()))

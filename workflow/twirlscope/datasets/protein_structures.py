"""Protein chains from structure files: PDB and mmCIF, as the Protein Data Bank or a prediction gives them, also .gz.

Only CA atoms are kept. A chain that cannot be used is rejected with its reason, and the other chains of its file stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._typing import Array
from ..contracts import Part, Reject
from ..errors import UserError
from ..runtime.compressed_files import DamagedFileError, read_decompressed
from ..settings.base import key
from .protein import backbones
from .protein.backbones import BackboneSettings, Chain

PDB, CIF = (".pdb", ".ent"), (".cif", ".mmcif")
STRIDE = 1 << 20  # more chains than a file has: chains are ordered by file, then by place
COORDINATES = ("ATOM  ", "HETATM")
USED = 66  # columns of such a line that are read: old files have the entry and line numbers after the B-factor
SHORT = 54  # columns up to the end of z: a shorter line was cut


class ProteinStructures(backbones.Backbones):
    """Chains of the first model of each file, in the order of the files.

    Modified residues count as their parents (MSE as MET); of alternative locations the one most occupied is taken, of
    several residues at one place the first. Missing residues leave a chain break, which the model is told of.
    """

    class Settings(BackboneSettings):
        """Which files, and which chains of them."""

        files: list[str] = key(..., "PDB or mmCIF files, also .gz, and folders of them", min_length=1)
        most_breaks: int = key(2, "most chain breaks of a chain: CA atoms in a row more than 4.0 Å apart", ge=0)
        max_rejected: float = key(0.5, "share of unusable chains above which the preparation fails", ge=0, le=1)
        labels: str = key("experimental structures", "where the structures come from; the report prints it")

    def files(self) -> list[Path]:
        """The user's files; of a folder, all structure files in it, by name."""
        found = [f for name in self.settings.files for f in _listed(Path(name))]
        return list(dict.fromkeys(found))

    def read(self, part: int) -> Part:
        """Every `parts`-th file.

        Raises:
            UserError: no structure file at all, or one that does not exist or cannot be read.
        """
        found, lost, files = [], [], self.files()
        if not files:
            raise UserError("files", f"structure files ({', '.join(PDB + CIF)}, also .gz)", self.settings.files)
        for place, path in enumerate(files):
            if place % self.settings.parts != part:
                continue
            for index, chain in enumerate(_chains(path, place * STRIDE)):
                if isinstance(chain, Chain):
                    chain = backbones.fault(chain, self.settings, self.settings.most_breaks) or chain
                if isinstance(chain, Chain):
                    found.append(chain)
                else:
                    lost.append(Reject(str(path), index, chain))
        samples = backbones.table(found)
        if samples is not None:
            samples.attrs = {"labels": self.settings.labels, "source": ", ".join(self.settings.files)}
        return Part(samples, lost)


def _listed(path: Path) -> list[Path]:
    """The file itself, or the structure files of a folder."""
    return sorted(f for f in path.iterdir() if _suffix(f) in PDB + CIF) if path.is_dir() else [path]


def _suffix(path: Path) -> str:
    """What the file is, `.gz` aside."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _chains(path: Path, first: int) -> Iterator[Chain | str]:
    """The chains of a file; for one that cannot be used, why. An unusable file is one unusable chain."""
    import gemmi

    try:
        text = read_decompressed(path).decode("utf-8", "replace")
    except DamagedFileError:
        yield "damaged or truncated .gz file"
        return
    try:
        if cut := _cut(text, _suffix(path)):
            yield cut
            return
        structure = _structure(text, _suffix(path))
    except (RuntimeError, ValueError, IndexError) as error:  # what gemmi raises on a damaged file
        yield f"gemmi cannot read it: {' '.join(str(error).split())[:160]}"
        return
    if not len(structure) or not len(structure[0]):
        yield "no atoms"
        return
    structure.merge_chain_parts()  # mmCIF and TER records split a chain into polymer, ligands and water
    structure.setup_entities()
    for i, chain in enumerate(structure[0]):
        polymer = chain.get_polymer()
        kind = polymer.check_polymer_type() if len(polymer) else None
        if kind in (gemmi.PolymerType.PeptideL, gemmi.PolymerType.PeptideD):
            yield _chain(polymer, first + i, f"{path.name}:{chain.name}")
        else:
            yield _no_protein(kind, chain)


def _structure(text: str, suffix: str) -> Any:
    """What gemmi makes of the text of a file."""
    import gemmi

    if suffix in CIF:
        return gemmi.make_structure_from_block(gemmi.cif.read_string(text)[0])
    lines = (line[:USED] if line.startswith(COORDINATES) else line for line in text.splitlines())
    return gemmi.read_pdb_string("\n".join(lines))


def _cut(text: str, suffix: str) -> str | None:
    """The complaint about a PDB file that ends too early, or None. A truncated mmCIF table does not parse at all."""
    lines = text.rstrip().splitlines()
    if suffix in CIF or not lines or not lines[-1].startswith(COORDINATES):
        return None
    if len(lines[-1]) < SHORT:
        return "truncated: the last line is not whole"
    archived = lines[0].startswith("HEADER")  # files of the archive end with records of their own
    return "truncated: no record after the last atom" if archived else None


def _chain(polymer: Any, order: int, name: str) -> Chain | str:
    """The CA trace of a polymer [nm], or why there is none."""
    import gemmi

    positions, letters = [], []
    for residue in polymer.first_conformer():
        atoms = [a for a in residue if a.name == "CA" and a.element.name == "C"]
        if not atoms:
            continue
        best = max(atoms, key=lambda a: a.occ)  # the first of equally occupied ones
        letter = gemmi.find_tabulated_residue(residue.name).one_letter_code.upper()
        positions.append(best.pos.tolist())
        letters.append(letter if letter.isalpha() else "X")
    if not positions:
        return "no CA atom"
    return Chain(order, name, _nanometres(positions), "".join(letters))


def _nanometres(positions: list[list[float]]) -> Array:
    return np.array(positions) / 10


def _no_protein(kind: Any, chain: Any) -> str:
    """Why a chain is no protein."""
    import gemmi

    nucleic = (gemmi.PolymerType.Dna, gemmi.PolymerType.Rna, gemmi.PolymerType.DnaRnaHybrid)
    if kind in nucleic:
        return "nucleic acid"
    waters = all(residue.is_water() for residue in chain)
    return "water only" if waters else "no protein"

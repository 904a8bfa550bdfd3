"""Protein chains from PDB and mmCIF files, also .gz, of the Protein Data Bank or of a structure prediction.

Only CA atoms are kept. A chain that cannot be used is rejected with the reason; the other chains of its file are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._typing import Array
from ..contracts import Part, Reject
from ..errors import UserError
from ..runtime.input_files import DamagedFileError, read_decompressed
from ..settings.base import key
from .protein import backbones
from .protein.backbones import BackboneSettings, Chain

PDB, CIF = (".pdb", ".ent"), (".cif", ".mmcif")
STRIDE = 1 << 20  # more chains than a file has: chains are ordered by file, then by index
COORDINATES = ("ATOM  ", "HETATM")
COLUMNS_READ = 66  # of an atom line: old files have the entry and line numbers after the B-factor
COLUMNS_NEEDED = 54  # up to the end of z; a shorter line is truncated


class ProteinStructures(backbones.Backbones):
    """Chains of the first model of each file, in the order of the files.

    Modified residues count as their parents (MSE as MET). Of alternative locations the one with the highest occupancy
    is used, of several residues at one position the first. Missing residues leave a chain break, an input of models.
    """

    class Settings(BackboneSettings):
        """Files, and the chains of them that are used."""

        files: list[str] = key(..., "PDB or mmCIF files, also .gz, and folders of them", min_length=1)
        most_breaks: int = key(2, "maximum number of chain breaks: consecutive CA atoms more than 4.0 Å apart", ge=0)
        max_rejected: float = key(0.5, "share of unusable chains above which preparation fails", ge=0, le=1)
        labels: str = key("experimental structures", "origin of the structures; the report prints it")

    def files(self) -> list[Path]:
        """Files of the user; those in a folder are sorted by name."""
        files = [f for name in self.settings.files for f in _structure_files(Path(name))]
        return list(dict.fromkeys(files))

    def read(self, part: int) -> Part:
        """Every `parts`-th file.

        Raises:
            UserError: there is no structure file, or one does not exist or cannot be read.
        """
        usable, rejects, files = [], [], self.files()
        if not files:
            raise UserError("files", f"structure files ({', '.join(PDB + CIF)}, also .gz)", self.settings.files)
        for number, path in enumerate(files):
            if number % self.settings.parts != part:
                continue
            for index, chain in enumerate(_chains(path, number * STRIDE)):
                if isinstance(chain, Chain):
                    chain = backbones.reject_reason(chain, self.settings, self.settings.most_breaks) or chain
                if isinstance(chain, Chain):
                    usable.append(chain)
                else:
                    rejects.append(Reject(str(path), index, chain))
        samples = backbones.to_dataset(usable)
        if samples is not None:
            samples.attrs = {"labels": self.settings.labels, "source": ", ".join(self.settings.files)}
        return Part(samples, rejects)


def _structure_files(path: Path) -> list[Path]:
    """The file itself, or the structure files of a folder."""
    return sorted(f for f in path.iterdir() if _suffix(f) in PDB + CIF) if path.is_dir() else [path]


def _suffix(path: Path) -> str:
    """Suffix of the file, without `.gz`."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _chains(path: Path, first: int) -> Iterator[Chain | str]:
    """Chains of a file, or reasons to reject them; a file that cannot be read counts as one chain."""
    import gemmi

    try:
        text = read_decompressed(path).decode("utf-8", "replace")
    except DamagedFileError:
        yield "damaged or truncated .gz file"
        return
    try:
        if reason := _truncation(text, _suffix(path)):
            yield reason
            return
        structure = _structure(text, _suffix(path))
    except (RuntimeError, ValueError, IndexError) as error:  # what gemmi raises on a damaged file
        yield f"gemmi cannot read the file: {' '.join(str(error).split())[:160]}"
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
            yield _not_protein(kind, chain)


def _structure(text: str, suffix: str) -> Any:
    """Structure of gemmi from the text of a file."""
    import gemmi

    if suffix in CIF:
        return gemmi.make_structure_from_block(gemmi.cif.read_string(text)[0])
    lines = (line[:COLUMNS_READ] if line.startswith(COORDINATES) else line for line in text.splitlines())
    return gemmi.read_pdb_string("\n".join(lines))


def _truncation(text: str, suffix: str) -> str | None:
    """Reason to reject a PDB file that ends too early, or None. A truncated mmCIF table cannot be parsed."""
    lines = text.rstrip().splitlines()
    if suffix in CIF or not lines or not lines[-1].startswith(COORDINATES):
        return None
    if len(lines[-1]) < COLUMNS_NEEDED:
        return "truncated: the last line is incomplete"
    archived = lines[0].startswith("HEADER")  # files of the archive have records after the atoms
    return "truncated: no record after the last atom" if archived else None


def _chain(polymer: Any, order: int, name: str) -> Chain | str:
    """CA trace of a polymer [nm], or the reason why there is none."""
    import gemmi

    positions, letters = [], []
    for residue in polymer.first_conformer():
        atoms = [a for a in residue if a.name == "CA" and a.element.name == "C"]
        if not atoms:
            continue
        best = max(atoms, key=lambda a: a.occ)  # the first of those with equal occupancy
        letter = gemmi.find_tabulated_residue(residue.name).one_letter_code.upper()
        positions.append(best.pos.tolist())
        letters.append(letter if letter.isalpha() else "X")
    if not positions:
        return "no CA atom"
    return Chain(order, name, _nanometres(positions), "".join(letters))


def _nanometres(positions: list[list[float]]) -> Array:
    return np.array(positions) / 10


def _not_protein(kind: Any, chain: Any) -> str:
    """Kind of a chain that is no protein, as the reason to reject it."""
    import gemmi

    nucleic = (gemmi.PolymerType.Dna, gemmi.PolymerType.Rna, gemmi.PolymerType.DnaRnaHybrid)
    if kind in nucleic:
        return "nucleic acid"
    waters = all(residue.is_water() for residue in chain)
    return "water only" if waters else "not a protein"

"""Protein chains from PDB and mmCIF files, also .gz, of the Protein Data Bank or of a structure prediction.

Only CA atoms are kept. A chain that cannot be used is rejected with the reason; the other chains of its file are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from ..runtime.input_files import DamagedFileError, kind_of, read_text
from ..runtime.progress import counted
from ..settings.base import key
from ..sources import Part, Reject
from .protein import backbones, pdb_chains
from .protein.backbones import BackboneSettings, Chain

PDB, CIF = (".pdb", ".ent"), (".cif", ".mmcif")
STRIDE = 1 << 20  # more chains than a file has: chains are ordered by file, then by index
COLUMNS_NEEDED = 54  # up to the end of z; a shorter line is truncated


class ProteinStructures(backbones.Backbones):
    """Chains of the first model of each file, in the order of the files.

    Modified residues count as their parents (MSE as MET). Of alternative locations the one with the highest occupancy
    is used, of several residues at one position the first. Missing residues leave a chain break, an input of models.
    Chains of one name are told apart by TER records, segments and residue numbers that start again; a part is joined to
    the one before it only where it continues in space. Chains after END, often snapshots, are rejects.
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
        for number, path in enumerate(counted(files, "file")):
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
    return sorted(f for f in path.iterdir() if kind_of(f) in PDB + CIF) if path.is_dir() else [path]


def _chains(path: Path, first: int) -> Iterator[Chain | str]:
    """Chains of a file, or reasons to reject them; a file that cannot be read counts as one chain."""
    try:
        text = read_text(path)
    except DamagedFileError:
        yield "damaged or truncated .gz file"
        return
    try:
        if reason := _truncation(text, kind_of(path)):
            yield reason
            return
        pieces = pdb_chains.of_cif(text) if kind_of(path) in CIF else pdb_chains.of_pdb(text)
    except (RuntimeError, ValueError, IndexError) as error:  # what gemmi raises on a damaged file
        yield f"gemmi cannot read the file: {' '.join(str(error).split())[:160]}"
        return
    if not pieces:
        yield "no atoms"
    names: Counter[str] = Counter()
    for i, piece in enumerate(pieces):
        if piece.reason:
            yield piece.reason
            continue
        names[piece.name] += 1
        name = piece.name if names[piece.name] == 1 else f"{piece.name}.{names[piece.name]}"
        yield Chain(first + i, f"{path.name}:{name}", piece.positions / 10, piece.sequence)


def _truncation(text: str, suffix: str) -> str | None:
    """Reason to reject a PDB file that ends too early, or None. A truncated mmCIF table cannot be parsed."""
    lines = text.rstrip().splitlines()
    if suffix in CIF or not lines or not lines[-1].startswith(pdb_chains.COORDINATES):
        return None
    if len(lines[-1]) < COLUMNS_NEEDED:
        return "truncated: the last line is incomplete"
    archived = lines[0].startswith("HEADER")  # files of the archive have records after the atoms
    return "truncated: no record after the last atom" if archived else None

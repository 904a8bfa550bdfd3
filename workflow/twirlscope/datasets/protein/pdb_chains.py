"""Protein chains of PDB and mmCIF files as CA traces: each polymer is a chain or has a reason to reject it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..._typing import Array, Float, Iterator, Sequence
from ...errors import needs

COORDINATES = ("ATOM  ", "HETATM")
COLUMNS_READ = 66  # of an atom line: old files have the entry and line numbers after the B-factor
ELEMENT = slice(76, 78)  # columns of the element, where a file has one
NAME, CHAIN, NUMBER, SEGMENT = slice(12, 16), slice(21, 22), slice(22, 26), slice(72, 76)
PLACEHOLDER = 9998.0  # [Å] coordinates from here on stand for an atom that is missing
CONTINUES = 4.0  # [Å] largest distance of consecutive CA atoms of one chain
BESIDE = ("water only", "not a protein")  # no loss beside a protein of the same name
AFTER_END = "after the END of the first structure of the file"
AFTER_BLOCK = "after the first block of the file"
NO_NUMBER = "the position of a CA atom is no number"


@dataclass(frozen=True)
class Piece:
    """CA trace of one polymer [Å], or the reason why there is none."""

    name: str
    positions: Float[Array, "residue 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    sequence: str = ""
    reason: str = ""

    def continued_by(self, other: Piece) -> bool:
        """True if another piece of the same name begins where this one ends."""
        if self.reason or other.reason or self.name != other.name:
            return False
        return bool(np.linalg.norm(other.positions[0] - self.positions[-1]) <= CONTINUES)


def of_cif(text: str) -> list[Piece]:
    """Polymers of the first model of an mmCIF file, by `label_asym_id`; those after its first block are rejects."""
    with needs("chemistry"):
        import gemmi

    pieces = []
    for number, block in enumerate(gemmi.cif.read_string(text)):
        structure = gemmi.make_structure_from_block(block)
        structure.merge_chain_parts()
        structure.setup_entities()
        found = [piece for chain in _first_model(structure) for piece in _subchains(chain)]
        pieces += [Piece(p.name, reason=AFTER_BLOCK) for p in found if not p.reason] if number else found
    return pieces


def of_pdb(text: str) -> list[Piece]:
    """Polymers of the first model of a PDB file; those after END are rejects.

    Raises:
        RuntimeError: gemmi cannot read the file; also `ValueError`, or `IndexError`.
    """
    first, *rest = (_structure(lines) for lines in _structures(text.split("\n")))
    extra = [piece for structure in rest for piece in _pieces(structure) if not piece.reason]
    return _pieces(first) + [Piece(p.name, reason=AFTER_END) for p in extra]


def _structure(lines: Sequence[str]) -> Any:
    """Structure of gemmi, which stops reading at a line that it takes for the last."""
    with needs("chemistry"):
        import gemmi

    structure = gemmi.read_pdb_string("\n".join(_with_parts_apart(lines)), split_chain_on_ter=True)
    found, wanted = sum(model.count_atom_sites() for model in structure), sum(map(_is_atom, lines))
    if found != wanted:
        raise ValueError(f"{found} of its {wanted} atoms are read")
    return structure


def _pieces(structure: Any) -> list[Piece]:
    """Polymers of the first model."""
    return _joined([piece for n, chain in enumerate(_first_model(structure)) for piece in _part(chain, n)])


def _is_atom(line: str) -> bool:
    return line.startswith(COORDINATES)


def _first_model(structure: Any) -> Any:
    return structure[0] if len(structure) else ()


def _structures(lines: Sequence[str]) -> list[list[str]]:
    """Lines up to the first END, and those of each structure after it; those without atoms are left out."""
    found: list[list[str]] = [[]]
    for line in lines:
        if line.split(maxsplit=1)[:1] == ["END"]:
            found.append([])
        else:
            found[-1].append(line)
    return found[:1] + [part for part in found[1:] if any(line.startswith(COORDINATES) for line in part)]


def _with_parts_apart(lines: Sequence[str]) -> Iterator[str]:
    """Lines with a TER wherever the segment changes or residue numbers of a chain start again, and legible elements."""
    last: tuple[str, str, int] | None = None
    for line in lines:
        if not line.startswith(COORDINATES):
            last = None if line.startswith(("TER", "MODEL", "ENDMDL")) else last
            yield line
            continue
        number = int(line[NUMBER]) if line[NUMBER].strip().lstrip("-").isdigit() else 0
        here = (line[CHAIN], _segment(line), number)
        if last and line.startswith("ATOM") and last[0] == here[0] and (last[1] != here[1] or here[2] < last[2]):
            yield "TER"
        last = here if line.startswith("ATOM") or last is None else last
        yield _legible(line)


def _segment(line: str) -> str:
    """Segment of an atom line; empty where an old file has the entry and the number of the line."""
    text = line[SEGMENT].strip()
    return text if not line[76:80].strip().isdigit() else ""


def _legible(line: str) -> str:
    """The line up to the B-factor, with its element if it has one, and nan for a position of CA that is no number.

    gemmi would guess calcium for a CA on the left.
    """
    element = line[ELEMENT].strip()
    if line[NAME].strip() == "CA" and not all(map(_is_number, (line[30:38], line[38:46], line[46:54]))):
        line = line[:30] + "     nan" * 3 + line[54:]  # gemmi would take 0
    if not element.isalpha() and line.startswith("ATOM") and line[NAME].strip() == "CA":
        element = "C"  # an ion is a HETATM
    short = line[:COLUMNS_READ]
    return f"{short:<76}{element:>2}" if element.isalpha() else short


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _part(chain: Any, number: int) -> list[Piece]:
    """The polymer of a part of a chain; ligands and water alone are a reject."""
    with needs("chemistry"):
        import gemmi

    alone = gemmi.Structure()
    alone.add_model(gemmi.Model(1) if hasattr(gemmi.Model(1), "num") else gemmi.Model("1"))
    alone[0].add_chain(chain)
    alone.setup_entities()
    polymer = alone[0][0].get_polymer()
    return [_piece(polymer, alone[0][0].name, alone[0][0])]


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of one name as one chain where they continue in space; ligands and water beside a protein are left out."""
    found: list[Piece] = []
    for piece in pieces:
        before = next((n for n in range(len(found) - 1, -1, -1) if found[n].name == piece.name), None)
        if before is not None and found[before].continued_by(piece):
            both = np.concatenate([found[before].positions, piece.positions])
            found[before] = Piece(piece.name, both, found[before].sequence + piece.sequence)
        else:
            found.append(piece)
    proteins = {p.name for p in found if not p.reason}
    return [p for p in found if not (p.reason in BESIDE and p.name in proteins)]


def _subchains(chain: Any) -> list[Piece]:
    """Polymers of a chain of an mmCIF file; one without any gives a reason."""
    spans = [span for span in chain.subchains() if len(span) and span.check_polymer_type().name != "Unknown"]
    pieces = [_piece(span, chain.name, chain) for span in spans]
    return pieces or [_piece(chain.get_polymer(), chain.name, chain)]


def _piece(polymer: Any, name: str, chain: Any) -> Piece:
    """CA trace of a polymer, or the reason why there is none."""
    with needs("chemistry"):
        import gemmi

    kind = polymer.check_polymer_type() if len(polymer) else None
    if kind not in (gemmi.PolymerType.PeptideL, gemmi.PolymerType.PeptideD):
        return Piece(name, reason=_not_protein(kind, chain))
    positions, letters = [], []
    for residue in polymer.first_conformer():
        known = gemmi.find_tabulated_residue(residue.name)
        atoms = [a for a in residue if a.name == "CA" and (a.element.name == "C" or known.is_amino_acid())]
        if not all(np.isfinite(a.pos.tolist()).all() for a in atoms):
            return Piece(name, reason=NO_NUMBER)
        atoms = [a for a in atoms if max(map(abs, a.pos.tolist())) < PLACEHOLDER]
        if not atoms:
            continue
        best = max(atoms, key=lambda a: a.occ)  # the first of those with equal occupancy
        letter = known.one_letter_code.upper()
        positions.append(best.pos.tolist())
        letters.append(letter if letter.isalpha() else "X")
    if not positions:
        return Piece(name, reason="no CA atom")
    return Piece(name, np.array(positions), "".join(letters))


def _not_protein(kind: Any, chain: Any) -> str:
    """Kind of a chain that is no protein, as the reason to reject it."""
    with needs("chemistry"):
        import gemmi

    nucleic = (gemmi.PolymerType.Dna, gemmi.PolymerType.Rna, gemmi.PolymerType.DnaRnaHybrid)
    if kind in nucleic:
        return "nucleic acid"
    waters = all(residue.is_water() for residue in chain)
    return "water only" if waters else "not a protein"

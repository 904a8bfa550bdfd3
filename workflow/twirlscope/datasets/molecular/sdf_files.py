"""Records of SDF and MOL files: split at `$$$$` and parsed one by one, so that a broken one does not affect others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..._typing import Array, Float, Int
from ...errors import needs
from ...runtime.input_files import read_lines

FLAT = 1e-3  # [Å] heights that differ by less lie in one plane
LONGEST_BOND_TO_HYDROGEN = 1.35  # [Å] 1.34 in HS; in drawings all bonds are 1.5 or so

Record = tuple[Int[Array, " atom"], Float[Array, "atom 3"], str]  # atomic numbers, positions [Å], canonical SMILES


def read_records(path: Path) -> Iterator[Record | str]:
    """Every record of a file, or the reason to reject it. RDKit's own reader loses records after a missing blank line.

    Raises:
        UserError: the file cannot be read.
    """
    with needs("chemistry"):
        from rdkit import Chem, rdBase

    blocks = split_records(read_lines(path, "an SDF file that can be read"))
    if (first := next(blocks, None)) is None:
        yield "the file is empty"
        return
    for block in itertools.chain([first], blocks):
        with rdBase.BlockLogs():
            mol = Chem.MolFromMolBlock(block, removeHs=False)
        yield _parse(mol)


def split_records(lines: Iterable[str]) -> Iterator[str]:
    """Text of each record; the last one may lack its `$$$$`, as the only one of a MOL file does."""
    block: list[str] = []
    for line in lines:
        if line.startswith("$$$$"):
            yield "\n".join(block)
            block = []
        else:
            block.append(line)
    if any(line.strip() for line in block):
        yield "\n".join(block)


def _parse(mol: Any) -> Record | str:
    """Numbers, positions and canonical SMILES of a molecule of RDKit, or the reason to reject it."""
    with needs("chemistry"):
        from rdkit import Chem

    if mol is None:
        return "RDKit cannot read the record"
    if not mol.GetNumAtoms():
        return "no atoms"
    if not mol.GetNumConformers() or not mol.GetConformer().Is3D():
        return "no 3D positions"
    if missing := sum(a.GetTotalNumHs() for a in mol.GetAtoms()):  # those that are no atoms of the record
        return f"{missing} hydrogen{'s' if missing > 1 else ''} without positions"
    if len(Chem.GetMolFrags(mol)) > 1:
        return "record of more than one molecule"
    positions = mol.GetConformer().GetPositions()
    if _is_drawing(mol, positions):
        return "a flat drawing, though its record says 3D"
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)  # a label of the author, which would make it another molecule
    numbers = np.array([a.GetAtomicNum() for a in mol.GetAtoms()])
    return numbers, positions, Chem.MolToSmiles(Chem.RemoveHs(mol))


def _is_drawing(mol: Any, positions: Float[Array, "atom 3"]) -> bool:
    """True if all atoms lie in one plane of equal z although they cannot: four neighbours, or bonds too long."""
    if np.ptp(positions[:, 2]) > FLAT:
        return False
    long = [
        np.linalg.norm(positions[b.GetBeginAtomIdx()] - positions[b.GetEndAtomIdx()]) > LONGEST_BOND_TO_HYDROGEN
        for b in mol.GetBonds()
        if 1 in (b.GetBeginAtom().GetAtomicNum(), b.GetEndAtom().GetAtomicNum())
    ]
    return any(long) or any(a.GetAtomicNum() == 6 and a.GetDegree() == 4 for a in mol.GetAtoms())

"""The packaged list of SMILES: small molecules by systematic substitution, that fit into the box of `conformers`.

    python tests/bench/small_molecules.py > workflow/twirlscope/datasets/molecular/smiles.smi

Hydrogens on the carbons of a scaffold are replaced by up to two substituents, in all ways. What is not stable, has no
MMFF94 parameters, or has a conformer that does not fit into the box, is left out. Of the rest, `COUNT` molecules are
taken in the order of a hash of their SMILES.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from twirlscope.datasets.conformers import Conformers
from twirlscope.datasets.molecular.smiles import Molecule, Unusable, embed_conformers, parse_smiles

COUNT = 480
LARGEST = 8  # atoms besides hydrogen
SCAFFOLDS = """C CC C=C C#C CCC C=CC CC#C CC(C)C CC=CC C=CC=C C1CC1 C1CCC1 C1=CCC1 C1CCCC1 C1=CCCC1
    COC CSC CNC CN(C)C COCC CNCC CSCC C1CO1 C1CS1 C1CN1 C1COC1 C1CNC1 C1CSC1 C1CCOC1 C1CCNC1 C1CCSC1 C1COCN1
    c1ccccc1 c1ccncc1 c1cncnc1 c1cnccn1 c1ccnnc1 c1ccco1 c1cccs1 c1ccc[nH]1 c1c[nH]cn1 c1cc[nH]n1 c1cocn1 c1cscn1
    c1conc1 c1csnc1 CC=O CC(C)=O C=CC=O CC(=O)OC CC(N)=O CNC=O CC#N C=CC#N CC=NO CC(=O)O C1CC1=O C1CCC1=O C1CCOC1=O
    C1CNC1=O CS(C)=O CS(C)(=O)=O CS(N)(=O)=O C[N+](=O)[O-] CC(=O)C=O NC(N)=O CNC(N)=O"""
SUBSTITUENTS = "C F Cl Br O S N C#N C=O C#C C=C OC SC NC C(N)=O C(F)F C(F)(F)F [N+](=O)[O-] C(=O)O"
UNSTABLE = [
    "[OX2H,NX3H,NX3H2,SX2H]-[#6;!a]=,#[#6]",  # enols, enamines
    "[OX2,NX3,SX2]-[CX4]-[OX2,NX3,SX2,Cl,Br,F]",  # two heteroatoms on a saturated carbon
    "[F,Cl,Br]-C#*",
    "[F,Cl,Br]-C=O",
    "[F,Cl,Br,SH]-C=[N,O,S]",
    "[Cl,Br]-C-[Cl,Br]",
    "[CX2](=*)=*",  # allenes
    "[#7,#8,#16]-[#7X3,#8,#16;!$(*=O)]-[#7,#8,#16]",
    "[OX2,N]-C(=O)-[OX2]",
    "C(=O)-C(=O)-C=O",
    "[CX4](C=O)C(=O)[OH]",  # loses carbon dioxide
]
PATTERNS = [Chem.MolFromSmarts(text) for text in UNSTABLE]


def candidates() -> list[str]:
    """Canonical SMILES without stereochemistry of all stable molecules of the enumeration."""
    found = {smiles for scaffold in SCAFFOLDS.split() for smiles in substituted(scaffold)}
    return sorted(smiles for smiles in found if not any(map(Chem.MolFromSmiles(smiles).HasSubstructMatch, PATTERNS)))


def substituted(scaffold: str) -> Iterator[str]:
    """The scaffold with none, one or two hydrogens of its carbons replaced."""
    bare = Chem.MolFromSmiles(scaffold)
    free = [a.GetIdx() for a in bare.GetAtoms() if a.GetAtomicNum() == 6 for _ in range(a.GetTotalNumHs())]
    for count in (0, 1, 2):
        for places in sorted(set(itertools.combinations(free, count))):
            for groups in itertools.product(SUBSTITUENTS.split(), repeat=count):
                mol = bonded(bare, places, groups)
                if mol.GetNumAtoms() <= LARGEST:
                    yield Chem.MolToSmiles(mol, isomericSmiles=False)


def bonded(bare: Chem.Mol, places: tuple[int, ...], groups: tuple[str, ...]) -> Chem.Mol:
    """The molecule with the first atom of each group bonded to the atom at its place."""
    mol = Chem.RWMol(bare)
    for place, group in zip(places, groups, strict=True):
        first = mol.GetNumAtoms()
        mol.InsertMol(Chem.MolFromSmiles(group))
        mol.AddBond(place, first, Chem.BondType.SINGLE)
    mol.UpdatePropertyCache()
    Chem.SanitizeMol(mol)
    return mol.GetMol()


def fits(molecule: Molecule, settings: Conformers.Settings) -> bool:
    """True if every conformer found fits into the box in every orientation."""
    for count in (1, 12):  # most are too large, which one conformer shows
        try:
            x = embed_conformers(molecule, count, np.random.default_rng(0))
        except Unusable:
            return False
        radius = np.linalg.norm(x - x.mean(1, keepdims=True), axis=2).max()
        if radius + settings.margin > settings.box / 2:
            return False
    return True


def chosen() -> list[str]:
    """SMILES of the list, small molecules first."""
    settings, kept = Conformers.Settings(), []
    for smiles in sorted(candidates(), key=lambda s: hashlib.sha256(s.encode()).digest()):
        if len(kept) < COUNT and fits(parse_smiles(smiles), settings):
            kept.append(smiles)
    return sorted(kept, key=lambda s: (parse_smiles(s).mol.GetNumAtoms(), s))


if __name__ == "__main__":
    with rdBase.BlockLogs():
        print("# Small molecules by systematic substitution, written by tests/bench/small_molecules.py.")
        print("\n".join(chosen()))

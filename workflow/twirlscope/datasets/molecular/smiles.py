"""Molecules from SMILES: lists, hydrogens and conformers, for the datasets that generate geometries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..._typing import Array, Float, Int
from ...errors import UserError, needs
from ...runtime.input_files import read_text
from ...settings.steps import evenly_spaced

SMILES_LIST = Path(__file__).with_suffix(".smi")  # the packaged list


class Unusable(Exception):  # noqa: N818
    """Raised for a molecule or frame that cannot be used; its text is the reason in the table of rejects."""


@dataclass(frozen=True)
class Molecule:
    """Molecule with its hydrogens.

    smiles: canonical SMILES.
    mol: molecule of RDKit.
    numbers, masses: atomic numbers, and masses [amu].
    charge: of the molecule, in elementary charges.
    unpaired: number of unpaired electrons.
    """

    smiles: str
    mol: Any
    numbers: Int[Array, " atom"]
    masses: Float[Array, " atom"]
    charge: int
    unpaired: int

    def rng(self, seed: int) -> np.random.Generator:
        """Random numbers of the molecule, from the seed and its SMILES; independent of the list and its order."""
        name = np.frombuffer(hashlib.sha256(self.smiles.encode()).digest(), np.uint32).tolist()
        return np.random.default_rng([seed, *name])


def read_smiles_list(path: Path, count: int = 0) -> list[tuple[int, str]]:
    """Line number, from 1, and SMILES of each molecule of a list, or of some of them.

    Args:
        path: text file, also .gz, with a SMILES and a name per line; lines that begin with # are comments.
        count: number of molecules, evenly spread over the list; 0 for all.

    Raises:
        UserError: the list cannot be read or has no molecule.
    """
    expected = "a text file of SMILES"
    lines = read_text(path, expected, errors="strict").split("\n")
    words = [(i, line.split()) for i, line in enumerate(lines, 1)]
    smiles = [(i, w[0]) for i, w in words if w and not w[0].startswith("#")]
    if not smiles:
        raise UserError(path, "at least one SMILES", "none")
    return evenly_spaced(smiles, count) if count else smiles


def parse_smiles(smiles: str) -> Molecule:
    """Molecule of a SMILES.

    Raises:
        Unusable: RDKit cannot read the SMILES, or it has several molecules.
    """
    with needs("chemistry"):
        from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None or not mol.GetNumAtoms():
        raise Unusable("RDKit cannot read the SMILES")
    if len(Chem.GetMolFrags(mol)) > 1:
        raise Unusable("SMILES of more than one molecule")
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)  # a label of the author, which would make it another molecule
    canonical = Chem.MolToSmiles(mol)
    mol = Chem.AddHs(Chem.MolFromSmiles(canonical))
    atoms = list(mol.GetAtoms())
    numbers, masses = np.array([a.GetAtomicNum() for a in atoms]), np.array([a.GetMass() for a in atoms])
    unpaired = sum(a.GetNumRadicalElectrons() for a in atoms)
    return Molecule(canonical, mol, numbers, masses, Chem.GetFormalCharge(mol), unpaired)


def embed_conformers(molecule: Molecule, count: int, rng: np.random.Generator) -> Float[Array, "conformer atom xyz"]:
    """At most `count` conformers by ETKDGv3, relaxed with MMFF94 [Å]; several may be the same.

    Raises:
        Unusable: MMFF94 lacks a parameter, or there is no conformer.

    Source: Riniker and Landrum, J. Chem. Inf. Model. 55, 2562 (2015); Wang et al., ibid. 60, 2044 (2020).
    """
    with needs("chemistry"):
        from rdkit import rdBase
        from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.numThreads = int(rng.integers(1, 2**31 - 1)), 1
    with rdBase.BlockLogs():
        if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule.mol):
            raise Unusable("no MMFF94 parameters for an atom")
        conformers = list(rdDistGeom.EmbedMultipleConfs(molecule.mol, count, parameters))
        if not conformers:
            raise Unusable("ETKDGv3 finds no conformer")
        rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule.mol, numThreads=1)
    return np.array([molecule.mol.GetConformer(i).GetPositions() for i in conformers])

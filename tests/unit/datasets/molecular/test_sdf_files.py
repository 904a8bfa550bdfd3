"""SDF files: every record is a molecule or has a reason, as another parser counts them."""

import re

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from twirlscope.datasets.molecular.sdf_files import read_records


def block(smiles, name="", hydrogens=True):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=7)
    mol.SetProp("_Name", name)
    return Chem.MolToMolBlock(mol if hydrogens else Chem.RemoveHs(mol))


@pytest.fixture
def read(tmp_path):
    def give(text, name="a.sdf"):
        path = tmp_path / name
        path.write_text(text)
        return list(read_records(path))

    return give


@pytest.mark.parametrize(
    "fields",
    ["", ">  <x>\n1\n\n", ">  <x>\n1\n", ">  <>\n1\n\n", "> \n1\n\n", ">  <x>\n\n\n", ">  <x>\n1\n\n>  <y>\n2\n"],
    ids=repr,
)
def test_read_records__counts_every_record_whatever_its_data_fields_look_like(read, fields):
    text = "".join(block(smiles) + fields + "$$$$\n" for smiles in ["CO", "CC", "N", "O", "CCO"] * 2)
    found = read(text)
    assert len(found) == len(re.findall(r"V2000$", text, re.MULTILINE)) == 10, "one header of a molecule each"
    assert [name for _, _, name in found] == ["CO", "CC", "N", "O", "CCO"] * 2


def test_read_records__reads_a_mol_file_and_a_last_record_without_an_end(read):
    assert [r[2] for r in read(block("CO"), "a.mol")] == ["CO"]
    assert [r[2] for r in read(block("CO") + "$$$$\n" + block("N"))] == ["CO", "N"]
    assert read("\n\n") == ["the file is empty"]


def test_read_records__does_not_lose_the_neighbours_of_a_damaged_record(read):
    damaged = block("CC").replace("M  END", "")[:-40]
    found = read(block("CO") + "$$$$\n" + damaged + "\n$$$$\n" + block("N") + "$$$$\n")
    assert [r if isinstance(r, str) else r[2] for r in found] == ["CO", "RDKit cannot read the record", "N"]


def test_read_records__counts_the_hydrogens_that_are_missing(read):
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    some = Chem.RWMol(mol)
    some.RemoveAtom(8)
    one = Chem.MolFromMolBlock(Chem.MolToMolBlock(some), removeHs=False)
    assert sum(a.GetTotalNumHs() for a in one.GetAtoms()) == 1
    assert read(Chem.MolToMolBlock(some) + "$$$$\n") == ["1 hydrogen without positions"]
    assert read(block("CCO", hydrogens=False) + "$$$$\n") == ["6 hydrogens without positions"]


def test_read_records__rejects_salts_and_drawings_that_claim_to_be_3d(read):
    assert read(block("CC(=O)[O-].[Na+]") + "$$$$\n") == ["record of more than one molecule"]
    for smiles in ("CCO", "c1ccccc1"):
        flat = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.Compute2DCoords(flat)
        text = Chem.MolToMolBlock(flat).replace("     RDKit          2D", "     RDKit          3D")
        assert read(text + "$$$$\n") == ["a flat drawing, though its record says 3D"]


def test_read_records__takes_a_molecule_that_lies_in_the_plane_of_the_paper(read):
    mol = Chem.AddHs(Chem.MolFromSmiles("c1ccccc1"))
    AllChem.EmbedMolecule(mol, randomSeed=2)
    AllChem.MMFFOptimizeMolecule(mol, maxIters=2000)
    x = mol.GetConformer().GetPositions()
    x = (x - x.mean(0)) @ np.linalg.svd(x - x.mean(0))[2].T
    x[:, 2] = 0
    for i, p in enumerate(x):
        mol.GetConformer().SetAtomPosition(i, p.tolist())
    ((numbers, positions, name),) = read(Chem.MolToMolBlock(mol))
    assert name == "c1ccccc1"
    assert len(numbers) == len(positions) == 12


def test_read_records__names_a_molecule_without_the_maps_of_its_atoms(read):
    mol = Chem.AddHs(Chem.MolFromSmiles("[CH3:5][OH:2]"))
    AllChem.EmbedMolecule(mol, randomSeed=3)
    assert read(Chem.MolToMolBlock(mol))[0][2] == "CO"

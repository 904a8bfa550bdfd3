"""Every record of a file is a sample or a reject, as plain parsers count the records: of each format, good and damaged.

The counts are made here, by regular expressions, gemmi, h5py, RDKit and ASE alone.
"""

import gzip
import itertools
import json
import os
import re
from pathlib import Path

import ase.io
import gemmi
import h5py
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from good_files import chain, cif, frame, outcar, pdb, read, record
from good_files import spice as write_spice
from rdkit import Chem

DATA = Path(os.environ.get("TWIRLSCOPE_DATA", "no data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set TWIRLSCOPE_DATA to their folder")


def of_xyz(path):
    """Lines with one integer alone."""
    return len(re.findall(r"^[ \t]*[0-9]+[ \t]*\r?$", text(path), re.MULTILINE))


def of_sdf(path):
    """Ends of connection tables, of which each record has one."""
    return len(re.findall(r"^M  END", text(path), re.MULTILINE))


def of_smiles(path):
    """Lines that are neither empty nor comments."""
    return len(re.findall(r"^[ \t]*[^\s#]", text(path), re.MULTILINE))


def of_pdb(path):
    """Chain names of CA atoms of residues in the first model."""
    lines = text(path).split("ENDMDL")[0].splitlines()
    return len({line[21] for line in lines if line.startswith("ATOM") and line[12:16] == " CA "})


def of_cif(path):
    """Asymmetric units with a CA atom in the first model."""
    sites = gemmi.cif.read_string(text(path))[0].get_mmcif_category("_atom_site.")
    model = sites.get("pdbx_PDB_model_num", ["1"] * len(sites["label_atom_id"]))
    rows = zip(sites["label_asym_id"], sites["label_atom_id"], sites["type_symbol"], model, strict=True)
    return len({a for a, name, element, m in rows if (name, element, m) == ("CA", "C", model[0])})


def of_spice(path):
    """Energies of all groups."""
    with h5py.File(path) as file:
        return sum(len(group["dft_total_energy"]) for group in file.values())


def of_outcar(path):
    """Tables of forces."""
    return text(path).count("TOTAL-FORCE")


def text(path):
    content = path.read_bytes()
    return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8", "replace")


def water(n):
    return "".join(frame(energy=f"energy={-5 - 0.01 * i}") for i in range(n))


def written_by_ase(name, content):
    def write(path):
        made = [ase.Atoms("OH", [[0, 0, 0], [0, 0, 1 + 0.01 * i]], cell=[9, 9, 9]) for i in range(7)]
        for i, atoms in enumerate(made):
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0 * i, forces=[[0, 0, i], [0, 0, -i]])
        ase.io.write(path, made)

    return name, write, content


def text_file(name, content, count):
    return name, lambda path: path.write_text(content), count


SMILES = "C methane\nCO\n\n# a comment\nN\nO water\nC1CC\n[NH4+]\nOC\n"
CHAINS = [line for i, name in enumerate("ABCDEFG") for line in [*chain(9, name, i, 60.0 * i), "TER"]]
FILES = {  # dataset, then file name, what writes it, and the count
    "extxyz": ("extxyz", *text_file("a.xyz", water(7), of_xyz)),
    "xyz of molecules": ("conformers", *text_file("a.xyz", water(7), of_xyz)),
    "sdf": ("conformers", *text_file("a.sdf", "".join(record(s) for s in ("CO", "N", "O", "CC") * 2), of_sdf)),
    "mol": ("conformers", *text_file("a.mol", record("CO").replace("$$$$\n", ""), of_sdf)),
    "smiles": ("conformers", *text_file("a.smi", SMILES, of_smiles)),
    "pdb": ("protein_structures", *text_file("a.pdb", pdb(CHAINS), of_pdb)),
    "mmcif": ("protein_structures", *text_file("a.cif", cif(*"ABCDEFG"), of_cif)),
    "spice": ("spice", "a.hdf5", write_spice, of_spice),
    "outcar": ("extxyz", *text_file("OUTCAR", outcar(7), of_outcar)),
    "traj": ("extxyz", *written_by_ase("a.traj", lambda path: len(ase.io.Trajectory(path)))),
    "json": ("extxyz", *written_by_ase("a.json", lambda path: len(json.loads(path.read_text())["ids"]))),
    "db": ("extxyz", *written_by_ase("a.db", lambda path: len(ase.db.connect(path)))),
    "cif": ("extxyz", *written_by_ase("a.cif", lambda path: path.read_text().count("data_"))),
}


@pytest.mark.parametrize("kind", FILES)
def test_read__counts_every_record_of_a_good_file(tmp_path, kind):
    dataset, name, write, count = FILES[kind]
    write(tmp_path / name)
    samples, reasons, error = read(dataset, tmp_path / name, **({"conformers": 1} if kind == "smiles" else {}))
    assert not error
    assert samples + len(reasons) == count(tmp_path / name) >= 1
    assert not reasons or kind in ("smiles", "cif"), "a cif has no energies"


DAMAGED = ["extxyz", "xyz of molecules", "sdf", "pdb", "outcar"]


@pytest.mark.parametrize("kind", DAMAGED)
def test_read__counts_every_record_of_a_file_that_lacks_a_line(tmp_path, kind):
    """Each line in turn, but for those by which records are counted."""
    dataset, name, write, count = FILES[kind]
    write(tmp_path / name)
    whole, lines = count(tmp_path / name), (tmp_path / name).read_text().split("\n")
    for n in range(0, len(lines) - 1, 1 + len(lines) // 60):
        (tmp_path / name).write_text("\n".join(lines[:n] + lines[n + 1 :]))
        samples, reasons, error = read(dataset, tmp_path / name)
        assert not error
        unread = any(r.startswith(("ASE cannot read the rest", "gemmi cannot")) for r in reasons)
        if not unread and not lines[n].startswith("$$$$"):
            assert samples + len(reasons) >= count(tmp_path / name) >= whole - 1, lines[n]


@needs_data
@pytest.mark.parametrize("name", ["acac/train_300K", "acac/test_dihedral", "acac/isolated_atoms", "3bpa/iso_atoms"])
def test_read__counts_every_frame_of_real_files(name):
    path = DATA / "forcefield" / f"{name}.xyz.gz"
    samples, reasons, error = read("extxyz", path)
    assert not error
    assert samples + len(reasons) == of_xyz(path) > 1


@needs_data
@pytest.mark.parametrize("name", ["pubLigsChargedGoodDensity.sdf.gz", "pubLigsNeutralGoodDensity.sdf.gz"])
def test_read__counts_every_record_of_real_sdf_files(name):
    path = DATA / "molecules" / name
    samples, reasons, _ = read("conformers", path)
    with gzip.open(path) as file:
        supplied = len(list(Chem.ForwardSDMolSupplier(file, sanitize=False)))
    assert samples + len(reasons) == of_sdf(path) == supplied > 100


@needs_data
@pytest.mark.parametrize(("kind", "count"), [("mmcif", of_cif), ("pdb", of_pdb)])
def test_read__counts_every_chain_of_real_structures(kind, count):
    paths = sorted((DATA / "proteins" / kind).iterdir())[::8]
    samples, reasons, error = read("protein_structures", *paths, shortest=4, longest=5000, most_breaks=999)
    assert not error
    assert samples + len(reasons) >= sum(map(count, paths)) > 50
    assert samples == sum(map(count, paths))


@needs_data
def test_read__counts_every_line_of_a_real_list_of_smiles(tmp_path):
    source = next(p for p in sorted((DATA / "smiles").iterdir()) if ".smi" in p.name or ".txt" in p.name)
    path = tmp_path / "some.smi"
    path.write_text("".join(itertools.islice((line + "\n" for line in text(source).split("\n")), 25)))
    samples, reasons, error = read("conformers", path, conformers=1)
    assert not error
    assert samples + len(reasons) == of_smiles(path) >= 20


def test_read__counts_every_molecule_of_a_spice_file_with_damage(tmp_path):
    def edit(file):
        del file["mol1"]["dft_total_energy"], file["mol2"]["conformations"]
        file["mol0"]["dft_total_energy"][2] = np.nan

    samples, reasons, _ = read("spice", write_spice(tmp_path / "a.hdf5", 4, 5, edit))
    assert (samples, len(reasons)) == (4 + 5, 1 + 2), "a molecule without an array is one record"

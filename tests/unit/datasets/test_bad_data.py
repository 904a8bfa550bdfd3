"""Kinds of bad data, each by its name: what is said of it, and how many samples are left of the file.

A kind that concerns one record stands between two good ones, which must be kept.
"""

import gzip

import h5py
import numpy as np
import pytest
from good_files import (
    BARE,
    GOOD,
    HEAD,
    ROWS,
    STRESSED,
    atom,
    chain,
    cif,
    flat_record,
    frame,
    outcar,
    pdb,
    read,
    record,
    walk,
)
from good_files import spice as write_spice
from rdkit import Chem

from twirlscope import plugins
from twirlscope.errors import UserError, UserErrors
from twirlscope.stages import prepare

BARE_HEAD = HEAD.replace(":forces:R:3", "")


def row(n, **words):
    """The rows of a good frame, one of them with other words by column."""
    rows = [r.split() for r in ROWS]
    for column, word in words.items():
        rows[n]["sxyzabc".index(column)] = word
    return [" ".join(r) for r in rows]


FRAMES = {  # text of the frame, and the reason
    "more atoms than lines": (frame(count=4), "the number of atoms is above the number of lines"),
    "fewer atoms than lines": (frame(count=2), "the number of atoms is below the number of lines"),
    "no atoms": (frame(rows=[]), "no atoms"),
    "no atoms though there are lines": (frame(count=0), "the number of atoms is below the number of lines"),
    "a count with a letter": (frame(count="3x"), "lines without a number of atoms above them"),
    "a negative count": (frame(count=-3), "lines without a number of atoms above them"),
    "a count with a decimal point": (frame(count="3.0"), "lines without a number of atoms above them"),
    "a count of billions": (frame(count="3000000000"), "lines without a number of atoms above them"),
    "a count in other digits": (frame(count="\u0663"), "lines without a number of atoms above them"),
    "text between frames": ("and here is the next one\n", "lines without a number of atoms above them"),
    "no energy": (frame(energy=""), "no energy 'energy'"),
    "energy in words": (frame(energy="energy=low"), "no energy 'energy'"),
    "two energies": (frame(energy='energy="1 2"'), "no energy 'energy'"),
    "energy that is nan": (frame(energy="energy=nan"), "the energy is not finite"),
    "energy that is infinite": (frame(energy="energy=-inf"), "the energy is not finite"),
    "energy without a value": (frame(energy="energy="), "no energy 'energy'"),
    "no forces": (frame(head=BARE_HEAD, rows=BARE), "no forces 'forces'"),
    "forces under another name": (frame(head=HEAD.replace("forces", "push")), "no forces 'forces'"),
    "forces of two components": (
        frame(head=HEAD.replace("forces:R:3", "forces:R:2"), rows=[r.rsplit(" ", 1)[0] for r in ROWS]),
        "no forces 'forces'",
    ),
    "a force that is nan": (frame(rows=row(1, b="nan")), "a force is not finite"),
    "a force that is infinite": (frame(rows=row(1, b="inf")), "a force is not finite"),
    "a huge force": (frame(rows=row(1, b="1e5")), "a force is above 10000 eV"),
    "a position that is nan": (frame(rows=row(1, x="nan")), "a position is not finite"),
    "a position that is infinite": (frame(rows=row(1, x="inf")), "a position is not finite"),
    "a comma as decimal point": (frame(rows=row(1, x="0,96")), "ASE cannot read the frame: ValueError"),
    "an exponent of Fortran": (frame(rows=row(1, x="9.6D-1")), "ASE cannot read the frame: ValueError"),
    "asterisks of Fortran": (frame(rows=row(1, x="********")), "ASE cannot read the frame: ValueError"),
    "a stray space in a number": (frame(rows=row(1, x="0 .96")), "differ in their number of columns"),
    "a column more than named": (frame(rows=[r + " 1" for r in ROWS]), "8 columns, but Properties names 7"),
    "a column less than named": (frame(rows=[r.rsplit(" ", 1)[0] for r in ROWS]), "6 columns, but Properties names 7"),
    "a row that is cut": (frame(rows=[*ROWS[:2], "H -0.2"]), "differ in their number of columns"),
    "an element that does not exist": (frame(rows=row(1, s="Qq")), "ASE cannot read the frame: KeyError"),
    "a dummy atom": (frame(rows=row(1, s="X")), "an atom is not a chemical element"),
    "a type of a force field as symbol": (frame(rows=row(1, s="HW1")), "ASE cannot read the frame: KeyError"),
    "overlapping atoms": (frame(rows=row(1, x="0.06")), "two atoms are closer than 0.3"),
    "atoms at one place": (frame(rows=row(1, x="0")), "two atoms are closer than 0.3"),
    "positions in nanometres": (frame(rows=[*row(1, x="0.096")[:2], row(2, x="-0.02", y="0.09")[2]]), "closer than"),
    "one atom": (frame(rows=ROWS[:1]), "a single atom"),
    "Properties of an unknown type": (frame(head=HEAD.replace("pos:R", "pos:Q")), "Unknown property type"),
    "Properties without counts": (frame(head=HEAD.replace("pos:R:3", "pos:R")), "no triples of name"),
    "Properties without positions": (frame(head=HEAD.replace("pos:R:3", "place:R:3")), "two atoms are closer"),
    "Properties without elements": (frame(head=HEAD.replace("species:S:1", "kind:S:1")), "an atom is not a chemical"),
    "a comment that is empty": (frame(head=""), "no energy 'energy'"),
    "a quote that is not closed": (frame(head='name="water ' + HEAD.split(" name")[0]), "no energy 'energy'"),
    "periodic without a cell": (frame(pbc='pbc="T T T"'), "lattice vector is missing"),
    "periodic along one axis without a vector": (frame(pbc='pbc="F F T"'), "lattice vector is missing"),
    "a cell of two vectors": (frame(pbc='Lattice="9 0 0 0 9 0" pbc="T T F"'), "special 3x3 matrix"),
    "a cell with nan": (frame(pbc='Lattice="9 0 0 0 9 0 0 0 nan" pbc="T T T"'), "three finite lattice vectors"),
    "a cell in words": (frame(pbc='Lattice="cubic" pbc="T T T"'), "special 3x3 matrix"),
    "a flat cell": (frame(pbc='Lattice="9 0 0 0 9 0 4 4 0" pbc="T T T"'), "the cell is singular"),
    "an overlap over the face of the cell": (
        frame(pbc='Lattice="1.1 0 0 0 9 0 0 0 9" pbc="T T T"'),
        "two atoms are closer",
    ),
    "a stress of five numbers": (frame(pbc=STRESSED + ' stress="1 2 3 4 5"'), "the stress is no symmetric matrix"),
    "an asymmetric stress": (frame(pbc=STRESSED + ' stress="1 2 3 9 4 5 3 5 6"'), "the stress is no symmetric matrix"),
    "a stress that is nan": (frame(pbc=STRESSED + ' stress="nan 0 0 0 0 0"'), "the stress is no symmetric matrix"),
    "a stress in words": (frame(pbc=STRESSED + " stress=high"), "the stress is no symmetric matrix"),
    "a huge stress": (frame(pbc=STRESSED + ' stress="1e3 0 0 0 0 0"'), "symmetric matrix of numbers up to 100"),
    "an asymmetric virial": (frame(pbc=STRESSED + ' virial="1 2 3 9 4 5 3 5 6"'), "the stress is no symmetric matrix"),
    "a html tag": ("<html><body>404</body></html>\n", "lines without a number of atoms above them"),
    "null bytes": (frame(rows=row(1, x="\0")), "ASE cannot read the frame: ValueError"),
    "characters that are no text": (frame(rows=row(1, s="\udcff")), "ASE cannot read the frame: KeyError"),
}

UNLISTED = '{"1": {\n "numbers": [1], "positions": [[0, 0, 0]]\n},\n"ids": [],\n"nextid": 2}\n'
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
PAGE = "<!DOCTYPE html>\n<html><head><title>404</title></head>\n<body>not found</body></html>\n"
PACKED = gzip.compress((GOOD * 20).encode(), mtime=0)
FILES = {  # dataset, file name, content, samples left, what is said
    "empty": ("extxyz", "a.xyz", "", 0, "the file is empty"),
    "empty, packed": ("extxyz", "a.xyz.gz", gzip.compress(b""), 0, "the file is empty"),
    "empty of bytes, called gz": ("extxyz", "a.xyz.gz", b"", 0, "the file is empty"),
    "blank lines": ("extxyz", "a.xyz", "\n \n\n", 0, "the file is empty"),
    "html page": ("extxyz", "a.xyz", PAGE, 0, "no line with a number of atoms"),
    "Git LFS pointer": ("extxyz", "a.xyz", POINTER, 0, "no line with a number of atoms"),
    "html page, called gz": ("extxyz", "a.xyz.gz", PAGE, None, "Not a gzipped file"),
    "Git LFS pointer, called gz": ("extxyz", "a.xyz.gz", POINTER, None, "Not a gzipped file"),
    "truncated gz": ("extxyz", "a.xyz.gz", PACKED[:-20], None, "ended before the end-of-stream marker"),
    "gz with a wrong checksum": ("extxyz", "a.xyz.gz", PACKED[:-8] + b"\0" * 8, None, "CRC check failed"),
    "gz with damage inside": (
        "extxyz",
        "a.xyz.gz",
        PACKED[:30] + b"\xff" * 8 + PACKED[38:],
        None,
        "a.xyz.gz: expected",
    ),
    "gz with text behind it": ("extxyz", "a.xyz.gz", PACKED + b"the end", None, "a.xyz.gz: expected"),
    "gz without its name": ("extxyz", "a.xyz", PACKED, 20, ""),
    "gz in two members": ("extxyz", "a.xyz.gz", PACKED + PACKED, 40, ""),
    "UTF-16": ("extxyz", "a.xyz", (GOOD * 2).encode("utf-16"), 2, ""),
    "UTF-16 without a mark": ("extxyz", "a.xyz", (GOOD * 2).encode("utf-16-le"), 0, "no line with a number of atoms"),
    "byte order mark": ("extxyz", "a.xyz", (GOOD * 2).encode("utf-8-sig"), 2, ""),
    "carriage returns alone": ("extxyz", "a.xyz", (GOOD * 2).replace("\n", "\r"), 2, ""),
    "line ends of Windows": ("extxyz", "a.xyz", (GOOD * 2).replace("\n", "\r\n"), 2, ""),
    "title above": ("extxyz", "a.xyz", "title\n" + GOOD, 1, "the file does not begin with a number of atoms"),
    "cut in the middle of a frame": ("extxyz", "a.xyz", (GOOD * 2)[:-30], 1, "above the number of lines"),
    "cut in the middle of a number": ("extxyz", "a.xyz", (GOOD * 2)[:-8], 1, "number of columns"),
    "random bytes": ("extxyz", "a.xyz", np.random.default_rng(0).bytes(999), 0, "no line with a number of atoms"),
    "an unknown ending": ("extxyz", "a.frames", GOOD, None, "a file that ASE reads, such as .xyz"),
    "no ending": ("extxyz", "frames", GOOD, None, "a file that ASE reads, such as .xyz"),
    "braces in the name": ("extxyz", "a{0}@:1.xyz", GOOD, 1, ""),
    "a name of a trajectory for text": ("extxyz", "a.traj", GOOD, 0, "ASE cannot read the rest of the file"),
    "an empty trajectory": ("extxyz", "a.traj", b"", 0, "ASE cannot read the rest of the file"),
    "an empty table of ASE": ("extxyz", "a.json", "{}", 0, "Does not resemble ASE JSON database"),
    "a json of something else": ("extxyz", "a.json", '{"a": [1]}', 0, "ASE cannot read the rest of the file"),
    "an OUTCAR that is cut": ("extxyz", "OUTCAR", outcar(2)[:-600], 1, "ASE does not read this record"),
    "a table of ASE that does not list a row": ("extxyz", "a.json", UNLISTED, 0, "ASE does not read this record"),
    "a cif without a cell": ("extxyz", "a.cif", "data_x\n", 0, "ASE finds no frame"),
    "misnamed energy": ("extxyz", "a.xyz", GOOD.replace("energy", "energie"), None, "expected energy_key to be a name"),
    "misnamed forces": ("extxyz", "a.xyz", GOOD.replace("forces", "force"), None, "expected forces_key to be a name"),
    "SDF that is empty": ("conformers", "a.sdf", "", 0, "the file is empty"),
    "SDF that is a html page": ("conformers", "a.sdf", PAGE, 0, "RDKit cannot read the record"),
    "SDF that is a Git LFS pointer": ("conformers", "a.sdf", POINTER, 0, "RDKit cannot read the record"),
    "SDF in a truncated gz": ("conformers", "a.sdf.gz", PACKED[:-20], None, "an SDF file that can be read"),
    "SDF with carriage returns": ("conformers", "a.sdf", (record("CO") * 2).replace("\n", "\r"), 2, ""),
    "SDF in UTF-16": ("conformers", "a.sdf", (record("CO") * 2).encode("utf-16"), 2, ""),
    "SDF of separators alone": ("conformers", "a.sdf", "$$$$\n$$$$\n", 0, "RDKit cannot read the record"),
    "list of SMILES that is empty": ("conformers", "a.smi", "", None, "at least one SMILES, got none"),
    "list of comments": ("conformers", "a.smi", "# nothing\n", None, "at least one SMILES, got none"),
    "list that is no text": ("conformers", "a.smi", b"CO\n\xff\xfa\n", None, "a text file of SMILES"),
    "list that is a html page": ("conformers", "a.smi", PAGE, 0, "RDKit cannot read the SMILES"),
    "molecules in a PDB file": ("conformers", "a.pdb", "END\n", None, "a file .smi, .txt, .sdf, .mol or .xyz"),
    "molecules in periodic cells": ("conformers", "a.xyz", frame(pbc=STRESSED), 0, "periodic cells are not supported"),
    "molecules in an empty XYZ file": ("conformers", "a.xyz", "", 0, "the file is empty"),
    "PDB that is empty": ("protein_structures", "a.pdb", "", 0, "no atoms"),
    "PDB that is a html page": ("protein_structures", "a.pdb", PAGE, 0, "no atoms"),
    "PDB that is a Git LFS pointer": ("protein_structures", "a.pdb", POINTER, 0, "no atoms"),
    "PDB in a truncated gz": ("protein_structures", "a.pdb.gz", PACKED[:-20], 0, "damaged or truncated .gz file"),
    "mmCIF that is empty": ("protein_structures", "a.cif", "", 0, "no atoms"),
    "mmCIF that is a html page": ("protein_structures", "a.cif", PAGE, 0, "gemmi cannot read the file"),
    "mmCIF without atoms": ("protein_structures", "a.cif", "data_x\n", 0, "no atoms"),
    "mmCIF in a truncated gz": ("protein_structures", "a.cif.gz", PACKED[:-20], 0, "damaged or truncated .gz file"),
    "PDB called mmCIF": ("protein_structures", "a.cif", pdb(chain()), 0, "gemmi cannot read the file"),
    "mmCIF called PDB": ("protein_structures", "a.pdb", cif("A"), 0, "gemmi cannot read the file"),
    "SPICE that is empty": ("spice", "a.hdf5", b"", None, "an HDF5 file that can be read"),
    "SPICE that is a html page": ("spice", "a.hdf5", PAGE, None, "an HDF5 file that can be read"),
    "SPICE that is a Git LFS pointer": ("spice", "a.hdf5", POINTER, None, "an HDF5 file that can be read"),
}


def changed(smiles, change):
    """A record of a molecule that is changed."""
    mol = Chem.RWMol(Chem.MolFromMolBlock(record(smiles), removeHs=False))
    change(mol)
    return Chem.MolToMolBlock(mol, kekulize=False) + "$$$$\n"


def at_line(number, change=lambda line: line):
    """A record of methanol with one of its lines, counted from 1, changed."""
    lines = record("CO").split("\n")
    lines[number - 1] = change(lines[number - 1])
    return "\n".join(lines)


def without_one_hydrogen(mol):
    mol.RemoveAtom(mol.GetNumAtoms() - 1)


RECORDS = {  # text of the record, and the reason
    "no hydrogens": (record("CCO", hydrogens=False), "6 hydrogens without positions"),
    "one hydrogen less": (changed("CO", without_one_hydrogen), "1 hydrogen without positions"),
    "a salt": (record("CC(=O)[O-].[Na+]"), "record of more than one molecule"),
    "two molecules": (record("O.CO"), "record of more than one molecule"),
    "a drawing": (flat_record("CO"), "no 3D positions"),
    "a drawing that says 3D": (flat_record("CCO", "3D"), "a flat drawing"),
    "an element that does not exist": (record("CO").replace(" O ", " Qq"), "RDKit cannot read the record"),
    "a bond to an atom that is not there": (record("CO").replace("  1  2  1", "  1 99  1", 1), "RDKit cannot read"),
    "too few lines": (record("CO").replace("M  END", "")[:-120] + "\n$$$$\n", "RDKit cannot read the record"),
    "no atoms": (Chem.MolToMolBlock(Chem.Mol()) + "$$$$\n", "no atoms"),
    "no text": ("$$$$\n", "RDKit cannot read the record"),
    "a position in words": (at_line(5, lambda line: "  no.tnum" + line[9:]), "RDKit cannot read the record"),
    "a position that is nan": (at_line(5, lambda line: "       nan" + line[10:]), "RDKit cannot read the record"),
    "a count line that is missing": (at_line(4, lambda line: ""), "RDKit cannot read the record"),
    "atoms at one place": (at_line(5, lambda line: at_line(6).split("\n")[5][:30] + line[30:]), "two atoms are closer"),
    "an element that is not asked for": (record("C[SiH3]"), "an element that is not among `elements`"),
    "five bonds of carbon": (record("C").replace("  1  5  1", "  1  5  2"), "RDKit cannot read the record"),
    "too large for the box": (record("C#C" * 14), "does not fit into the box"),
    "a query atom": (record("CO").replace(" O ", " * "), "an atom is not a chemical element"),
}


SMILES = {  # line, and the reason
    "a ring that is not closed": ("C1CC", "RDKit cannot read the SMILES"),
    "five bonds of carbon": ("C(C)(C)(C)(C)C", "RDKit cannot read the SMILES"),
    "an element that does not exist": ("C[Qq]", "RDKit cannot read the SMILES"),
    "a name instead of a SMILES": ("methanol", "RDKit cannot read the SMILES"),
    "a head of a table": ("smiles,name", "RDKit cannot read the SMILES"),
    "a salt": ("[Na+].[Cl-]", "SMILES of more than one molecule"),
    "the same molecule": ("OC", "duplicate of an earlier molecule"),
    "the same molecule with atom maps": ("[CH3:1][OH:2]", "duplicate of an earlier molecule"),
    "an element that is not asked for": ("C[SiH3]", "an element that is not among `elements`"),
    "a dummy atom": ("*C", "an element that is not among `elements`"),
    "no force field": ("[O][O]", "no MMFF94 parameters"),
    "too large for the box": ("C#C" * 14, "does not fit into the box"),
}


def misplaced(*numbers, to=9999.0):
    """A chain with atoms at another place."""
    lines = chain(12)
    for n in numbers:
        lines[n] = lines[n][:30] + f"{to:8.3f}" * 3 + lines[n][54:]
    return lines


WATER = [atom(90 + n, "HOH", 90 + n, [n, 1, 1], "W", record="HETATM", name="O", end="O") for n in range(3)]
DNA = [
    atom(n, residue, n // 3 + 1, [n, n % 3, 0], "D", name=name, end=name[0])
    for n, (residue, name) in enumerate((r, a) for r in ("DA", "DC", "DG", "DT") * 3 for a in ("P", "C1'", "O3'"))
]
CHAINS = {  # text of the file, chains left, and what is said
    "too short": (pdb(chain(4)), 0, "shorter than 5 residues"),
    "too long": (pdb(chain(31)), 0, "longer than 30 residues"),
    "water only": (pdb(WATER), 0, "water only"),
    "nucleic acid": (pdb(DNA), 0, "nucleic acid"),
    "nucleic acid beside a protein": (pdb(chain(), ["TER"], DNA), 1, "nucleic acid"),
    "no CA atoms": (
        pdb(chain(name="A"), [line.replace(" CA ", " CB ") for line in chain(12, "B", 1, 50.0)]),
        1,
        "no CA atom",
    ),
    "ligand alone": (pdb([atom(1, "ATP", 1, [0, 0, 0], record="HETATM", name="PG", end="P")]), 0, "not a protein"),
    "a gap of 200 Å": (
        pdb(chain(6) + [atom(9, "ALA", 9 + n, x + 200) for n, x in enumerate(np.eye(3) * 3)]),
        0,
        "nm apart",
    ),
    "three breaks": (pdb(chain()[::2]), 0, "more than 2 chain breaks"),
    "placeholder coordinates": (pdb(misplaced(3)), 1, ""),
    "placeholder coordinates alone": (pdb(misplaced(*range(12))), 0, "no CA atom"),
    "two residues at one place": (pdb(misplaced(3, 4, to=5.0)), 0, "two CA atoms are closer than 0.25 nm"),
    "a place that is nan": (
        pdb([*chain(6), chain(7)[6].replace(chain(7)[6][30:38], "     nan"), *chain(12)[7:]]),
        0,
        "the position of a CA atom is no number",
    ),
    "a place in words": (
        pdb([*chain(6), chain(7)[6].replace(chain(7)[6][30:38], "  x.xxxx"), *chain(12)[7:]]),
        0,
        "the position of a CA atom is no number",
    ),
    "columns shifted by one": (pdb(["ATOM  " + " " + line[6:] for line in chain()]), 0, "not a protein"),
    "cut in the last line": (pdb(chain())[:-40], 0, "truncated: the last line is incomplete"),
    "file of the archive cut after an atom": ("HEADER    X\n" + "\n".join(chain()), 0, "no record after the last atom"),
    "a second structure after END": (
        pdb(chain(), ["END"], chain(12, "B", 1)),
        1,
        "after the END of the first structure",
    ),
    "atoms before END": (pdb(["END"], chain()), 0, "after the END of the first structure"),
    "residue numbers that start again": (pdb(chain(), chain(14, seed=1, shift=50.0)), 2, ""),
    "a chain without a name": (pdb(chain(name=" ")), 1, ""),
    "no elements in the last columns": (pdb([line[:66] for line in chain()]), 1, ""),
    "a model that is empty": (pdb(["MODEL        1", "ENDMDL", "MODEL        2"], chain(), ["ENDMDL"]), 0, "no atoms"),
    "mixed line ends": (pdb(chain()).replace("\n", "\r\n", 5), 1, ""),
    "null bytes": (pdb(chain()).replace("ALA", "A\0A", 1), 0, "gemmi cannot read the file"),
}
CIFS = {
    "a row that is cut": (cif("A")[:-20], 0, "gemmi cannot read the file"),
    "a quote that is not closed": (cif("A").replace(" ALA ", " 'ALA ", 1), 0, "gemmi cannot read the file"),
    "two blocks of one name": (cif("A") + cif("A"), 0, "duplicate block name"),
    "two blocks": (cif("A") + cif("B").replace("data_x", "data_y"), 1, "after the first block of the file"),
    "a place in words": (cif("A").replace(f" {walk(12)[3][0]:.3f} ", " x "), 0, "position of a CA atom is no number"),
    "an unknown place": (cif("A").replace(f" {walk(12)[3][0]:.3f} ", " ? "), 0, "position of a CA atom is no number"),
    "a placeholder": (cif("A").replace(f" {walk(12)[3][0]:.3f} ", " 9999.0 "), 1, ""),
    "too short": (cif("A", residues=3), 0, "shorter than 5 residues"),
    "no column of x": (cif("A").replace("_atom_site.Cartn_x", "_atom_site.other"), 0, "no atoms"),
    "no loop": (cif("A").replace("loop_\n", ""), 0, "gemmi cannot read the file"),
}


def moved(group, name, change):
    """Replace a dataset of an HDF5 group, but keep its attributes."""

    def edit(file):
        old, attrs = file[group][name][()], dict(file[group][name].attrs)
        del file[group][name]
        file[group][name] = change(old)
        file[group][name].attrs.update(attrs)

    return edit


def without(name):
    return lambda file: file["mol1"].__delitem__(name)


def unit(name, value):
    return lambda file: file["mol1"][name].attrs.__setitem__("units", value)


X, E, G = "conformations", "dft_total_energy", "dft_total_gradient"
GROUPS = {  # edit of the file of three molecules with four conformations each, samples left, and what is said
    "no energies": (without(E), 8, "no dataset 'dft_total_energy'"),
    "no gradients": (without(G), 8, "no dataset 'dft_total_gradient'"),
    "no positions": (without(X), 8, "no dataset 'conformations'"),
    "no atomic numbers": (without("atomic_numbers"), 8, "no dataset 'atomic_numbers'"),
    "no SMILES": (without("smiles"), 12, ""),
    "positions in angstrom": (unit(X, "angstrom"), None, "expected values in bohr, got 'angstrom'"),
    "energies in eV": (unit(E, "eV"), None, "expected values in hartree, got 'eV'"),
    "forces instead of gradients": (unit(G, "eV/angstrom"), None, "expected values in hartree/bohr"),
    "no unit": (lambda file: file["mol1"][X].attrs.clear(), None, "the attribute `units`"),
    "a unit that is a number": (unit(X, 3), None, "expected values in bohr, got '3'"),
    "a unit that is a list": (unit(X, [b"bohr"]), 12, ""),
    "one energy less": (moved("mol1", E, lambda e: e[:-1]), 8, "4 conformations, 3 energies, 4 gradients"),
    "one gradient less": (moved("mol1", G, lambda g: g[:-1]), 8, "4 conformations, 4 energies, 3 gradients"),
    "an energy that is nan": (moved("mol1", E, lambda e: e * [1, np.nan, 1, 1]), 11, "the energy is not finite"),
    "a gradient that is nan": (moved("mol1", G, lambda g: g * np.nan), 8, "a force is not finite"),
    "a huge gradient": (moved("mol1", G, lambda g: g + 1e4), 8, "a force is above 10000 eV"),
    "a position that is infinite": (moved("mol1", X, lambda x: x + np.inf), 8, "a position is not finite"),
    "overlapping atoms": (moved("mol1", X, lambda x: 0 * x), 8, "two atoms are closer"),
    "an atom more": (moved("mol1", "atomic_numbers", lambda z: np.append(z, 1)), 8, "positions have the shape (2, 3)"),
    "an element 0": (moved("mol1", "atomic_numbers", lambda z: 0 * z), 8, "an atom is not a chemical element"),
    "atomic numbers in two dimensions": (moved("mol1", "atomic_numbers", lambda z: z[:, None]), 8, "of shape (2, 1)"),
    "atomic numbers as text": (
        moved("mol1", "atomic_numbers", lambda z: np.array([b"F", b"H"])),
        8,
        "values that are no numbers, or atomic numbers that are no whole",
    ),
    "atomic numbers that are no whole numbers": (
        moved("mol1", "atomic_numbers", lambda z: z + 0.5),
        8,
        "values that are no numbers, or atomic numbers that are no whole",
    ),
    "positions of two components": (moved("mol1", X, lambda x: x[..., :2]), 8, "positions have the shape (2, 2)"),
    "positions without conformations": (moved("mol1", X, lambda x: x[0]), 8, "conformations of shape (2, 3)"),
    "positions as text": (
        moved("mol1", X, lambda x: np.array([b"no"])),
        8,
        "values that are no numbers, or atomic numbers that are no whole",
    ),
    "an energy for each atom": (
        moved("mol1", E, lambda e: np.stack([e, e], 1)),
        8,
        "4 conformations, 8 energies, 4 gradients",
    ),
    "a group where an array should be": (
        lambda f: (f["mol1"].__delitem__(E), f["mol1"].create_group(E)),
        8,
        "no dataset 'dft_total_energy'",
    ),
    "no conformations": (lambda f: [moved("mol1", n, lambda v: v[:0])(f) for n in (X, E, G)], 8, "no conformations"),
    "a link to nowhere": (lambda f: f.__setitem__("mol9", h5py.SoftLink("/none")), 12, "a link to nothing"),
    "no molecules": (lambda file: [file.__delitem__(n) for n in list(file)], 0, ""),
}


def rows_of(table):
    return [pytest.param(*(v if isinstance(v, tuple) else (v,)), id=name) for name, v in table.items()]


def check(found, samples, said, rejected):
    """The outcome of a reading is a number of samples, and one error or rejects, one of which says so."""
    count, reasons, error = found
    assert count == (samples or 0)
    assert bool(error) == (samples is None)
    assert bool(reasons) == rejected, reasons
    assert "\n" not in error
    assert any(said in text for text in [error, *reasons])


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize(("text", "said"), rows_of(FRAMES))
def test_read__names_what_is_wrong_with_a_frame(tmp_path, text, said):
    found = read("extxyz", put(tmp_path, "a.xyz", GOOD + text + GOOD))
    check(found, 2, said, rejected=True)
    assert len(found[1]) == 1


@pytest.mark.parametrize(("kind", "name", "content", "samples", "said"), rows_of(FILES))
def test_read__names_what_is_wrong_with_a_file(tmp_path, kind, name, content, samples, said):
    check(read(kind, put(tmp_path, name, content)), samples, said, rejected=samples is not None and bool(said))


@pytest.mark.parametrize(("text", "said"), rows_of(RECORDS))
def test_read__names_what_is_wrong_with_a_record_of_an_sdf_file(tmp_path, text, said):
    found = read("conformers", put(tmp_path, "a.sdf", record("CO") + text + record("N")))
    check(found, 2, said, rejected=True)
    assert len(found[1]) == 1


@pytest.mark.parametrize(("line", "said"), rows_of(SMILES))
def test_read__names_what_is_wrong_with_a_smiles(tmp_path, line, said):
    found = read("conformers", put(tmp_path, "a.smi", f"CO\n{line}\nN\n"), conformers=1)
    check(found, 2, said, rejected=True)
    assert len(found[1]) == 1


@pytest.mark.parametrize(("text", "samples", "said"), rows_of(CHAINS))
def test_read__names_what_is_wrong_with_a_chain(tmp_path, text, samples, said):
    check(read("protein_structures", put(tmp_path, "a.pdb", text)), samples, said, rejected=bool(said))


@pytest.mark.parametrize(("text", "samples", "said"), rows_of(CIFS))
def test_read__names_what_is_wrong_with_an_mmcif_file(tmp_path, text, samples, said):
    check(read("protein_structures", put(tmp_path, "a.cif", text)), samples, said, rejected=bool(said))


@pytest.mark.parametrize(("edit", "samples", "said"), rows_of(GROUPS))
def test_read__names_what_is_wrong_with_a_molecule_of_a_spice_file(tmp_path, edit, samples, said):
    found = read("spice", write_spice(tmp_path / "a.hdf5", edit=edit))
    check(found, samples, said, rejected=samples is not None and bool(said))


def run(n, wild=0.0, seed=0, strength=1.0, **more):
    """A trajectory of water."""
    rng = np.random.default_rng(seed)
    x = np.array([r.split()[1:4] for r in ROWS], float)
    text = ""
    for i in range(n):
        at, force = x + 0.05 * rng.normal(size=(3, 3)), rng.normal(size=(3, 3)) * (1 + wild * (i == 7)) * strength
        rows = [f"{s} {' '.join(f'{v:.6f}' for v in [*a, *f])}" for s, a, f in zip("OHH", at, force, strict=True)]
        text += frame(rows=rows, energy=f"energy={-5 + rng.normal() * 0.01:.6f}", **more)
    return text


def turned(text):
    """The same frames, turned by a quarter about z."""
    lines = []
    for line in text.split("\n"):
        w = line.split()
        lines.append(f"{w[0]} -{w[2]} {w[1]} {w[3]} -{w[5]} {w[4]} {w[6]}".replace("--", "") if len(w) == 7 else line)
    return "\n".join(lines)


def lone(text, name="b.xyz"):
    return {"a.xyz": run(20), name: text}


DATASETS = {  # files, settings, what is said
    "the same file twice": ({"a.xyz": run(20)}, {"files": ["a.xyz", "a.xyz"]}, "each file once"),
    "a file under another spelling": ({"a.xyz": run(20)}, {"files": ["a.xyz", "./sub/../a.xyz"]}, "each file once"),
    "a link to a file": ({"a.xyz": run(20), "b.xyz": "a.xyz"}, {"files": ["a.xyz", "b.xyz"]}, "which is the same as"),
    "a copy of a file": (lone(run(20)), {"files": ["a.xyz", "b.xyz"]}, "which is the same as"),
    "a test file that is a copy": (lone(run(20)), {"test_files": {"test": ["b.xyz"]}}, "which is the same as"),
    "test frames that are training frames": (
        lone(run(20) + run(1, seed=5)),
        {"test_files": {"test": ["b.xyz"]}},
        "got 20 of 21 samples of 'test'",
    ),
    "test frames that are turned training frames": (
        lone(turned(run(20))),
        {"test_files": {"test": ["b.xyz"]}},
        "got 20 of 20 samples of 'test'",
    ),
    "a missing file": ({"a.xyz": run(20)}, {"files": ["a.xyz", "none.xyz"]}, "No such file"),
    "a folder instead of a file": ({"a.xyz": run(20)}, {"files": ["a.xyz", "sub"]}, "sub"),
    "an element in the test file only": (
        lone(run(3, seed=1).replace("O ", "S ")),
        {"test_files": {"test": ["b.xyz"]}},
        "atomic numbers [16] in other splits only",
    ),
    "a test file without usable frames": (
        lone(GOOD.replace("-5.5", "nan")),
        {"test_files": {"test": ["b.xyz"]}},
        "samples in every split, got 20 in train, 0 in test",
    ),
    "one frame": ({"a.xyz": GOOD}, {}, "at least two different frames, got 1"),
    "one molecule to split by": (
        {"a.xyz": run(20)},
        {"split_by": "molecule"},
        "at least two different molecules, got 1; set split_by: frame",
    ),
    "an outlier among the forces": ({"a.xyz": run(200, wild=3e3)}, {}, "of the squared forces"),
    "an outlier among the energies": (
        {"a.xyz": run(100) + GOOD.replace("-5.5", "-5000")},
        {},
        "of the squared energy of the",
    ),
    "forces that are zero": (
        {"a.xyz": run(9, strength=0.0)},
        {},
        "expected a force that is not zero",
    ),
    "too many rejects": (
        {"a.xyz": run(20) + GOOD.replace("-5.5", "nan") * 5},
        {},
        "5 of 25 (20 %): 5 x 'the energy is not finite'",
    ),
    "atoms alone": ({"a.xyz": frame(rows=ROWS[:1]) * 5}, {}, "got none of 5: 5 x 'a single atom"),
    "no file with a record": ({"a.xyz": ""}, {}, "got none of 1: 1 x 'the file is empty'"),
    "an unknown unit": ({"a.xyz": run(20)}, {"length_unit": "angstroem"}, "did you mean 'angstrom'"),
}


@pytest.mark.parametrize(("files", "settings", "said"), rows_of(DATASETS))
def test_prepare__names_what_is_wrong_with_a_dataset(tmp_path, monkeypatch, files, settings, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name, text in files.items():
        (tmp_path / name).symlink_to(text) if text in files else put(tmp_path, name, text)

    def prepared():
        dataset = plugins.make_dataset({"name": "extxyz", "files": ["a.xyz"], "split_by": "frame", **settings})
        prepare.prepare_part(dataset, 0, tmp_path / "part.zarr.zip")
        prepare.prepare(dataset, [tmp_path / "part.zarr.zip"], tmp_path / "out.zarr.zip")

    with pytest.raises((UserError, UserErrors)) as caught:
        prepared()
    assert said in str(caught.value)
    assert not (tmp_path / "out.zarr.zip").exists()


def test_kinds__are_more_than_a_hundred_and_one_for_each_name():
    tables = (FRAMES, FILES, RECORDS, SMILES, CHAINS, CIFS, GROUPS, DATASETS)
    assert sum(map(len, tables)) >= 200

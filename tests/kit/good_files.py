"""Small good files of every format that the datasets read, to be damaged by tests, and the outcome of reading them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem

from twirlscope import plugins
from twirlscope.errors import UserError, UserErrors

HEAD = 'Properties=species:S:1:pos:R:3:forces:R:3 energy=-5.5 name="water" pbc="F F F"'
ROWS = ["O 0 0 0 0.1 0 0", "H 0.96 0 0 0 0.2 0", "H -0.2 0.9 0 0 0 0.3"]
BARE = [" ".join(row.split()[:4]) for row in ROWS]


def frame(head: str = HEAD, rows: list[str] = ROWS, count: object = None, **new: str) -> str:
    """One frame of an extended XYZ file; `new` replaces words of its comment by others."""
    for old, word in new.items():
        head = head.replace({"pbc": 'pbc="F F F"', "energy": "energy=-5.5", "name": 'name="water"'}[old], word)
    return "\n".join([str(len(rows) if count is None else count), head, *rows]) + "\n"


GOOD = frame()
STRESSED = 'Lattice="9 0 0 0 9 0 0 0 9" pbc="T T T"'
OUTCAR = """\
 POTCAR:    PAW_PBE H 15Jun2001
 POTCAR:    PAW_PBE H 15Jun2001
   VRHFIN =H: ultrasoft test
   ions per type =               2
 ISPIN  =      1
   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=      4
 k-points in reciprocal lattice and weights: Gamma
   0.00000000  0.00000000  0.00000000       1.000
"""
STEP = """\
 ---------------------------------------- Iteration    {n}(   1)  ---------------------------------------
      direct lattice vectors                 reciprocal lattice vectors
     8.000000000  0.000000000  0.000000000     0.125000000  0.000000000  0.000000000
     0.000000000  8.000000000  0.000000000     0.000000000  0.125000000  0.000000000
     0.000000000  0.000000000  8.000000000     0.000000000  0.000000000  0.125000000

 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.100000      0.000000      0.000000
      0.74000      0.00000      0.00000        -0.100000      0.000000      0.000000
 -----------------------------------------------------------------------------------
  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =        -6.77000000 eV

  energy  without entropy=       -6.77000000  energy(sigma->0) =       -6.77000000
"""


def outcar(steps: int = 2) -> str:
    """A VASP OUTCAR of a hydrogen molecule with some ionic steps."""
    return OUTCAR + "".join(STEP.format(n=n + 1) for n in range(steps))


def molecule(smiles: str, hydrogens: bool = True, seed: int = 1) -> Chem.Mol:
    """A molecule with positions."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=seed)
    return mol if hydrogens else Chem.RemoveHs(mol)


def record(smiles: str, **more) -> str:
    """One record of an SDF file."""
    return Chem.MolToMolBlock(molecule(smiles, **more)) + "$$$$\n"


def flat_record(smiles: str, dimension: str = "2D") -> str:
    """A record with the positions of a drawing."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.Compute2DCoords(mol)
    return Chem.MolToMolBlock(mol).replace("     RDKit          2D", f"     RDKit          {dimension}") + "$$$$\n"


def walk(residues: int, seed: int = 0) -> np.ndarray:
    """A chain of CA atoms [Å] 3.8 apart that winds around an axis, so that a long one fits into the columns."""
    rng = np.random.default_rng(seed)
    phase = 0.5 * np.arange(residues)
    step = np.stack([np.cos(phase), np.sin(phase), np.full(residues, 0.4)], 1) + 0.1 * rng.normal(size=(residues, 3))
    return np.cumsum(3.8 * step / np.linalg.norm(step, axis=1, keepdims=True), 0)


def atom(serial, residue, number, x, chain="A", name="CA", altloc=" ", occupancy=1.0, record="ATOM", end="C") -> str:
    """One line of a PDB file."""
    where = "".join(f"{v:8.3f}" for v in x)
    return (
        f"{record:<6}{serial:>5} {name:^4}{altloc}{residue:>3} {chain}{number:>4}    {where}"
        f"{occupancy:6.2f}{20.0:6.2f}          {end:>2}"
    )


def chain(residues: int = 12, name: str = "A", seed: int = 0, shift: float = 0.0, residue: str = "ALA", **more) -> list:
    """Lines of one chain of a PDB file."""
    return [atom(i + 1, residue, i + 1, x, name, **more) for i, x in enumerate(walk(residues, seed) + shift)]


def pdb(*parts: list[str]) -> str:
    """Text of a PDB file."""
    return "\n".join([line for part in parts for line in part] + ["END", ""])


CIF = """data_x
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_seq_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.auth_asym_id
_atom_site.auth_seq_id
"""


def cif(*chains: str, residues: int = 12) -> str:
    """Text of an mmCIF file with chains of these names, 60 Å apart."""
    rows = [
        f"ATOM {n} C CA . ALA {name} {n + 1} {' '.join(f'{v:.3f}' for v in x)} 1 {name} {n + 1}"
        for k, name in enumerate(chains)
        for n, x in enumerate(walk(residues, k) + 60 * k)
    ]
    return CIF + "\n".join(rows) + "\n#\n"


UNITS = {"conformations": "bohr", "dft_total_energy": "hartree", "dft_total_gradient": "hartree/bohr"}


def spice(path: Path, molecules: int = 3, conformations: int = 4, edit: Callable[[h5py.File], None] = lambda f: None):
    """A SPICE file of hydrogen fluoride, edited."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for m in range(molecules):
            group = file.create_group(f"mol{m}")
            group["smiles"] = [f"[F:1][H:2].{m}".encode()]
            group["subset"] = [b"SPICE Pairs"]
            group["atomic_numbers"] = np.array([9, 1], np.int16)
            away = rng.uniform(0, 0.2, (conformations, 2, 3))
            group["conformations"] = np.array([[0, 0, 0], [1.7, 0, 0]]) + away
            group["dft_total_energy"] = -100 + away.sum((1, 2))
            group["dft_total_gradient"] = 0.1 * away
            for name, unit in UNITS.items():
                group[name].attrs["units"] = unit
        edit(file)
    return path


KINDS = {
    "extxyz": {"name": "extxyz"},
    "conformers": {"name": "conformers", "conformers": 2, "box": 30.0, "margin": 0.0},
    "protein_structures": {"name": "protein_structures", "shortest": 5, "longest": 30},
    "spice": {"name": "spice", "parts": 1},
}


def read(kind: str, *files: Path, **settings) -> tuple[int, list[str], str]:
    """Number of samples, reasons of the rejects, and the text of the error, of reading files with a dataset.

    Any other exception than a `UserError` is not caught.
    """
    given = {"file": str(files[0])} if kind == "spice" else {"files": [str(f) for f in files]}
    try:
        found = plugins.make_dataset(KINDS[kind] | given | settings).read(0)
    except (UserError, UserErrors) as error:
        return 0, [], str(error)
    return (0 if found.samples is None else found.samples.sizes["sample"]), [r.reason for r in found.rejects], ""

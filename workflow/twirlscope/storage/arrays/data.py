"""Arrays of the stores of prepared data: frames of molecules, backbones of proteins, rejected records."""

from __future__ import annotations

from .coordinates import COORDINATES
from .declaration import declared

FRAMES = {
    "numbers": declared("atom", "int16", "1", "atomic number"),
    "positions": declared("atom xyz", "float32", "angstrom", "position of the atom"),
    "forces": declared("atom xyz", "float32", "eV angstrom-1", "force on the atom; NaN if only the energy is known"),
    "energy": declared("sample", "float64", "eV", "total energy of the frame"),
    "cell": declared(
        "sample lattice xyz", "float32", "angstrom", "lattice vectors by row; 0 along axes that are not periodic"
    ),
    "stress": declared(
        "sample xyz xyz_other", "float32", "eV angstrom-3", "stress, positive under tension; NaN if unknown"
    ),
    "charge": declared("sample", "float64", "1", "total charge in elementary charges; NaN if unknown"),
    "spin": declared("sample", "float64", "1", "spin multiplicity 2S + 1; NaN if unknown"),
    "atoms": declared("sample", "int32", "1", "number of atoms of the sample; for a backbone, of CA atoms"),
    "molecule": declared("sample", "int32", "1", "index of the molecule: samples of the same name or the same graph"),
    "temperature": declared(
        "sample", "float32", "K", "thermostat temperature of the simulation of the geometry; NaN if unknown"
    ),
    "split": declared("sample", "int8", "1", "split that the sample belongs to, as a flag"),
    "sample_molecule": declared("sample", "str", "1", "given name of the molecule, or empty; only in stores of parts"),
    "molecule_name": declared(
        "molecule_index", "str", "1", "first given name (e.g. SMILES) of a molecule, else its formula"
    ),
    "reference_energy": declared(
        "element", "float64", "eV", "energy per atom of an element, by least squares on the train split"
    ),
    "force_scale": declared(
        "", "float64", "eV angstrom-1", "root mean square component of the forces of the train split"
    ),
    "energy_scale": declared("", "float64", "eV", "standard deviation of energy per atom less references, train split"),
    "stress_scale": declared(
        "", "float64", "eV angstrom-3", "root mean square irreps component of the stress of the train split"
    ),
}

BACKBONES = {
    "ca_positions": declared(
        "atom xyz", "float32", "nm", "position of the CA atom of a residue, relative to the mean of its chain"
    ),
    "chain_break": declared("atom", "int8", "1", "1 where residues are missing after this one"),
    "chain": declared("sample", "str", "1", "name of the chain"),
    "sequence": declared(
        "sample", "str", "1", "one letter per residue, X for an unknown one; empty if there is no sequence"
    ),
    "radius_of_gyration": declared("sample", "float64", "nm", "root mean square distance of CA atoms from their mean"),
    "contacts": declared(
        "sample", "float64", "1", "pairs of residues closer than 0.8 nm and at least 4 apart in the chain, per residue"
    ),
    "right_handed": declared("sample", "float64", "1", "share of residues in a right-handed helical turn"),
    "left_handed": declared("sample", "float64", "1", "share of residues in a left-handed helical turn"),
}

REJECTS = {
    "reject_source": declared("reject", "str", "1", "file or molecule of a record that cannot be used"),
    "reject_index": declared("reject", "int64", "1", "index of the record in its source"),
    "reject_reason": declared("reject", "str", "1", "reason why the record cannot be used"),
}

DATA = COORDINATES | FRAMES | BACKBONES | REJECTS

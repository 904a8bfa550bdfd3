"""What is declared of a stored array, and the arrays of prepared data and of trainings; `variables` has the others."""

from __future__ import annotations

from dataclasses import dataclass

FLOPS = "torch.utils.flop_counter"
OMITTED = "what goes by element, norms, sums, indexing, spectral transforms, custom kernels"


@dataclass(frozen=True)
class Variable:
    """A declared array: dimensions in order, numpy dtype, unit (UDUNITS), one line of meaning, where it comes from."""

    dims: tuple[str, ...]
    dtype: str
    unit: str
    meaning: str
    source: str = ""


def declared(dims: str, dtype: str, unit: str, meaning: str, source: str = "") -> Variable:
    """A variable; dimensions as words in one string."""
    return Variable(tuple(dims.split()), dtype, unit, meaning, source)


FRAMES = {
    "numbers": declared("atom", "int16", "1", "atomic number"),
    "positions": declared("atom xyz", "float32", "angstrom", "position of the atom"),
    "forces": declared("atom xyz", "float32", "eV angstrom-1", "force on the atom; NaN where only the energy is known"),
    "energy": declared("sample", "float64", "eV", "total energy of the frame"),
    "cell": declared(
        "sample lattice xyz", "float32", "angstrom", "lattice vectors by row; 0 where the frame does not repeat"
    ),
    "stress": declared(
        "sample xyz xyz_other", "float32", "eV angstrom-3", "stress, positive under tension; NaN if unknown"
    ),
    "atoms": declared("sample", "int32", "1", "number of atoms of the sample (of a backbone: CA atoms)"),
    "molecule": declared("sample", "int32", "1", "index of the molecule: frames of one molecule share it"),
    "temperature": declared(
        "sample", "float32", "K", "temperature of the thermostat that made the geometry; NaN if unknown"
    ),
    "split": declared("sample", "int8", "1", "split the sample belongs to, a flag"),
    "sample_molecule": declared(
        "sample", "str", "1", "name of the molecule of the frame; only in the stores of the parts"
    ),
    "molecule_name": declared("molecule_index", "str", "1", "name (SMILES or formula) of each molecule"),
    "reference_energy": declared(
        "element", "float64", "eV", "energy per atom of an element, least squares, train split"
    ),
    "force_scale": declared("", "float64", "eV angstrom-1", "root mean square force component of the train split"),
    "energy_scale": declared("", "float64", "eV", "standard deviation of energy per atom less references, train split"),
    "stress_scale": declared(
        "", "float64", "eV angstrom-3", "root mean square stress of the train split, by irreps component"
    ),
}

BACKBONES = {
    "ca_positions": declared(
        "atom xyz", "float32", "nm", "position of the CA atom of a residue, from the mean of its chain"
    ),
    "chain_break": declared("atom", "int8", "1", "1 where residues are missing after this one"),
    "chain": declared("sample", "str", "1", "name of the chain"),
    "sequence": declared("sample", "str", "1", "one letter a residue, X for an unknown one; empty where there is none"),
    "radius_of_gyration": declared("sample", "float64", "nm", "root mean square distance of CA atoms from their mean"),
    "contacts": declared(
        "sample", "float64", "1", "pairs of residues closer than 0.8 nm, 4 or more apart, per residue"
    ),
    "right_handed": declared("sample", "float64", "1", "share of residues in a right-handed helical turn"),
    "left_handed": declared("sample", "float64", "1", "share of residues in a left-handed helical turn"),
    "cluster": declared("sample", "int32", "1", "index of the cluster of similar sequences that the chain belongs to"),
}

REJECTS = {
    "reject_source": declared("reject", "str", "1", "file or molecule of a record that cannot be used"),
    "reject_index": declared("reject", "int64", "1", "index of the record in its source"),
    "reject_reason": declared("reject", "str", "1", "why the record cannot be used"),
}

TRAIN = {
    "loss": declared("update", "float32", "1", "training loss of the batch, weighted sum of the terms"),
    "gradient_norm": declared("update", "float32", "1", "norm of the gradient before clipping"),
    "learning_rate": declared("update", "float32", "1", "learning rate of the update"),
    "checkpoint_file": declared(
        "step", "str", "1", "file name of the checkpoint, in the folder named by the attribute"
    ),
    "checkpoint_sha256": declared("step", "str", "1", "SHA-256 of the checkpoint file"),
    "update_file": declared(
        "step", "str", "1", "file of the optimiser's last update before the checkpoint; empty at step 0"
    ),
    "update_sha256": declared("step", "str", "1", "SHA-256 of the file of the update"),
    "elapsed": declared(
        "update", "float64", "s", "time of training until after the update; measuring and saving not in it"
    ),
    "flops_update": declared(
        "", "float64", "1", f"FLOPs of an update, forward and backward; not counted: {OMITTED}", FLOPS
    ),
    "flops_inference": declared(
        "", "float64", "1", f"FLOPs of a forward pass, a sample; not counted: {OMITTED}", FLOPS
    ),
    "seconds_update": declared("", "float64", "s", "median time of an update"),
    "seconds_inference": declared("", "float64", "s", "median time of a forward pass of a batch, warm, a sample"),
    "memory_peak": declared(
        "", "float64", "MB", "largest memory of all tensors in an update: weights, optimiser, activations"
    ),
    "device_hours": declared("", "float64", "h", "elapsed times the number of GPUs, or of threads on a CPU"),
    "device_energy": declared(
        "", "float64", "J", "used by the GPU, or the processor, during all updates; NaN if it does not tell"
    ),
}

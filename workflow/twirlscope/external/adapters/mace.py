"""Many structures in one call of a MACE model. Needs NumPy, ASE and mace-torch only."""

from __future__ import annotations

import numpy as np


def evaluate(calculator, frames: list, properties: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """Energy [eV], forces [eV/Å] and stress [eV/Å^3] of structures, in one forward pass per model of a committee.

    Args:
        calculator: `mace.calculators.MACECalculator` of a model of energies, not compiled.
        frames: structures of ASE.
        properties: among energy, forces, stress.

    Raises:
        ValueError: another kind of model.
    """
    if calculator.model_type != "MACE" or getattr(calculator, "use_compile", False):
        raise ValueError(f"no batches for a compiled model or for {calculator.model_type}")
    batch = stacked(calculator, frames)
    ends = np.cumsum([len(frame) for frame in frames])[:-1]
    energy, length = calculator.energy_units_to_eV, calculator.length_units_to_A
    units = {"energy": energy, "forces": energy / length, "stress": energy / length**3}
    found = {name: [] for name in properties}
    for model in calculator.models:
        out = model(cast(batch, model).to_dict(), compute_stress="stress" in properties)
        for name in properties:
            found[name].append(out[name].detach().cpu().double().numpy() * units[name])
    means = {name: np.mean(values, 0) for name, values in found.items()}
    per_frame = {name: np.split(v, ends) if name == "forces" else v for name, v in means.items()}
    return [{name: np.asarray(per_frame[name][i]) for name in properties} for i in range(len(frames))]


def stacked(calculator, frames: list):
    """All structures as one batch of graphs, on the device of the calculator."""
    from mace import data
    from mace.tools import torch_geometric, torch_tools

    arrays = {**calculator.arrays_keys, calculator.charges_key: "charges"}
    keys = data.KeySpecification(info_keys=calculator.info_keys, arrays_keys=arrays)
    graphs = []
    with torch_tools.default_dtype(calculator.default_dtype):
        for frame in frames:
            config = data.config_from_atoms(frame, key_specification=keys, head_name=calculator.head)
            chosen = {"z_table": calculator.z_table, "cutoff": calculator.r_max, "heads": calculator.available_heads}
            graphs.append(data.AtomicData.from_config(config, **chosen))
    return torch_geometric.Batch.from_data_list(graphs).to(calculator.device)


def cast(batch, model):
    """A copy of the batch in the dtype of the model."""
    copy, dtype = batch.clone(), next(model.parameters()).dtype
    for key in copy.keys:
        value = copy[key]
        if hasattr(value, "is_floating_point") and value.is_floating_point():
            copy[key] = value.to(dtype=dtype)
    return copy

"""Many structures in one call of CHGNet. Needs NumPy, ASE and chgnet only."""

from __future__ import annotations

import numpy as np

TASKS = {(False, False): "e", (True, False): "ef", (False, True): "efs", (True, True): "efs"}  # forces, stress


def evaluate(calculator, frames: list, properties: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """Energy [eV], forces [eV/Å] and stress [eV/Å^3] of structures with cells, in one forward pass.

    Args:
        calculator: `chgnet.model.dynamics.CHGNetCalculator`.
        frames: structures of ASE.
        properties: among energy, forces, stress.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    model = calculator.model
    graphs = [model.graph_converter(AseAtomsAdaptor.get_structure(frame)).to(calculator.device) for frame in frames]
    task = TASKS["forces" in properties, "stress" in properties]
    found = model.predict_graph(graphs, task=task, batch_size=len(graphs))
    found = [found] if isinstance(found, dict) else found
    results = []
    for each, frame in zip(found, frames, strict=True):
        energy = np.float64(each["e"]) * (len(frame) if model.is_intensive else 1)
        all_terms = {"energy": np.array(energy)}
        if "f" in each:
            all_terms["forces"] = np.asarray(each["f"], np.float64)
        if "s" in each:
            all_terms["stress"] = np.asarray(each["s"], np.float64) * calculator.stress_weight
        results.append({name: all_terms[name] for name in properties})
    return results

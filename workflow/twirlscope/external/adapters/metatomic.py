"""Many structures in one call of a metatomic model. Needs NumPy, ASE and metatomic-ase only."""

from __future__ import annotations

import numpy as np


def evaluate(calculator, frames: list, properties: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """Energy [eV], forces [eV/Å] and stress [eV/Å^3] of structures, in one forward pass.

    Args:
        calculator: `metatomic_ase.MetatomicCalculator`.
        frames: structures of ASE; all of them periodic if stresses are asked for.
        properties: among energy, forces, stress.

    Raises:
        ValueError: the model reads charge, spin or other inputs, which `compute_energy` of metatomic leaves out.
    """
    if wanted := list(calculator._model.requested_inputs(use_new_names=True)):
        raise ValueError(f"no batches for a model that reads {', '.join(wanted)}")
    found = calculator.compute_energy(frames, compute_forces_and_stresses=properties != ("energy",))
    results = [{name: np.asarray(found[name][i], np.float64) for name in properties} for i in range(len(frames))]
    for each in results:
        if "stress" in each:  # symmetric as in `calculate`: PET's derivative by the strain is not
            each["stress"] = (each["stress"] + each["stress"].T) / 2
    return results

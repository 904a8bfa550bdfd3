"""Numbers that other tools would report for the predictions of a measurement; symmetry of the force Jacobian."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from ..._typing import Array, Bool, Float, Int
from ...contracts import Evaluation
from ...estimators import other_tools
from ...external.client import Failure
from ..heldout import Heldout
from ..twisting import twisted_predictions
from .model import Potential, frame_of

BLOCK = 64  # samples whose predictions are in memory at once


def reported(evaluation: Evaluation, held: Heldout, jacobian: Int[Array, " sample"]) -> xr.Dataset:
    """Numbers of ml-peg and MLIP Arena, and net force and torque, over all held-out samples at their rotations.

    Args:
        evaluation: of a `Potential`, whose answers are kept.
        held: samples and rotations; rotoreflections are left out.
        jacobian: samples whose force Jacobian is measured by displacements.
    """
    proper = torch.from_numpy(held.parity == 1)
    pairs = other_tools.independent_pairs(int(proper.sum()))
    changes, net = [], []
    for start in range(0, len(held.index), BLOCK):
        some = slice(start, start + BLOCK)
        energy, forces, positions, present, periodic = _predictions(evaluation, held, some, proper)
        changes.append(other_tools.changes(energy, forces, present, pairs))
        torque = other_tools.net_torque(forces, positions, present)
        net.append((other_tools.net_force(forces, present), np.where(periodic[:, None], np.nan, torque)))
    found = other_tools.Changes(*(np.concatenate(part) for part in zip(*changes, strict=True)))
    force, torque = (np.concatenate(part) for part in zip(*net, strict=True))
    share = antisymmetric_shares(evaluation.model, jacobian)
    energies, sizes = other_tools.mean_and_largest(found.energy), other_tools.mean_and_largest(found.forces)
    rates = other_tools.pass_rates(found)
    values = {
        "peg_energy_mean": energies.mean,
        "peg_energy_max": energies.largest,
        "peg_force_mean": sizes.mean,
        "peg_force_max": sizes.largest,
        "arena_pass_rate": rates.both,
        "arena_force_rate": rates.forces,
        "arena_cosine_rate": rates.cosine,
        "arena_sample_rate": rates.samples,
        "net_force": force.mean(),
        "net_torque": np.nanmean(torque) if np.isfinite(torque).any() else np.nan,
    }
    if len(share):
        values |= {"jacobian_mean": share.mean(), "jacobian_max": share.max()}
    return xr.Dataset({name: ((), np.float64(value)) for name, value in values.items()})


def _predictions(
    evaluation: Evaluation, held: Heldout, some: slice, proper: Bool[torch.Tensor, " rotation"]
) -> tuple[Array, Array, Array, Array, Array]:
    """Energies per atom [eV/atom], forces [eV/Å] turned back, positions [Å], padding mask, and periodic samples."""
    task, index = evaluation.task, held.index[some]
    z = twisted_predictions(evaluation, index, held.quaternion[some][:, proper])
    inputs = task.batch(index).inputs
    present = (inputs["numbers"] > 0).numpy()
    cell = inputs["cell"].numpy() if "cell" in inputs else np.zeros((len(index), 3, 3))
    energy = z["energy"][..., 0].double().numpy() * task.scale["energy"]
    forces = z["forces"].double().numpy() * task.scale["forces"]
    return energy, forces, inputs["positions"].numpy(), present, cell.any((1, 2))


def antisymmetric_shares(model: Potential, index: Int[Array, " sample"]) -> Float[Array, " known"]:
    """Antisymmetric share of the force Jacobian of each sample, without those in which a calculation failed."""
    found = []
    for sample in index:
        inputs = {k: v.numpy() for k, v in model.task.batch(np.array([sample])).inputs.items()}
        frame, moved = frame_of(inputs, 0), []
        for positions in other_tools.displaced(frame.positions):
            moved.append(frame.copy())
            moved[-1].positions = positions
        results = model.calls.evaluate(moved)
        if not any(isinstance(result, Failure) for result in results):
            forces = np.stack([result["forces"] for result in results])
            found.append(other_tools.antisymmetric_share(other_tools.force_jacobian(forces)))
    return np.array(found, np.float64)

"""Force fields: energy (a scalar) and forces (a vector per atom) of a molecule from elements and positions.

If frames are periodic, their cells are another input, and stresses may be a third term.

Units of the loss, from the train split: root mean square force for forces; standard deviation for energies per atom
minus element references; root mean square of the six components for stresses. So predicting zero has a loss near 1 in
every term.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Float, Int
from ..contracts import Batch, Task, Term
from ..errors import UserError
from ..geometry import stress
from ..settings.base import Settings, key
from ..storage.ragged import Ragged


class ForceField(Task):
    """Terms `forces` (1o, per atom), `energy` (0e, per frame) and, if it has a weight, `stress` (0e+2e, per frame).

    Positions and lattice vectors rotate, elements do not.
    """

    class Settings(Settings):
        """Weights and losses of the terms."""

        force_weight: float = key(1.0, "factor of the force term in the loss", ge=0)
        energy_weight: float = key(0.1, "factor of the energy term in the loss", ge=0)
        force_loss: Literal["mse", "l2", "huber"] = key(
            "mse", "training loss of the forces: squared error, length of the error vector, or Huber with threshold 1"
        )
        energy_loss: Literal["mse", "l2", "huber"] = key(
            "mse", "training loss of the energy; for a scalar, `l2` is the absolute error"
        )
        stress_weight: float = key(0.0, "factor of the stress term in the loss; 0 for no stress term", ge=0)
        stress_loss: Literal["mse", "l2", "huber"] = key(
            "mse", "training loss of the stress; `l2` is the Frobenius norm of the error"
        )

    name = "force_field"
    dataset_kind = "frames"
    reflections = True  # the mirror image of a molecule has the mirrored forces
    points = ("positions", "numbers")

    def __init__(self, settings: ForceField.Settings, data: xr.Dataset):
        force, energy = float(data["force_scale"]), float(data["energy_scale"])
        self._periodic = PeriodicTerms(data, settings.stress_loss, settings.stress_weight)
        self.irreps_in = {"positions": "1o"} | self._periodic.irreps_in
        self.terms = (
            Term("forces", "1o", settings.force_loss, settings.force_weight, force, "eV/Å"),
            Term("energy", "0e", settings.energy_loss, settings.energy_weight, energy, "eV/atom"),
            *self._periodic.terms,
        )
        scales, self._scales = {"force_scale": force, "energy_scale": energy}, (force, energy)
        self.constants = {"elements": [int(z) for z in data["element"].values], **scales} | self._periodic.constants
        self.attribution = ("forces", "numbers", self.constants["elements"])
        self._atoms = Ragged(data, "numbers", "positions", "forces")
        self._energies = data["energy"].values
        self._reference = np.full(max(self.constants["elements"]) + 1, np.nan)  # by atomic number
        self._reference[self.constants["elements"]] = data["reference_energy"].values

    def _energy(
        self, index: Int[Array, " sample"], numbers: Int[Array, " atom"], counts: Int[Array, " sample"]
    ) -> Float[Array, " sample"]:
        """Energies minus element references, per atom [eV], of samples with concatenated atoms."""
        references = np.add.reduceat(self._reference[numbers], np.cumsum(counts) - counts)
        return (self._energies[index] - references) / counts

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """Molecules centred on their mean position and padded to the largest of the batch; padding has element 0."""
        real, (numbers, positions, forces) = self._atoms.padded(index)
        counts, (force, energy) = real.sum(1), self._scales
        known = np.isfinite(forces[:, 0, 0])  # some held-out frames have energies only
        positions = np.where(real[..., None], positions - positions.sum(1, keepdims=True) / counts[:, None, None], 0)
        forces = np.where(np.isfinite(forces), forces, 0) / np.float32(force)
        energies = self._energy(index, numbers[real], counts) / energy
        batch = Batch(
            inputs={
                "numbers": torch.from_numpy(numbers.astype(np.int64)),
                "positions": torch.from_numpy(positions.astype(np.float32)),
            },
            targets={
                "forces": torch.from_numpy(forces),
                "energy": torch.from_numpy(energies.astype(np.float32)[:, None]),
            },
            weights={
                "forces": torch.from_numpy((real * (known / counts)[:, None]).astype(np.float32)),
                "energy": torch.ones(len(index)),
            },
        )
        return self._periodic.added_to(batch, index)


class PeriodicTerms:
    """Input `cell` and term `stress` of a task; empty if no frame is periodic.

    Args:
        data: prepared frames.
        loss: name of the training loss of the stress.
        weight: of the stress in the loss; 0 for no stress term.

    Raises:
        UserError: a weight without stresses in the training data.
    """

    def __init__(self, data: xr.Dataset, loss: str, weight: float):
        if weight and "stress_scale" not in data:
            raise UserError("stress_weight", "0, as no training frame has a stress", weight)
        self._cells = data["cell"].values if "cell" in data else None
        self.irreps_in = {} if self._cells is None else {"cell": "1o"}
        self.terms, self.constants = (), {}
        if self._cells is not None:
            self.constants = {"optional": ["cell"]}
        if weight:
            scale = float(data["stress_scale"])
            self.terms = (Term("stress", stress.IRREPS, loss, weight, scale, "eV/Å³"),)
            self.constants = {"optional": ["cell", "stress"], "stress_scale": scale}
            self._stress = stress.components(torch.from_numpy(data["stress"].values)) / scale

    def added_to(self, batch: Batch, index: Int[Array, " sample"]) -> Batch:
        """The batch of these samples with their cells and stresses added; unknown stresses have weight 0."""
        if self._cells is not None:
            batch = replace(batch, inputs=batch.inputs | {"cell": torch.from_numpy(self._cells[index])})
        if self.terms:
            target = self._stress[torch.from_numpy(index)]
            known = target.isfinite().all(-1)
            targets = batch.targets | {"stress": torch.where(known[:, None], target, 0.0)}
            batch = replace(batch, targets=targets, weights=batch.weights | {"stress": known.to(target.dtype)})
        return batch

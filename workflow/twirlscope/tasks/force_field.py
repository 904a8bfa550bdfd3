"""Force fields: energy (a scalar) and forces (a vector an atom) of a molecule from elements and positions.

Where frames are periodic, their cells are an input beside the positions, and stresses may be a third term.

Units of the loss: forces over the root mean square force of the train split, energies per atom, less element
references, over their standard deviation there; stresses over the root mean square of their six components. A
prediction of zero therefore has a loss near 1 in every term.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import xarray as xr

from ..bulk import Bulk
from ..contracts import Batch, Task, Term
from ..hints import Array, Int
from ..settings.base import Settings, key


class ForceField(Task):
    """Terms `forces` (1o, an atom), `energy` (0e, a frame) and, if asked for, `stress` (0e+2e, a frame).

    Positions and lattice vectors turn, elements do not.
    """

    class Settings(Settings):
        """How the loss is put together."""

        force_weight: float = key(1.0, "factor of the force term in the loss", ge=0)
        energy_weight: float = key(0.1, "factor of the energy term in the loss", ge=0)
        force_loss: Literal["mse", "l2", "huber"] = key(
            "mse", "training loss of the forces: squared, the error vectors' length, or the square up to length 1"
        )
        energy_loss: Literal["mse", "l2", "huber"] = key(
            "mse", "training loss of the energy; `l2` of a scalar is its absolute error"
        )
        stress_weight: float = key(0.0, "factor of the stress term in the loss; 0 for no such term", ge=0)
        stress_loss: Literal["mse", "l2", "huber"] = key(
            "mse", "training loss of the stress; `l2` is the Frobenius norm of its error"
        )

    name = "force_field"
    reads = "frames"
    reflections = True  # a molecule's mirror image has the mirrored forces
    points = ("positions", "numbers")

    def __init__(self, settings: ForceField.Settings, data: xr.Dataset):
        force, energy = float(data["force_scale"]), float(data["energy_scale"])
        self._bulk = Bulk(data, settings.stress_loss, settings.stress_weight)
        self.turns = {"positions": "1o"} | self._bulk.turns
        self.terms = (
            Term("forces", "1o", settings.force_loss, settings.force_weight, force, "eV/Å"),
            Term("energy", "0e", settings.energy_loss, settings.energy_weight, energy, "eV/atom"),
            *self._bulk.terms,
        )
        scales = {"force_scale": force, "energy_scale": energy}
        self.constants = {"elements": [int(z) for z in data["element"].values], **scales} | self._bulk.constants
        self.attribution = ("forces", "numbers", self.constants["elements"])
        self._first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
        self._numbers = data["numbers"].values.astype(np.int64)
        self._positions = data["positions"].values
        forces = data["forces"].values
        self._known = np.isfinite(forces[self._first[:-1], 0])  # some held-out frames have energies alone
        self._forces = np.where(np.isfinite(forces), forces, 0) / np.float32(force)
        self._energy = self._reduced_energy(data) / energy

    def _reduced_energy(self, data: xr.Dataset) -> Array:
        """Energy less element references, per atom [eV]."""
        references = dict(zip(self.constants["elements"], data["reference_energy"].values, strict=True))
        each = np.array([references[z] for z in self._numbers])
        return (data["energy"].values - np.add.reduceat(each, self._first[:-1])) / data["atoms"].values

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """Molecules padded to the largest of the batch; element 0 marks padding. Centred on the mean position."""
        counts = self._first[index + 1] - self._first[index]
        column = np.arange(counts.max())
        real = column < counts[:, None]
        atom = np.where(real, self._first[index][:, None] + column, 0)
        positions = np.where(real[..., None], self._positions[atom], 0)
        positions = np.where(real[..., None], positions - positions.sum(1, keepdims=True) / counts[:, None, None], 0)
        batch = Batch(
            inputs={
                "numbers": torch.from_numpy(np.where(real, self._numbers[atom], 0)),
                "positions": torch.from_numpy(positions.astype(np.float32)),
            },
            targets={
                "forces": torch.from_numpy(np.where(real[..., None], self._forces[atom], 0).astype(np.float32)),
                "energy": torch.from_numpy(self._energy[index].astype(np.float32)[:, None]),
            },
            weights={
                "forces": torch.from_numpy((real * (self._known[index] / counts)[:, None]).astype(np.float32)),
                "energy": torch.ones(len(index)),
            },
        )
        return self._bulk.added(batch, index)

"""Task of an external potential: total energy, forces and stress of structures, with labels or without."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
import xarray as xr

from ..._typing import Array, Float, Int, Tensor
from ...contracts import Batch, Task, Term
from ...geometry import action, stress
from ...storage.ragged import Ragged

WEIGHTS = {"forces": 1.0, "energy": 0.1, "stress": 0.0}  # of the terms in their weighted sum
UNITS = {"forces": "eV/Å", "energy": "eV/atom", "stress": "eV/Å³"}
IRREPS = {"forces": "1o", "energy": "0e", "stress": stress.IRREPS}
SCALES = {"forces": "force_scale", "energy": "energy_scale", "stress": "stress_scale"}  # in prepared data
STATE = ("charge", "spin")  # total charge [e] and spin multiplicity, where the data have them


class PotentialTask(Task):
    """Terms `forces`, `energy` (per atom) and `stress`, in float64, of structures that turn about their mean position.

    A term without any label is compared with 0: its total loss is then the mean square of the prediction.

    Args:
        data: frames, as `prepare` stores them. Where they have scales of the loss, these are used.
        stress_too: whether there is a term `stress`.

    Attributes:
        labelled: by term, whether some sample has a label.
    """

    irreps_in: ClassVar[dict[str, str]] = {"positions": "1o", "cell": "1e"}  # -R x in a lattice turned by R
    reflections = True

    def __init__(self, data: xr.Dataset, stress_too: bool = False):
        self._atoms = Ragged(data, "numbers", "positions")
        self._forces = Ragged(data, "forces") if "forces" in data else None
        self._cells = data["cell"].values.astype(np.float64) if "cell" in data else None
        self._state = {k: data[k].values.astype(np.float64) for k in STATE if k in data}
        names = ("forces", "energy", *(["stress"] if stress_too else []))
        self.scale = {n: float(data[SCALES[n]]) if SCALES[n] in data else 1.0 for n in names}
        self.terms = tuple(Term(n, IRREPS[n], "mse", WEIGHTS[n], self.scale[n], UNITS[n]) for n in names)
        self.elements = [int(z) for z in np.unique(data["numbers"].values)]
        self._energy = data["energy"].values if "energy" in data else np.full(len(self), np.nan)
        self._reference = np.zeros(max(self.elements) + 1)
        if "reference_energy" in data:
            self._reference[data["element"].values] = data["reference_energy"].values
        self._stress = data["stress"].values.astype(np.float64) if "stress" in data else None
        self.labelled = {
            "forces": "forces" in data and bool(np.isfinite(data["forces"].values).any()),
            "energy": bool(np.isfinite(self._energy).any()),
            "stress": self._stress is not None and bool(np.isfinite(self._stress).any()),
        }
        self.attribution = ("forces", "numbers", self.elements)

    def __len__(self) -> int:
        return len(self._atoms)

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """Structures, centred on their mean position and padded; the inputs hold all that a calculator needs."""
        real, (numbers, positions) = self._atoms.padded(index)
        counts = real.sum(1)
        positions = positions.astype(np.float64)
        positions = np.where(real[..., None], positions - positions.sum(1, keepdims=True) / counts[:, None, None], 0)
        inputs = {"numbers": numbers.astype(np.int64), "positions": positions, "sample": index.astype(np.int64)}
        if self._cells is not None:
            inputs["cell"] = self._cells[index]
        inputs |= {k: v[index] for k, v in self._state.items()}
        targets, known = self._targets(index, real, numbers)
        weights = {"forces": real / counts[:, None], "energy": np.ones(len(index)), "stress": np.ones(len(index))}
        for name, has in known.items():
            if self.labelled[name]:
                weights[name] = weights[name] * has.reshape(-1, *(1,) * (weights[name].ndim - 1))
        return Batch(
            {k: torch.from_numpy(v) for k, v in inputs.items()},
            {k: torch.from_numpy(v) for k, v in targets.items()},
            {t.name: torch.from_numpy(weights[t.name].astype(np.float64)) for t in self.terms},
        )

    def _targets(self, index: Array, real: Array, numbers: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """Labels in units of the loss, 0 where there is none, and whether each sample has one."""
        found = {"forces": np.full((*real.shape, 3), np.nan), "stress": np.full((len(index), 6), np.nan)}
        if self._forces is not None:
            found["forces"] = self._forces.padded(index)[1][0].astype(np.float64)
        references = (self._reference[numbers] * real).sum(1)
        found["energy"] = ((self._energy[index] - references) / real.sum(1))[:, None]
        if self._stress is not None:
            found["stress"] = stress.components(torch.from_numpy(self._stress[index])).numpy()
        known = {t.name: np.isfinite(found[t.name]).reshape(len(index), -1).all(1) for t in self.terms}
        targets = {
            n: np.where(known[n].reshape(-1, *(1,) * (found[n].ndim - 1)), found[n], 0) / self.scale[n] for n in known
        }
        return targets, known

    def rotate(self, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> Batch:
        """Each sample turned; positions to the same bits in every batch, so that answers to them can be kept."""
        inputs, proper = dict(batch.inputs), torch.linalg.det(rotation).sign()[:, None, None] * rotation
        for name, matrix in (("positions", rotation), ("cell", proper)):
            if name in inputs:
                x = inputs[name][..., None, :] * matrix[:, None]
                inputs[name] = x[..., 0] + x[..., 1] + x[..., 2]
        targets = {t.name: action.rotate(t.irreps, rotation, batch.targets[t.name]) for t in self.terms}
        return replace(batch, inputs=inputs, targets=targets)

    def energies(self, index: Int[Array, " sample"]) -> Float[Array, " sample"]:
        """Labels of the total energy [eV], less references; NaN where there is none."""
        real, (numbers, _) = self._atoms.padded(index)
        return self._energy[index] - (self._reference[numbers] * real).sum(1)

    def composition(self, index: Int[Array, " sample"]) -> Float[Array, "sample element"]:
        """Number of atoms of each element."""
        real, (numbers, _) = self._atoms.padded(index)
        return np.stack([((numbers == z) & real).sum(1) for z in self.elements], 1).astype(np.float64)

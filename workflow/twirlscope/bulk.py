"""What periodic frames have beyond molecules, cells and stresses: stored, and as a force-field task hands them out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from . import stress
from .contracts import Batch, Term
from .errors import UserError
from .hints import Array, Int, Sequence


def table(lattices: Sequence[Array], stresses: Sequence[Array | None]) -> xr.Dataset:
    """Cells and stresses of the frames of a part, also where it has none: another part may."""
    unknown = np.full((3, 3), np.nan)
    each = np.array([unknown if s is None else s for s in stresses], np.float32)
    return xr.Dataset(
        {
            "cell": (("sample", "lattice", "xyz"), np.array(lattices, np.float32)),
            "stress": (("sample", "xyz", "xyz_other"), each),
        }
    )


def finished(data: xr.Dataset) -> xr.Dataset:
    """The data without `cell` where no frame is periodic, and with `stress` only where training frames have one."""
    if "cell" not in data:
        return data
    if not data["cell"].values.any():
        return data.drop_vars(["cell", "stress"])
    train = data["stress"].values[data["split"].values == 0].astype(np.float64)
    squares = (train[np.isfinite(train).all((1, 2))] ** 2).sum((1, 2))
    if not squares.any():
        return data.drop_vars("stress")
    return data.assign(stress_scale=((), math.sqrt(squares.mean() / stress.COMPONENTS)))


class Bulk:
    """Cells and stresses of prepared frames, as additions to a task; they are none where no frame is periodic.

    Args:
        data: prepared frames.
        loss, weight: of the stress in the loss; without a weight there is no such term.

    Raises:
        UserError: a weight, but no stress in the training data.
    """

    def __init__(self, data: xr.Dataset, loss: str, weight: float):
        if weight and "stress_scale" not in data:
            raise UserError("stress_weight", "0, as no training frame has a stress", weight)
        self._cells = data["cell"].values if "cell" in data else None
        self.turns = {} if self._cells is None else {"cell": "1o"}
        self.terms, self.constants = (), {}
        if self._cells is not None:
            self.constants = {"optional": ["cell"]}
        if weight:
            scale = float(data["stress_scale"])
            self.terms = (Term("stress", stress.IRREPS, loss, weight, scale, "eV/Å³"),)
            self.constants = {"optional": ["cell", "stress"], "stress_scale": scale}
            self._stress = stress.components(torch.from_numpy(data["stress"].values)) / scale

    def added(self, batch: Batch, index: Int[Array, " sample"]) -> Batch:
        """A batch of these samples, with their cells and stresses; a stress that is not known has no weight."""
        if self._cells is not None:
            batch = replace(batch, inputs=batch.inputs | {"cell": torch.from_numpy(self._cells[index])})
        if self.terms:
            found = self._stress[torch.from_numpy(index)]
            known = found.isfinite().all(-1)
            targets = batch.targets | {"stress": torch.where(known[:, None], found, 0.0)}
            batch = replace(batch, targets=targets, weights=batch.weights | {"stress": known.to(found.dtype)})
        return batch

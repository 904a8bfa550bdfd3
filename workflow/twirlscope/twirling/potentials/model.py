"""Predictions of an external calculator for a batch, as a model of this package gives them."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import numpy as np
import torch

from ..._typing import Array, Float, Int, Tensor
from ...errors import needs
from ...external.calls import Calls
from ...external.client import Failure
from ...external.worker import structure
from ...geometry import stress
from .task import STATE, PotentialTask

with needs("chemistry"):
    from ase import Atoms


class Potential:
    """A calculator as a model: maps `Batch.inputs` to forces, energy per atom and stress, in units of the loss.

    Args:
        calls: the calculator.
        task: of the batches.

    Attributes:
        offsets: energies of the elements [eV], by atomic number, that are subtracted from total energies.
        failed: by sample, the reason why the calculator failed in some orientation; its predictions are NaN.
        energies: by sample, the total energies [eV] in all orientations so far, while they are recorded.
        first: by sample, hash of the results in its first orientation, to tell checkpoints apart.
    """

    equivariant = False
    activations: ClassVar[dict[str, str]] = {}

    def __init__(self, calls: Calls, task: PotentialTask):
        self.calls, self.task = calls, task
        self.offsets = np.zeros(max(task.elements) + 1)
        self.failed: dict[int, str] = {}
        self.energies: dict[int, list[float]] = {}
        self.first: dict[int, bytes] = {}

    def __call__(self, inputs: dict[str, Tensor], repeat: int = 0) -> dict[str, Tensor]:
        """Predictions by term; NaN for a sample whose calculation failed."""
        arrays = {k: v.cpu().numpy() for k, v in inputs.items()}
        frames = [frame_of(arrays, i) for i in range(len(arrays["numbers"]))]
        results = self.calls.evaluate(frames, repeat)
        scale, shape = self.task.scale, arrays["positions"].shape
        found = {"forces": np.zeros(shape), "energy": np.zeros((shape[0], 1)), "stress": np.zeros((shape[0], 3, 3))}
        for i, (frame, result) in enumerate(zip(frames, results, strict=True)):
            sample = int(arrays["sample"][i])
            if isinstance(result, Failure):
                self.failed.setdefault(sample, str(result))
                for part in found.values():
                    part[i] = np.nan
                continue
            self.energies.setdefault(sample, []).append(float(result["energy"]))
            self.first.setdefault(sample, hashlib.sha256(b"".join(v.tobytes() for v in result.values())).digest())
            found["forces"][i, : len(frame)] = result["forces"]
            found["energy"][i] = (result["energy"] - self.offsets[frame.numbers].sum()) / len(frame)
            if "stress" in result:
                found["stress"][i] = result["stress"]
        out = {k: torch.from_numpy(v) for k, v in found.items()}
        out["stress"] = stress.components(out["stress"])
        return {t.name: out[t.name] / scale[t.name] for t in self.task.terms}

    def align(self, index: Int[Array, " sample"]) -> Float[Array, " element"]:
        """Fit the element offsets to the mean energies over all orientations, and subtract them from now on.

        They are fitted per atom by least squares, to the labels where there are any, else to 0.
        """
        task, index = self.task, np.array([i for i in index if i not in self.failed])
        mean, labels = np.array([np.mean(self.energies[int(i)]) for i in index]), task.energies(index)
        if task.labelled["energy"]:
            index, mean, labels = (x[np.isfinite(labels)] for x in (index, mean, labels))
        else:
            labels = np.zeros(len(mean))
        composition = task.composition(index)
        atoms = composition.sum(1)
        found = np.linalg.lstsq(composition / atoms[:, None], (mean - labels) / atoms, rcond=None)[0]
        self.offsets[task.elements] = found
        return found


def frame_of(arrays: dict[str, Array], i: int) -> Atoms:
    """Structure number `i` of a batch, without padding."""
    real = arrays["numbers"][i] > 0
    cell = arrays["cell"][i] if "cell" in arrays else np.zeros((3, 3))
    state = {k: int(arrays[k][i]) for k in STATE if k in arrays and np.isfinite(arrays[k][i])}
    return structure(arrays["numbers"][i][real], arrays["positions"][i][real], cell, cell.any(1), state)

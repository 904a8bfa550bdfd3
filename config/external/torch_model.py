"""Calculators from files of torch, for `runs.<run>.external`: TorchScript, torch.export, and a state dict.

Copy this file and adapt `PairModel` and `_inputs` to your network. It needs torch, numpy and ase alone, and runs in the
environment that `external.python` names:

    external:
      calculator: config/external/torch_model.py:from_script   # or from_export, from_state_dict
      arguments: {path: "{checkpoint}"}
      checkpoints: "export/model_{step}.pt"
      batched: config/external/torch_model.py:batch
      trust: true
"""

from typing import ClassVar

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes

torch.set_default_dtype(torch.float64)


class PairModel(torch.nn.Module):
    """Network that a state dict is loaded into; here the energy is a sum over pairs of atoms, without a cutoff."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.first, self.last = torch.nn.Linear(1, width), torch.nn.Linear(width, 1)

    def forward(self, positions: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Energies `[sample]` from padded positions `[sample, atom, 3]` and `real`, 1.0 for atoms, 0.0 for padding."""
        step = positions.unsqueeze(1) - positions.unsqueeze(2)
        length = (step.square().sum(-1) + 1e-12).sqrt()
        pairs = self.last(torch.tanh(self.first(length.unsqueeze(-1)))).squeeze(-1)
        both = real.unsqueeze(1) * real.unsqueeze(2)
        return (pairs * both).sum((1, 2))


class TorchCalculator(Calculator):
    """Energy and forces of a function of positions and mask."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, model):
        super().__init__()
        self.model = model

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Energy [eV] and forces [eV/Å] of one structure."""
        super().calculate(atoms, properties, system_changes)
        (result,) = batch(self, [self.atoms], ("energy", "forces"))
        self.results = {"energy": float(result["energy"]), "forces": result["forces"]}


def batch(calculator, frames, properties):
    """Results of many structures in one pass, padded to the largest."""
    positions, real = _inputs(frames)
    positions.requires_grad_(True)
    energy = calculator.model(positions, real)
    forces = -torch.autograd.grad(energy.sum(), positions)[0]
    arrays = zip(energy.detach().numpy(), forces.numpy(), frames, strict=True)
    found = [{"energy": e, "forces": f[: len(frame)]} for e, f, frame in arrays]
    return [{name: each[name] for name in properties} for each in found]


def _inputs(frames):
    """Positions and mask of the structures, padded."""
    most = max(map(len, frames))
    positions, real = np.zeros((len(frames), most, 3)), np.zeros((len(frames), most))
    for i, frame in enumerate(frames):
        positions[i, : len(frame)], real[i, : len(frame)] = frame.positions, 1.0
    return torch.from_numpy(positions), torch.from_numpy(real)


def from_script(path):
    """Calculator from a file of `torch.jit.save`."""
    return TorchCalculator(torch.jit.load(path).eval())


def from_export(path):
    """Calculator from a file of `torch.export.save`, whose sizes of batch and structure were marked as dynamic."""
    return TorchCalculator(torch.export.load(path).module())


def from_state_dict(path, width=8):
    """Calculator from the weights of `PairModel`."""
    model = PairModel(width)
    model.load_state_dict(torch.load(path, weights_only=True))
    return TorchCalculator(model.eval())

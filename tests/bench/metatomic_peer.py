"""Metatomic's `SymmetrizedModel` around a network of ours: its variance over O(3), per sample."""

# ruff: noqa: UP006, UP035, UP045  (metatomic requires these hints)

from functools import lru_cache
from typing import Dict, List, Optional

import numpy as np
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelEvaluationOptions,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)
from metatomic.torch.o3 import SymmetrizedModel

FORCES, TERM = "non_conservative_force", "forces"
VARIANCE = f"o3::variance::{FORCES}"


class Exported(torch.nn.Module):
    """A network of ours with the interface of metatomic; molecules of different sizes are padded."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        return []

    def forward(
        self, systems: List[System], outputs: Dict[str, ModelOutput], selected_atoms: Optional[Labels]
    ) -> Dict[str, TensorMap]:
        pad = torch.nn.utils.rnn.pad_sequence
        numbers = pad([s.types.long() for s in systems], batch_first=True)
        positions = pad([s.positions for s in systems], batch_first=True)
        forces = self.model({"numbers": numbers, "positions": positions})[TERM][numbers > 0]
        atoms = torch.tensor([[s, a] for s, system in enumerate(systems) for a in range(len(system))])
        xyz = [Labels("xyz", torch.arange(3)[:, None])]
        block = TensorBlock(
            forces[..., None], Labels(["system", "atom"], atoms), xyz, Labels(FORCES, torch.zeros(1, 1).int())
        )
        return {FORCES: TensorMap(Labels("_", torch.zeros(1, 1).int()), [block])}


def estimate(setting, _seed: int) -> np.ndarray:
    """Variance of the forces over O(3), per component and sample, with metatomic's default quadrature."""
    wrapped = _wrapped(setting.evaluation.model, tuple(setting.evaluation.task.constants["elements"]))
    batch = setting.evaluation.task.batch(setting.index)
    cell, periodic = torch.zeros(3, 3), torch.zeros(3, dtype=torch.bool)
    kept = [numbers > 0 for numbers in batch.inputs["numbers"]]
    molecules = zip(batch.inputs["numbers"], batch.inputs["positions"], kept, strict=True)
    systems = [System(n[k].int(), x[k], cell, periodic) for n, x, k in molecules]
    options = ModelEvaluationOptions("angstrom", {VARIANCE: wrapped.capabilities().outputs[VARIANCE]})
    with torch.no_grad():
        block = wrapped(systems, options, check_consistency=False)[VARIANCE].block()
    values = block.values.reshape(len(block.values), -1).mean(-1).double()
    sample = block.samples.column("system").long()
    total = torch.zeros(len(systems), dtype=torch.float64).index_add(0, sample, values)
    return (total / torch.tensor([int(k.sum()) for k in kept])).numpy()


@lru_cache(maxsize=8)
def _wrapped(model: torch.nn.Module, elements: tuple[int, ...]) -> AtomisticModel:
    capabilities = ModelCapabilities(
        outputs={FORCES: ModelOutput(unit="eV/A", sample_kind="atom")},
        atomic_types=list(elements),
        interaction_range=np.inf,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float32",
    )
    exported = AtomisticModel(Exported(model).eval(), ModelMetadata(), capabilities)
    return SymmetrizedModel.wrap(exported, batch_size=256)

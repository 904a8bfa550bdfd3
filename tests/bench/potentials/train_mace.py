"""A small MACE trained for two minutes of processor time. Run by the Python that has mace-torch.

    python train_mace.py train.xyz folder --seconds 120

Writes folder/step_{step}.model, after a fixed number of updates and at the end.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from ase.io import read
from mace import data, modules, tools  # before e3nn 0.4.4, which torch refuses to load otherwise
from mace.tools import torch_geometric

from e3nn import o3  # isort: skip

ELEMENTS = [1, 6, 8]


def graphs(path: Path, cutoff: float) -> tuple[list, np.ndarray]:
    """Frames as graphs, and the energy per atom of each element by least squares."""
    frames = read(path, ":")
    table, keys = tools.AtomicNumberTable(ELEMENTS), data.KeySpecification({"energy": "e"}, {"forces": "f"})
    counts = np.array([[(f.numbers == z).sum() for z in ELEMENTS] for f in frames], float)
    energies = np.array([f.get_potential_energy() for f in frames])
    found = []
    for frame, energy in zip(frames, energies, strict=True):
        forces = frame.get_forces()
        frame.calc = None
        frame.info["e"], frame.arrays["f"] = energy, forces
        config = data.config_from_atoms(frame, key_specification=keys)
        found.append(data.AtomicData.from_config(config, z_table=table, cutoff=cutoff))
    return found, np.linalg.lstsq(counts, energies, rcond=None)[0]


def model_of(elements: list[int], references: np.ndarray, cutoff: float) -> torch.nn.Module:
    """MACE with 16 scalars and 16 vectors per atom, two interactions."""
    return modules.ScaleShiftMACE(
        r_max=cutoff,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(elements),
        hidden_irreps=o3.Irreps("16x0e + 16x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=references,
        avg_num_neighbors=9.0,
        atomic_numbers=elements,
        correlation=2,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )


def main(path: Path, folder: Path, seconds: float, cutoff: float = 4.0) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    found, references = graphs(path, cutoff)
    model = model_of(ELEMENTS, references, cutoff)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, amsgrad=True)
    loader = torch_geometric.dataloader.DataLoader(found, batch_size=5, shuffle=True)
    start, step = time.process_time(), 0
    torch.save(model, folder / "step_0.model")
    while time.process_time() - start < seconds:
        for batch in loader:
            rate = 1e-2 * max(0.02, 1 - (time.process_time() - start) / seconds)
            optimiser.param_groups[0]["lr"] = rate
            out = model(batch.to_dict(), training=True)
            error = torch.nn.functional.mse_loss(out["forces"], batch.forces)
            energy = torch.nn.functional.mse_loss(out["energy"] / 15, batch.energy / 15)
            optimiser.zero_grad()
            (100 * error + energy).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimiser.step()
            step += 1
            if time.process_time() - start > seconds:
                break
        print(f"update {step}: forces {1e3 * error.item() ** 0.5:.0f} meV/A", flush=True)
    torch.save(model, folder / f"step_{step}.model")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0)
    chosen = parser.parse_args()
    main(chosen.path, chosen.folder, chosen.seconds)

"""Updates of a small MACE on a batch made before: python mace_step.py FRAMES, by the Python that has mace-torch."""

import sys

import numpy as np
import torch
from ase.io import read
from mace import data, modules, tools  # before e3nn 0.4.4, which torch refuses to load otherwise
from mace.tools import torch_geometric
from rounds import serve

from e3nn import o3  # isort: skip

CUTOFF = 5.0


def model_of(elements: list[int]) -> torch.nn.Module:
    """MACE with 16 scalars and 16 vectors per atom, two interactions."""
    return modules.ScaleShiftMACE(
        r_max=CUTOFF,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(elements),
        hidden_irreps=o3.Irreps("16x0e + 16x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(elements)),
        avg_num_neighbors=9.0,
        atomic_numbers=elements,
        correlation=2,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )


def main(path: str) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    frames = read(path, ":")
    elements = sorted({int(z) for frame in frames for z in frame.numbers})
    zs = tools.AtomicNumberTable(elements)
    configs = [data.config_from_atoms(f, key_specification=data.KeySpecification({}, {})) for f in frames]
    graphs = [data.AtomicData.from_config(c, z_table=zs, cutoff=CUTOFF) for c in configs]
    batch = next(iter(torch_geometric.dataloader.DataLoader(graphs, len(graphs)))).to_dict()
    model = model_of(elements)
    target, adam = -batch["positions"].clone(), torch.optim.Adam(model.parameters(), 1e-3)

    def update() -> None:
        adam.zero_grad(set_to_none=True)
        found = model(batch, training=True, compute_force=True)
        (found["energy"].square().mean() + (found["forces"] - target).square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        adam.step()

    serve(sum(p.numel() for p in model.parameters()), update)


if __name__ == "__main__":
    main(*sys.argv[1:])

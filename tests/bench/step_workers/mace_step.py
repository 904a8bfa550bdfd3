"""Updates of a small MACE on a batch made before: python mace_step.py FRAMES, by the Python that has mace-torch."""

import sys
from pathlib import Path

import numpy as np
import torch
from ase.io import read
from mace import data, tools
from mace.tools import torch_geometric
from rounds import serve

sys.path.append(str(Path(__file__).parents[1] / "potentials"))

from train_mace import model_of

CUTOFF = 5.0


def main(path: str) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    frames = read(path, ":")
    elements = sorted({int(z) for frame in frames for z in frame.numbers})
    zs = tools.AtomicNumberTable(elements)
    configs = [data.config_from_atoms(f, key_specification=data.KeySpecification({}, {})) for f in frames]
    graphs = [data.AtomicData.from_config(c, z_table=zs, cutoff=CUTOFF) for c in configs]
    batch = next(iter(torch_geometric.dataloader.DataLoader(graphs, len(graphs)))).to_dict()
    model = model_of(elements, np.zeros(len(elements)), CUTOFF)
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

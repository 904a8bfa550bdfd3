"""Updates of a small NequIP on a batch made before: python nequip_step.py FRAMES, by the Python that has nequip."""

import sys

import torch
from ase.data import chemical_symbols
from ase.io import read
from nequip.data import AtomicDataDict, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state
from rounds import serve

CUTOFF = 5.0


def main(path: str) -> None:
    torch.set_num_threads(1)
    set_global_state()
    frames = read(path, ":")
    symbols = [chemical_symbols[z] for z in sorted({int(z) for frame in frames for z in frame.numbers})]
    mapper, neighbours = ChemicalSpeciesToAtomTypeMapper(symbols), NeighborListTransform(r_max=CUTOFF)
    batch = AtomicDataDict.batched_from_list([neighbours(mapper(from_ase(frame))) for frame in frames])
    model = NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        type_names=symbols,
        r_max=CUTOFF,
        num_layers=2,
        l_max=2,
        parity=False,
        num_features=16,
        avg_num_neighbors=9.0,
    )
    target, adam = -batch["pos"].clone(), torch.optim.Adam(model.parameters(), 1e-3)

    def update() -> None:
        adam.zero_grad(set_to_none=True)
        found = model(dict(batch))
        (found["total_energy"].square().mean() + (found["forces"] - target).square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        adam.step()

    serve(sum(p.numel() for p in model.parameters()), update)


if __name__ == "__main__":
    main(*sys.argv[1:])

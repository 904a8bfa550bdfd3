"""Cost of twirling beside plain forward passes of the same batches, for toy and for real molecules."""

from __future__ import annotations

import sys

import numpy as np
import torch
import xarray as xr
from performance import Given, Section, alone
from timing import interleaved, median, ratio, table

from twirlscope import plugins
from twirlscope.contracts import Evaluation
from twirlscope.datasets.molecular.smiles import embed_conformers, parse_smiles
from twirlscope.geometry import so3
from twirlscope.twirling import twisting

ROTATIONS, CHUNK, ROUNDS, LIMIT = 4, 256, 7, 1.10
TOYS, CONFORMERS = 128, 4
MOLECULES = {  # 10 to 30 atoms with hydrogens, of the elements that the default data have
    "acetone": "CC(C)=O",
    "benzene": "c1ccccc1",
    "adenine": "Nc1ncnc2nc[nH]c12",
    "nicotinamide": "NC(=O)c1cccnc1",
    "histamine": "NCCc1c[nH]cn1",
    "vanillin": "COc1cc(C=O)ccc1O",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "dopamine": "NCCc1ccc(O)c(O)c1",
    "phenylalanine": "NC(Cc1ccccc1)C(=O)O",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "glucose": "OCC1OC(O)C(O)C(O)C1O",
    "nicotine": "CN1CCCC1c1cccnc1",
    "limonene": "CC1=CCC(CC1)C(C)=C",
    "tryptophan": "NC(Cc1c[nH]c2ccccc12)C(=O)O",
    "pinane": "CC1CCC2CC1C2(C)C",
}


def toys(count: int = TOYS, atoms: int = 13):
    """Clouds of 13 atoms, as many as an average molecule of the default data has."""
    random = np.random.default_rng(0)
    return [(random.choice([1, 6], atoms), random.normal(scale=1.3, size=(atoms, 3))) for _ in range(count)]


def conformers():
    """Conformers of real molecules of different sizes, mixed as in a held-out split."""
    random = np.random.default_rng(0)
    parsed = [parse_smiles(smiles) for smiles in MOLECULES.values()]
    found = [(m.numbers, x) for m in parsed for x in embed_conformers(m, CONFORMERS, random)]
    sizes = [len(numbers) for numbers, _ in found]
    assert min(sizes) == 10, sizes
    assert max(sizes) <= 30, sizes
    return [found[i] for i in random.permutation(len(found))]


def force_field(frames):
    """The default task on elements and positions; labels play no part in the time."""
    numbers, positions = (np.concatenate(part) for part in zip(*frames, strict=True))
    atoms = np.array([len(n) for n, _ in frames], np.int32)
    elements = np.unique(numbers)
    data = {"numbers": ("atom", numbers), "positions": (("atom", "xyz"), positions.astype(np.float32))}
    data |= {"forces": (("atom", "xyz"), -positions.astype(np.float32)), "energy": ("sample", np.zeros(len(atoms)))}
    data |= {"atoms": ("sample", atoms), "reference_energy": ("element", np.zeros(len(elements)))}
    data |= {"force_scale": 1.0, "energy_scale": 1.0}
    return plugins.make_task({"name": "force_field"}, xr.Dataset(data, {"element": elements}))


def loads(frames, chosen: str = "vector_attention") -> dict:
    """Plain and twirled passes of the same samples by a model in its default size, as functions."""
    task, samples = force_field(frames), len(frames)
    model = plugins.make_model({"name": chosen}, task.constants).eval()
    index, generator = np.arange(samples), torch.Generator().manual_seed(0)
    quaternion = so3.haar(samples, ROTATIONS, generator=generator)
    rows = [index[s : s + CHUNK // ROTATIONS] for s in range(0, samples, CHUNK // ROTATIONS)]

    @torch.no_grad()
    def plain():
        for part in rows:
            model(task.batch(part).repeat(ROTATIONS).inputs)

    def twirled():
        twisting.inner_products(Evaluation(model, task, chunk=CHUNK), index, quaternion, labels=True)

    return {"plain": plain, "twirled": twirled}


def section(given: Given) -> Section:
    """Section of the page; fails if twirling costs more than the limit on a load."""
    molecules = conformers()[:: 8 if given.quick else 1]
    every = {
        "clouds of 13 atoms, vector_attention": loads(toys(32 if given.quick else TOYS)),
        "molecules of 10 to 30 atoms, vector_attention": loads(molecules),
        "the same, tensor_product": loads(molecules[::4], "tensor_product"),
    }
    rows, exceeded = [], []
    for name, works in every.items():
        seconds = interleaved(works, given.rounds(ROUNDS))
        found = ratio(seconds["twirled"], seconds["plain"])
        rows.append([name, f"{median(seconds['plain']):.3f}", f"{found:.3f}"])
        exceeded += [f"twirling {name}: {found:.3f}, at most {LIMIT}"] if found.value > LIMIT else []
    text = f"""The same number of passes of the same samples in the same batches, {ROTATIONS} rotations per sample;
untrained networks in their default size. Limit: {LIMIT:.2f}.

{table(("load", "plain passes [CPU s]", "twirled / plain"), rows)}"""
    return Section("Twirling beside plain forward passes", text, exceeded)


if __name__ == "__main__":
    sys.exit(alone(section, __file__))

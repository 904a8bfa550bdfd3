"""Speed, use of the device and peak memory of the published model sizes, with a twirl and a Hessian block."""

from __future__ import annotations

from functools import partial

import bench_train
from bench_train import flops_of, samples

from .check import Found, Setup

MODELS = {  # names of the card, cases of bench_train.py
    "escaip 6.1M": "6M_acac",
    "protein_transformer 65M": "65M",
    "protein_transformer 398M": "398M",
    "voxel_unet 112M": "112M",
}
TINY = {"escaip": "tiny_molecules", "protein_transformer": "tiny_backbones", "voxel_unet": "tiny_voxels"}
UPDATES = 20


def speed(name: str, setup: Setup) -> Found:
    """Numbers of one model in bf16, on made-up samples of one size."""
    case = bench_train.CASES[TINY[name.split()[0]] if setup.tiny else MODELS[name]]
    data = samples(case, 16 if setup.tiny else 256)
    flops = flops_of(case, data, setup.device)
    updates = 2 if setup.tiny else UPDATES
    found = bench_train.speed(case, data, flops, updates, True, precision="bf16", device=setup.device)
    return Found({"batch": case.batch} | found)


CHECKS = {f"speed of {name}": partial(speed, name) for name in MODELS}

"""Updates of a model of this package by its training loop, batches included: python twirlscope_step.py FRAMES MODEL."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

import numpy as np
import torch
from ase.io import read
from bench_twirl import force_field
from rounds import serve

from twirlscope.settings.train import TrainSettings
from twirlscope.training.loop import Loop


def main(path: str, model: str) -> None:
    torch.set_num_threads(1)
    frames = [(frame.numbers, frame.positions) for frame in read(path, ":")]
    settings = TrainSettings(steps=10**6, batch=len(frames), checkpoints_per_decade=1, device="cpu", prefetch=0)
    loop = Loop(force_field(frames), {"seed": 0, "model": {"name": model}}, settings, np.arange(len(frames)))
    loop.keep = set()
    serve(sum(p.numel() for p in loop.model.parameters()), loop.update)


if __name__ == "__main__":
    main(*sys.argv[1:])

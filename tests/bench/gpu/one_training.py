"""A training as a job runs it, in a process that may be killed: python one_training.py DATA OUT DEVICE STEPS."""

import sys
from pathlib import Path

from twirlscope.runtime.job import exit_with_message
from twirlscope.settings.train import TrainSettings
from twirlscope.stages.train import train


def run(device: str, steps: int) -> dict:
    """A run of a small model, whose state is saved at each of its checkpoints."""
    settings = TrainSettings(steps=steps, batch=4, warmup=5, device=device, ema=0.9)
    model = {"name": "vector_attention", "width": 8, "layers": 1, "radial": 4}
    return {
        "dataset": "well",
        "task": {"name": "force_field"},
        "model": model,
        "train": settings.model_dump(),
        "seed": 0,
    }


if __name__ == "__main__":
    data, out, device, steps = sys.argv[1:]
    with exit_with_message("train"):
        train(Path(data), Path(out), run(device, int(steps)), "code")

"""Settings of the stage `train`."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from .base import Settings, key

# How a machine executes a training: not part of its identity, as little as the number of processes. A run that was
# started on a laptop goes on where it was on several GPUs, and nothing is trained again because a batch would now be
# divided otherwise. Numbers differ in their rounding, as between machines (and in the masks of dropout, where a batch
# is divided). `precision` and `tf32` are no such keys: they shape every number that follows.
EXECUTION_KEYS = ("save_every", "device", "micro_batch", "activation_checkpointing", "compile", "prefetch")


class TrainSettings(Settings):
    """How a run is trained."""

    steps: int = key(1000, "number of optimiser updates", ge=1)
    samples: int = key(
        0, "samples of the train split that are used, the same first ones for every seed; 0 takes all", ge=0
    )
    batch: int = key(32, "samples an update", ge=1)
    optimiser: Literal["adamw", "adam", "sgd", "rmsprop", "muon"] = key(
        "adamw", "optimiser; `muon` for matrices and convolutions, with AdamW for all other weights"
    )
    learning_rate: float = key(1e-3, "highest learning rate", gt=0)
    momentum: float = key(0.9, "momentum of `sgd` and `muon`", ge=0, lt=1)
    warmup: int = key(50, "updates over which the learning rate rises linearly", ge=0)
    final_learning_rate: float = key(
        0.01, "learning rate at the end of the cosine, as a share of the highest", ge=0, le=1
    )
    weight_decay: float = key(
        0.0, "weight decay, on matrices only; `adam`, `sgd` and `rmsprop` add it to the gradient", ge=0
    )
    clip: float = key(10.0, "largest norm of the gradient; 0 does not clip", ge=0)
    ema: float = key(
        0.0, "decay of the exponential moving average whose weights are kept; 0 keeps the weights", ge=0, lt=1
    )
    augment: Literal["haar", "euler_product", "none"] = key(
        "haar", "rotation of every training sample: uniform, the biased product of three axis rotations, or none"
    )
    checkpoints_per_decade: int = key(
        5, "checkpoints a decade of steps, from step 1; step 0 and the end come on top", ge=1
    )
    save_every: float = key(30.0, "time between saves of the state from which a killed run resumes", "s", gt=0)
    precision: Literal["float32", "bf16"] = key(
        "float32",
        "of the model's matrix products in training; bf16 by autocast, with weights and their updates in float32",
    )
    tf32: bool = key(False, "whether a GPU may round float32 products to TensorFloat-32, several times faster")
    device: Literal["auto", "cpu", "cuda", "mps"] = key("auto", "where to train; auto takes a GPU if there is one")
    micro_batch: int = key(
        0,
        "most samples in a pass of a process, to save memory: gradients of passes add up; 0 for all at once",
        ge=0,
    )
    activation_checkpointing: bool = key(
        False, "whether activations inside of blocks are computed again in the backward pass, to save memory"
    )
    compile: bool = key(False, "whether torch.compile speeds the model up, minutes after the start")
    prefetch: int = key(2, "batches made ahead, in a thread, while the model computes; 0 makes each when needed", ge=0)

    @model_validator(mode="after")
    def _warmup_fits(self):
        if self.warmup > self.steps:
            raise ValueError(f"warmup of at most steps = {self.steps}")
        return self


def checkpoint_steps(settings: TrainSettings) -> list[int]:
    """Steps at which a checkpoint is kept: 0, a logarithmic grid from 1, the last."""
    steps, k = {0, settings.steps}, 0
    while (step := round(10 ** (k / settings.checkpoints_per_decade))) < settings.steps:
        steps.add(step)
        k += 1
    return sorted(steps)

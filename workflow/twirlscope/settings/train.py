"""Settings of the stage `train`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from .base import Settings, key


class TrainSettings(Settings):
    """Training of a run.

    Keys with `shapes=()` only say how a machine executes it. Like the number of processes, they are no part of its
    identity: a run started on a laptop resumes on several GPUs, and another division of batches repeats no training.
    They change rounding, as another machine does, and dropout masks if a batch is divided; batch norm, which would
    change more, is refused there. `precision` and `tf32` affect all later numbers and do belong to its identity.
    """

    steps: int = key(1000, "number of optimiser updates", ge=1)
    samples: int = key(0, "samples of the train split to use, the same first ones for every seed; 0 uses all", ge=0)
    objective: dict[str, Any] = key(
        {"name": "augment"},
        "`name` of an objective (or `file.py:Class`) and its settings: orientations of training samples, and the loss",
    )
    batch: int = key(32, "rotated samples per update: samples, or samples times their views", ge=1)
    optimiser: Literal["adamw", "adam", "sgd", "rmsprop", "muon"] = key(
        "adamw", "optimiser; `muon` for matrices and convolutions, with AdamW for all other weights"
    )
    learning_rate: float = key(1e-3, "highest learning rate", gt=0)
    momentum: float = key(0.9, "momentum of `sgd` and `muon`", ge=0, lt=1)
    warmup: int = key(50, "updates over which the learning rate rises linearly", ge=0)
    final_learning_rate: float = key(
        0.01, "learning rate at the end of the cosine schedule, as a share of the highest", ge=0, le=1
    )
    weight_decay: float = key(
        0.0, "weight decay, on matrices only; `adam`, `sgd` and `rmsprop` add it to the gradient", ge=0
    )
    clip: float = key(10.0, "gradients with a larger norm are clipped to it; 0 does not clip", ge=0)
    ema: float = key(
        0.0,
        "decay of the exponential moving average (EMA) of the weights that checkpoints hold; 0 for no average",
        ge=0,
        lt=1,
    )
    checkpoints_per_decade: int = key(
        5, "checkpoints per decade of steps, from step 1, in addition to step 0 and the last step", ge=1
    )
    save_every: float = key(
        30.0, "time between saves of the state from which a killed run resumes", "s", shapes=(), gt=0
    )
    precision: Literal["float32", "bf16"] = key(
        "float32",
        "precision of matrix products in training; bf16 uses autocast, with weights and their updates in float32",
    )
    tf32: bool = key(False, "true lets a GPU round float32 products to TensorFloat-32, which is several times faster")
    device: Literal["auto", "cpu", "cuda", "mps"] = key(
        "auto", "device to train on; auto takes a GPU if there is one", shapes=()
    )
    micro_batch: int = key(
        0,
        "most rotated samples per forward pass of a process, to save memory: gradients add up; 0 for all at once",
        shapes=(),
        ge=0,
    )
    activation_checkpointing: bool = key(
        False, "true recomputes activations inside of blocks in the backward pass, to save memory", shapes=()
    )
    compile: Literal["never", "always", "auto"] = key(
        "never",
        "whether torch.compile compiles the model; auto does so where a short trial before the first update finds it "
        "faster",
        shapes=(),
    )
    prefetch: int = key(
        -1,
        "batches made in advance, in a thread, while the model computes; 0 makes each when needed; -1 stands for 2 on "
        "a GPU and 0 on a CPU",
        shapes=(),
        ge=-1,
    )

    @model_validator(mode="after")
    def _warmup_fits(self):
        if self.warmup > self.steps:
            raise ValueError(f"warmup of at most steps = {self.steps}")
        return self


def checkpoint_steps(settings: TrainSettings) -> list[int]:
    """Steps at which a checkpoint is saved: 0, a logarithmic grid from 1, and the last."""
    steps, k = {0, settings.steps}, 0
    while (step := round(10 ** (k / settings.checkpoints_per_decade))) < settings.steps:
        steps.add(step)
        k += 1
    return sorted(steps)

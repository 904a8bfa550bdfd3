"""Settings of the stage `gradient`."""

from __future__ import annotations

from typing import Literal

from .base import Settings, key


class GradientSettings(Settings):
    """How the gradients of both parts of the loss are measured at every checkpoint. Cost: about
    `5 * batches * samples * rotations` forward passes of one rotated sample for each checkpoint, and memory for
    `2 * batches` gradients.
    """

    enabled: bool = key(True, "whether the stage runs at all")
    split: str = key("train", "split the samples are drawn from")
    batches: int = key(
        16, "independent batches: norms come from products of different ones, errors from their jackknife", ge=3
    )
    samples: int = key(8, "samples in each batch, drawn with replacement; the same for every checkpoint", ge=1)
    rotations: int = key(2, "independent rotations of a sample, uniform on the group of the task", ge=2)
    layer_depth: int = key(
        2, "names of a module's path that make a layer: 2 counts `blocks.0.feed.gate` to `blocks.0`", ge=1
    )
    seed: int = key(0, "seed of the samples and rotations", ge=0)
    nearest: int = key(
        0,
        "checkpoints from which the nearest more symmetric parameters are looked for, evenly spread; 0 for none",
        ge=0,
    )
    nearest_share: float = key(0.1, "share of the equivariance error at which the search ends", gt=0, lt=1)
    nearest_steps: int = key(60, "most steps of the search, a gradient on all samples each", ge=1)
    dtype: Literal["float32", "float64"] = key("float32", "precision of the gradients; products are summed in float64")
    chunk: int = key(8, "samples differentiated at once", ge=1)
    device: Literal["auto", "cpu", "cuda"] = key("auto", "where to evaluate")
    jobs: int = key(
        1, "jobs that the checkpoints are spread over; the result does not depend on it", ge=1, exclude=True
    )

"""Settings of the stage `gradient`."""

from __future__ import annotations

from typing import Literal

from .base import LARGEST_SEED, Settings, key


class GradientSettings(Settings):
    """Measurement of the gradients of both parts of the loss at some or all checkpoints.

    Cost per checkpoint: about `10 * batches * samples * rotations` forward passes of one rotated sample, half of them
    for the update that led to it, and memory for `2 * batches` gradients.
    """

    enabled: bool = key(True, "true runs the stage, false skips it", shapes=())
    checkpoints: int = key(
        0,
        "number of checkpoints to measure, evenly spread over those of the run, first and last included; 0 for all",
        ge=0,
    )
    split: str = key("train", "split from which the samples are drawn")
    batches: int = key(
        16, "independent batches: norms are products between different batches, errors a jackknife over batches", ge=3
    )
    samples: int = key(8, "samples per batch, drawn with replacement; the same for every checkpoint", ge=1)
    rotations: int = key(2, "independent rotations per sample, uniform on the group of the task", ge=2)
    layer_depth: int = key(
        2,
        "number of names in a module path that make a layer: with 2, `blocks.0.feed.gate` belongs to `blocks.0`",
        ge=1,
    )
    seed: int = key(0, "seed of the samples and rotations", ge=0, le=LARGEST_SEED)
    nearest: int = key(
        0,
        "measured checkpoints, evenly spread, from which the nearest more symmetric parameters are searched, or 0",
        ge=0,
    )
    nearest_share: float = key(0.1, "share of the equivariance error at which the search ends", gt=0, lt=1)
    nearest_steps: int = key(60, "largest number of steps of the search; each needs a gradient on all samples", ge=1)
    dtype: Literal["float32", "float64"] = key("float32", "precision of the gradients; products are summed in float64")
    chunk: int = key(8, "samples differentiated at once", shapes=(), ge=1)
    device: Literal["auto", "cpu", "cuda"] = key("auto", "device to evaluate on", shapes=())
    jobs: int = key(
        1, "jobs that share the checkpoints; the result does not depend on it", shapes=(), ge=1, exclude=True
    )

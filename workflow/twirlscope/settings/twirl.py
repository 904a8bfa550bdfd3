"""Settings of the stage `twirl`."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ..geometry.rotation_sets import DEGREES
from .base import LARGEST_SEED, Settings, key


class TwirlSettings(Settings):
    """Measurement of every checkpoint: loss split, spectrum, test-time averaging."""

    rotations: int = key(
        4, "independent rotations per sample, uniform on the group; the same for every checkpoint", ge=2
    )
    reflections: int = key(
        2,
        "independent rotoreflections per sample, for O(3) beside SO(3), if the task allows them; 0 for SO(3) alone",
        ge=0,
    )
    losses: list[Literal["l2", "l1", "huber"]] = key(
        ["l2"], "losses that are split by jackknife, beside the squared error and the training loss"
    )
    samples: int = key(0, "samples to measure, drawn from the split; 0 takes the whole split", ge=0)
    split: str = key("test", "split to measure")
    seed: int = key(0, "seed of the rotations, of the samples and of the bootstrap", ge=0, le=LARGEST_SEED)
    resamples: int = key(1000, "bootstrap resamples behind the intervals, each of whole clusters of samples", ge=100)
    trivial_below: float = key(
        0.1,
        "learned fraction below which a percentage counts as trivial, since a network that outputs zero is equivariant",
        ge=0,
    )
    panel: int = key(24, "samples measured under many rotations, for the spectrum; below 2 skips it", ge=0)
    panel_checkpoints: int = key(
        0,
        "checkpoints at which the panel is measured, evenly spread, first and last included; 0 for all",
        ge=0,
    )
    panel_set: Literal[tuple(DEGREES)] = key("O", "set of rotations of the panel, at random orientations")
    panel_replicates: int = key(3, "random orientations of the set for each sample of the panel", ge=2)
    highest_degree: int = key(5, "highest degree of the spectrum", ge=1, le=40)
    kept: int = key(2, "samples whose twisted predictions, or slices through predicted fields, are stored", ge=0)
    chunk: int = key(256, "rotated samples in memory at once", shapes=(), ge=2)
    device: Literal["auto", "cpu", "cuda"] = key(
        "auto", "device to evaluate on, in float32 with sums in float64", shapes=()
    )
    jobs: int = key(
        1, "jobs that share the checkpoints; the result does not depend on it", shapes=(), ge=1, exclude=True
    )

    @model_validator(mode="after")
    def _enough_reflections(self):
        if self.reflections == 1:
            raise ValueError("reflections of 0, or of 2 and more: one reflection has no variance")
        return self

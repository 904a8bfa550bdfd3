"""Settings of the stage `layers`."""

from __future__ import annotations

from typing import Literal

from ..geometry.rotation_sets import DEGREES
from .base import LARGEST_SEED, Settings, key


class LayersSettings(Settings):
    """Measurement of symmetry inside a network: how its features rotate, and where its equivariance error is made.

    Cost per checkpoint, in forward passes with a derivative of one rotated sample: about `3 * samples` for the features
    and `1.5 * samples * (modules + 1)` for the error. Plain passes: `panel * rotations` of the panel.
    """

    enabled: bool = key(False, "true runs the stage, false skips it", shapes=())
    checkpoints: int = key(
        3, "number of checkpoints to measure, evenly spread over those of the run, first and last included", ge=1
    )
    steps: list[int] = key([], "steps of the checkpoints to measure; empty chooses them by `checkpoints`")
    modules: list[str] = key(
        ["blocks.*"],
        "modules whose outputs are the features, by their paths in the order of the network; `*` stands for one name",
        min_length=1,
    )
    split: str = key("test", "split from which the samples are drawn")
    samples: int = key(
        72, "samples; generators are fitted on one half of their clusters, all else is measured on the other half", ge=4
    )
    rotations: int = key(1, "random orientations of each sample", ge=1)
    highest_degree: int = key(4, "highest degree of features that is reported", ge=1, le=20)
    tolerance: float = key(
        0.1,
        "largest distance of an eigenvalue of the Casimir from l (l + 1), and largest defect, of a steerable direction",
        gt=0,
        lt=1,
    )
    smallest_variance: float = key(
        1e-8,
        "share of the largest variance along a principal direction below which a direction of features is left out",
        gt=0,
        lt=1,
    )
    panel: int = key(8, "samples under many rotations, for the degrees of the features; below 2 skips it", ge=0)
    panel_set: Literal[tuple(DEGREES)] = key("O", "set of rotations of the panel, at random orientations")
    panel_replicates: int = key(2, "random orientations of the set for each sample of the panel", ge=2)
    seed: int = key(0, "seed of samples, halves, rotations and of the bootstrap", ge=0, le=LARGEST_SEED)
    resamples: int = key(1000, "bootstrap resamples behind the intervals, each of whole clusters of samples", ge=100)
    chunk: int = key(128, "rotated samples in one forward pass", shapes=(), ge=1)
    device: Literal["auto", "cpu", "cuda"] = key("auto", "device to evaluate on, in float64", shapes=())
    jobs: int = key(
        1, "jobs that share the checkpoints; the result does not depend on it", shapes=(), ge=1, exclude=True
    )

"""Settings of the stage `prepare`, shared by all datasets."""

from __future__ import annotations

from typing import Literal

from .base import Settings, key


class DatasetSettings(Settings):
    """Keys of every dataset; the `Settings` of a dataset adds its own."""

    seed: int = key(0, "seed of everything random in the preparation", ge=0)
    parts: int = key(1, "jobs that share the preparation; the result does not depend on it", ge=1)
    split_by: Literal["frame", "molecule"] = key("frame", "held out are single frames, or all frames of a molecule")
    test_fraction: float = key(0.1, "share of the frames (or molecules) that are held out", gt=0, lt=1)
    allow_duplicates: bool = key(
        False, "whether held-out samples may be in the train split too, turned or renumbered; the report counts them"
    )
    max_rejected: float = key(0.1, "share of unusable records above which the preparation fails", ge=0, le=1)

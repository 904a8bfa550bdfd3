"""Settings of the stage `prepare`, shared by all datasets."""

from __future__ import annotations

from typing import Literal

from .base import LARGEST_SEED, Settings, key


class DatasetSettings(Settings):
    """Keys of every dataset; the `Settings` of a dataset adds its own."""

    seed: int = key(0, "seed of everything random in the preparation", ge=0, le=LARGEST_SEED)
    parts: int = key(1, "jobs that share the preparation; the result does not depend on it", shapes=(), ge=1)
    split_by: Literal["molecule", "frame"] = key(
        "molecule",
        "held out are all frames of a molecule, or single frames of molecules that are in the train split too",
    )
    test_fraction: float = key(0.1, "share of the molecules (or frames) that are held out", gt=0, lt=1)
    allow_duplicates: bool = key(
        False,
        "whether samples of test files may be in the train split too, turned or renumbered; the report counts them",
    )
    max_rejected: float = key(0.1, "share of unusable records above which the preparation fails", ge=0, le=1)

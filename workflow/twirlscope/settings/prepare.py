"""What every dataset is asked for, whatever it is made from."""

from __future__ import annotations

from typing import Literal

from .base import Settings, key


class DatasetSettings(Settings):
    """Keys that every dataset has; a dataset's own `Settings` adds to them."""

    seed: int = key(0, "seed of everything random in the preparation", ge=0)
    parts: int = key(1, "jobs the preparation is split into; the result does not depend on it", ge=1)
    split_by: Literal["frame", "molecule"] = key(
        "frame", "what is held out: single frames, or all frames of a molecule"
    )
    test_fraction: float = key(0.1, "share of the frames (or molecules) that is held out", gt=0, lt=1)
    max_rejected: float = key(0.1, "share of unusable records above which the preparation fails", ge=0, le=1)

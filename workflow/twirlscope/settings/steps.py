"""Selections of training steps."""

from __future__ import annotations

import numpy as np

from .._typing import Sequence


def evenly_spaced(steps: Sequence[int], count: int) -> list[int]:
    """`count` of the steps, evenly spread, both ends included; all steps if there are fewer."""
    places = np.unique(np.linspace(0, len(steps) - 1, min(count, len(steps))).round().astype(int))
    return [steps[i] for i in places]

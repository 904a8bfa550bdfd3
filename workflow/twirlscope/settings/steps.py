"""Selections evenly spread over a sequence, such as that of the training steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Sequence


def evenly_spaced(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items, evenly spread, both ends included; all items if there are fewer."""
    places = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
    return [items[i] for i in places]

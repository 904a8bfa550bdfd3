"""Selections evenly spread over a sequence, such as that of the training steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Sequence
from ..errors import UserError


def evenly_spaced(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items, evenly spread, both ends included; all items if there are fewer."""
    places = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
    return [items[i] for i in places]


def chosen_steps(kept: Sequence[int], steps: Sequence[int], checkpoints: int, where: str) -> list[int]:
    """Steps of the checkpoints that a stage measures, ascending: `steps`, or if there are none, so many checkpoints.

    Args:
        kept: steps that have a checkpoint, ascending.
        steps: steps that are asked for.
        checkpoints: number of checkpoints, evenly spread, first and last included; 1 takes the last, 0 all.
        where: section of the config, for the error.

    Raises:
        UserError: a step without a checkpoint.
    """
    wrong = sorted(set(steps) - set(kept))
    if wrong:
        raise UserError(f"{where}.steps", "steps of checkpoints", wrong, [str(s) for s in kept])
    if steps:
        return sorted(set(steps))
    if not checkpoints:
        return list(kept)
    return [kept[-1]] if checkpoints == 1 else evenly_spaced(kept, checkpoints)

"""A row of the table of calibrations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """How often an interval holds the truth.

    quantity: interval, in words.
    law: simulated data, in words.
    size: of the data, in words.
    expected: share that should be found, in words.
    share: share that was found.
    count: number of intervals.
    """

    quantity: str
    law: str
    size: str
    expected: str
    share: float
    count: int


def covering(quantity: str, law: str, size: str, hits: Iterable[bool], expected: str = "95 %") -> Row:
    """The row of intervals, each of which does or does not hold the truth."""
    hits = [bool(h) for h in hits]
    return Row(quantity, law, size, expected, sum(hits) / max(len(hits), 1), len(hits))

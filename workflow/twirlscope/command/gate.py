"""Decision of the command `twirl` from an error, its interval, its floor and a bound; numbers only."""

from __future__ import annotations

import math
from typing import NamedTuple

WITHIN, ERROR, ABOVE, UNDECIDABLE = 0, 1, 3, 4  # exit statuses


class Decision(NamedTuple):
    """Exit status, and the reason in words."""

    status: int
    reason: str


def decide(value: float, low: float, high: float, floor: float, bound: float) -> Decision:
    """Decision on one error.

    Args:
        value: the error, a root mean square.
        low, high: ends of its 95 % interval; NaN if there is none.
        floor: the largest floor of the error.
        bound: largest error that is accepted. All five are in one unit.
    """
    if floor > bound:
        return Decision(UNDECIDABLE, f"undecidable: the floor of {floor:.3g} is above the bound of {bound:g}")
    if low > bound:
        return Decision(ABOVE, f"above the bound of {bound:g}")
    if high <= bound:
        return Decision(WITHIN, f"within the bound of {bound:g}")
    if math.isnan(low) or math.isnan(high):
        return Decision(UNDECIDABLE, f"undecidable: {value:.3g} has no interval, of too few structures")
    return Decision(UNDECIDABLE, f"undecidable: the interval contains the bound of {bound:g}")


def overall(decisions: list[Decision], failed: float, most: float) -> int:
    """Exit status of all decisions together: above any bound, else undecidable, else within.

    Args:
        failed: share of the structures that failed.
        most: share above which nothing is decided.
    """
    statuses = {d.status for d in decisions}
    if failed > most:
        return UNDECIDABLE
    return next((s for s in (ABOVE, UNDECIDABLE) if s in statuses), WITHIN)

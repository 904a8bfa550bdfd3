"""What a check is given and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Setup:
    """Choices for a check.

    device: torch device that is checked.
    tiny: whether models and numbers of updates are those of a test.
    allowed: time [s] that is left for the check.
    acac: prepared store of acetylacetone; None for made-up molecules of as many atoms.
    """

    device: str
    tiny: bool = False
    allowed: float = 600.0
    acac: Path | None = None


@dataclass(frozen=True)
class Found:
    """Numbers of a check by name.

    exceeded: numbers beyond their limits, in words; a check with any has failed.
    """

    values: dict[str, float | str]
    exceeded: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """A row of the card.

    seconds: time on a GPU, about; the check is skipped where less is left, and ended after three times as much.
    """

    name: str
    work: Callable[[Setup], Found]
    seconds: float


def within(values: dict[str, float], limits: dict[str, float]) -> Found:
    """The values, those above the limit of their name named; NaN is above every limit."""
    over = [
        f"{name} {values[name]:.2g}, at most {limit:g}" for name, limit in limits.items() if not values[name] <= limit
    ]
    return Found(dict(values), over)


class NotPossibleError(Exception):
    """The reason why a check cannot be tried here."""

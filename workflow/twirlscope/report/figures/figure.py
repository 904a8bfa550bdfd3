"""A figure of the report: its drawings, words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from matplotlib.figure import Figure as Canvas

from ..._typing import Sequence
from ..numbers import Numbers
from .style import rendered


@dataclass(frozen=True)
class Figure:
    """A figure for the page: drawn twice, with its words and its numbers.

    name: of its files.
    wide, narrow: the same content for a desktop and for a telephone.
    title, caption: for everyone.
    alternative: for readers who cannot see the figure, with its most important numbers.
    numbers: everything that is drawn.
    plain: the wide and the narrow drawing without published curves; None where there are none.
    tab: its name among its tabs.
    tabs: the same figure of other terms or other data, of which the page shows one at a time.
    """

    name: str
    wide: Canvas
    narrow: Canvas
    title: str
    caption: str
    alternative: str
    numbers: Numbers
    plain: tuple[Canvas, Canvas] | None = None
    tab: str = ""
    tabs: tuple[Figure, ...] = ()

    @property
    def every(self) -> tuple[Figure, ...]:
        """The figure and its tabs."""
        return (self, *self.tabs)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The drawings as files, by the end of their names."""
        kinds = {".svg": (self.wide, "svg"), "_narrow.svg": (self.narrow, "svg"), ".pdf": (self.wide, "pdf")}
        if self.plain is not None:
            kinds |= {"_plain.svg": (self.plain[0], "svg"), "_plain_narrow.svg": (self.plain[1], "svg")}
        return {end: rendered(canvas, kind) for end, (canvas, kind) in kinds.items()}


def tabbed(figures: Sequence[Figure | None]) -> list[Figure]:
    """The first figure with the others as its tabs; an empty list without any."""
    found = [figure for figure in figures if figure is not None]
    return [replace(found[0], tabs=tuple(found[1:]))] if found else []

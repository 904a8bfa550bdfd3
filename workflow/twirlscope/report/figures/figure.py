"""A figure of the report: its drawings, words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from matplotlib.figure import Figure as Canvas

from ..._typing import Mapping, Sequence
from ..numbers import Numbers
from .style import rendered


@dataclass(frozen=True)
class Chart:
    """The interactive version of a figure: which of its columns are drawn, and how. Columns are given by name.

    x: column along the horizontal axis.
    series: columns that are drawn, by their words: (value), (value, standard error) or (value, low, high).
    label: of the vertical axis, with its unit.
    by: columns that distinguish lines, if there is one series; several series are lines themselves.
    panel: columns whose values the reader chooses between: one panel at a time.
    x_log, y_log: True if an axis is logarithmic at first; the reader can change it. 0 has a place on x in any case.
    rule: value of a horizontal line.
    """

    x: str
    series: Mapping[str, tuple[str, ...]]
    label: str
    by: tuple[str, ...] = ("run",)
    panel: tuple[str, ...] = ()
    x_log: bool = True
    y_log: bool = True
    rule: float | None = None


@dataclass(frozen=True)
class Figure:
    """A figure for the page: drawn twice, with its words and its numbers.

    name: of its files.
    wide, narrow: the same content for a desktop and for a telephone.
    title, caption: for everyone.
    alternative: for readers who cannot see the figure, with its most important numbers.
    numbers: everything that is drawn.
    chart: the interactive version; None where a picture says all.
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
    chart: Chart | None = None
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

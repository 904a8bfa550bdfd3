"""A figure of the report: its drawings, words and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure as Canvas

from ..._typing import Mapping
from .style import rendered


@dataclass(frozen=True)
class Chart:
    """How the numbers of a figure are drawn interactively.

    x: column of the figure's table along the axis; its unit is in its name.
    series: columns that are drawn, by their words: (value), (value, standard error) or (value, low, high).
    label: of the y axis, with its unit.
    by: columns that tell lines apart, where there is one series; several series are lines themselves.
    panel: columns whose values are chosen between: one panel at a time.
    x_log, y_log: whether an axis is logarithmic at first; the reader can change it. 0 has a place on x in any case.
    rule: where a horizontal line lies.
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
    title, caption: for everyone; alternative: what a reader who cannot see it needs, with the numbers.
    table: what is drawn, a column's unit in brackets in its name.
    chart: how the table is drawn interactively; None where a picture says all.
    """

    name: str
    wide: Canvas
    narrow: Canvas
    title: str
    caption: str
    alternative: str
    table: pd.DataFrame
    chart: Chart | None = None

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The drawings as files, by the end of their names."""
        drawn = {".svg": (self.wide, "svg"), "_narrow.svg": (self.narrow, "svg"), ".pdf": (self.wide, "pdf")}
        return {end: rendered(*how) for end, how in drawn.items()}

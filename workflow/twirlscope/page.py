"""The page itself, which asks nobody for anything beyond its folder; every text is escaped by the template engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from . import charts
from .hints import Mapping, Sequence
from .style import Figure
from .trainings import say

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Table:
    """A table on the page and as CSV. The first column names the row.

    frame: columns are named `words [unit]`, as in the figures' tables.
    brief: the same for the page, where that differs.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    brief: pd.DataFrame | None = None

    @property
    def shown(self) -> pd.DataFrame:
        """What stands on the page."""
        return self.frame if self.brief is None else self.brief

    @property
    def heads(self) -> list[tuple[str, str, bool]]:
        """Words, unit and whether it holds numbers, of each column."""
        return [(*_unit(str(name)), _numeric(self.frame.get(name, self.shown[name]))) for name in self.shown.columns]

    @property
    def rows(self) -> list[list[str]]:
        """The cells as text."""
        return [[text(value) for value in row] for row in self.shown.itertuples(index=False)]


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _unit(name: str) -> tuple[str, str]:
    """`loss [1]` -> loss and nothing, `time [s]` -> time and s."""
    words, bracket, unit = name.partition(" [")
    return words, unit.rstrip("]") if bracket and unit != "1]" else ""


def text(value: Any) -> str:
    """A value in a cell: three significant digits, a dash where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"  # noqa: RUF001
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return say(value)


def with_intervals(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame with the interval of each of these percentages in the cell of its value, for the page."""
    brief = frame.copy()
    for name in names:
        heads = [f"{name} [%]", f"{name}, from [%]", f"{name}, to [%]"]
        cells = zip(*(frame[h] for h in heads), strict=True)
        brief[heads[0]] = [f"{text(p)} ({text(a)} to {text(b)})" if p == p else text(p) for p, a, b in cells]
        brief = brief.drop(columns=heads[1:])
    return brief


@dataclass(frozen=True)
class Shown:
    """A figure as the page needs it: the size of its drawing, its numbers and the chart that is made of them."""

    figure: Figure
    size: tuple[int, int]
    numbers: Markup
    chart: Markup | None


@dataclass(frozen=True)
class Data:
    """A dataset on the page: facts in words, its splits, its rejects, whom to cite for it."""

    name: str
    facts: Mapping[str, str]
    rejects: Table | None
    citation: str = ""


@dataclass(frozen=True)
class Section:
    """A question and what answers it: sentences, figures, tables, in this order.

    anchor: the end of its address, one word.
    """

    anchor: str
    heading: str
    sentences: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[tuple[str, Table]] = ()  # with a heading each


@dataclass(frozen=True)
class Story:
    """Everything the page tells, in order."""

    title: str
    threshold: float
    summary: str
    sentences: Sequence[str]
    warnings: Sequence[str]
    headline: Table
    terms: Table
    trainings: Table
    models: Mapping[str, Mapping[str, str]]
    datasets: Sequence[Data]
    sections: Sequence[Section]
    method: Mapping[str, str]
    provenance: Mapping[str, str]
    config: str
    paragraph: str
    bibtex: str


def html(story: Story) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["bound"] = lambda words: words.replace(" %", "\N{NO-BREAK SPACE}%")
    css, script = (Markup((HERE / f"report.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))
    drawn = {s.anchor: [shown(f) for f in s.figures] for s in story.sections}
    page = environment.get_template("report.html.j2").render(story=story, drawn=drawn, css=css, script=script)
    return page.rstrip() + "\n"


def shown(figure: Figure) -> Shown:
    """What stands on the page of a figure, beside its words."""
    width, height = (round(inches * 72) for inches in figure.wide.get_size_inches())
    chart = Markup(charts.specification(figure)) if figure.chart else None
    return Shown(figure, (width, height), Markup(charts.packed(figure)), chart)

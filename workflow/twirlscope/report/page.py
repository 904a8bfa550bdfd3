"""The self-contained HTML page (no network requests); the template engine escapes every text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .._typing import Mapping, Sequence
from .figures import chart_rows, vega
from .figures.figure import Figure
from .first_screen.screen import FirstScreen
from .questions import Question
from .section import Section
from .tables import Table

HERE = Path(__file__).parent
FILES = ("page.css", "explore.js", "page.js", "navigation.js")
MOST_OPEN = 8  # figures that are open at first, that of the first screen included


@dataclass(frozen=True)
class Drawing:
    """A figure as the template takes it: width and height [pixel], its rows and its chart as JSON."""

    figure: Figure
    size: tuple[int, int]
    rows: Markup
    chart: Markup | None


@dataclass(frozen=True)
class Part:
    """A section as the template takes it: its figures and tables, open and folded. A figure is a list of tabs."""

    section: Section
    open_figures: Sequence[Sequence[Drawing]]
    more_figures: Sequence[Sequence[Drawing]]

    @property
    def folded(self) -> bool:
        """True if the whole section is folded."""
        section = self.section
        return section.question.folded or not (self.open_figures or section.open_tables or section.sentences)

    @property
    def more(self) -> str:
        """The folded figures, tables and remarks in words; empty if there are none."""
        tables, figures = self.section.tables[self.section.open_tables :], sum(map(len, self.more_figures))
        counts = ((figures, "figure"), (len(tables), "table"), (len(self.section.remarks), "remark"))
        return ", ".join(f"{n} {word}{'s' * (n > 1)}" for n, word in counts if n)


@dataclass(frozen=True)
class DatasetCard:
    """A dataset on the page: facts in words, its rejected records, its citation."""

    name: str
    facts: Mapping[str, str]
    rejects: Table | None
    citation: str = ""


@dataclass(frozen=True)
class Content:
    """Everything on the page, in its order.

    reading: remarks that hold for all figures.
    """

    screen: FirstScreen
    threshold: float
    reading: Sequence[str]
    datasets: Sequence[DatasetCard]
    sections: Sequence[Section]
    method: Mapping[str, str]
    provenance: Mapping[str, str]
    config: str
    paragraph: str
    bibtex: str

    @property
    def every_figure(self) -> list[Figure]:
        """All figures with their tabs."""
        first = self.screen.figure.every if self.screen.figure else ()
        return [*first, *(figure for section in self.sections for figure in section.every_figure)]


def html(content: Content) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["bound"] = lambda words: words.replace(" %", "\N{NO-BREAK SPACE}%")
    css, *scripts = (
        (HERE / n).read_text(encoding="utf-8") for n in ("page.css", "explore.js", "page.js", "navigation.js")
    )
    css, script = Markup(css), Markup(f"window.chartUnit = {vega.unit_as_json()};\n{''.join(scripts)}")
    first = content.screen.figure
    template = environment.get_template("page.html.j2")
    page = template.render(
        content=content, first=drawings(first) if first else [], questions=questions(content), css=css, script=script
    )
    return page.rstrip() + "\n"


def questions(content: Content) -> list[tuple[Question, list[Part]]]:
    """The sections by question, at most `MOST_OPEN` figures of them and of the first screen open."""
    parts, left = [], MOST_OPEN - (content.screen.figure is not None)
    for section in content.sections:
        count = 0 if section.question.folded else min(left, section.open_figures, len(section.figures))
        made = [drawings(figure) for figure in section.figures]
        parts.append(Part(section, made[:count], made[count:]))
        left -= count
    return [(question, list(group)) for question, group in groupby(parts, key=lambda part: part.section.question)]


def drawings(figure: Figure) -> list[Drawing]:
    """A figure and its tabs, each with the size of its drawing, its rows and its chart."""
    return [_drawing(one) for one in figure.every]


def _drawing(figure: Figure) -> Drawing:
    width, height = (round(inches * 72) for inches in figure.wide.get_size_inches())
    found = vega.described(figure)
    chart = Markup(vega.specification(figure, found)) if found else None
    return Drawing(figure, (width, height), Markup(chart_rows.packed(figure, found)), chart)

"""The page itself, which asks nobody for anything beyond its folder; every text is escaped by the template engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .._typing import Mapping, Sequence
from .figures import vega
from .figures.figure import Figure
from .section import Section
from .tables import Table

HERE = Path(__file__).parent


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
    css, script = (Markup((HERE / f"page.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))
    drawn = {s.anchor: [shown(f) for f in s.figures] for s in story.sections}
    page = environment.get_template("page.html.j2").render(story=story, drawn=drawn, css=css, script=script)
    return page.rstrip() + "\n"


def shown(figure: Figure) -> Shown:
    """What stands on the page of a figure, beside its words."""
    width, height = (round(inches * 72) for inches in figure.wide.get_size_inches())
    chart = Markup(vega.specification(figure)) if figure.chart else None
    return Shown(figure, (width, height), Markup(vega.packed(figure)), chart)

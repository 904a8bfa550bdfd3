"""The self-contained HTML page (no network requests); the template engine escapes every text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .._typing import Mapping, Sequence
from .figures import chart_rows, vega
from .figures.figure import Figure
from .section import Section
from .tables import Table

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Drawing:
    """A figure as the template takes it: width and height [pixel], its rows and its chart as JSON."""

    figure: Figure
    size: tuple[int, int]
    rows: Markup
    chart: Markup | None


@dataclass(frozen=True)
class DatasetCard:
    """A dataset on the page: facts in words, its rejected records, its citation."""

    name: str
    facts: Mapping[str, str]
    rejects: Table | None
    citation: str = ""


@dataclass(frozen=True)
class Content:
    """Everything on the page, in its order."""

    title: str
    threshold: float
    summary: str
    sentences: Sequence[str]
    warnings: Sequence[str]
    headline: Table | None
    terms: Table | None
    trainings: Table | None
    models: Mapping[str, Mapping[str, str]]
    datasets: Sequence[DatasetCard]
    sections: Sequence[Section]
    method: Mapping[str, str]
    provenance: Mapping[str, str]
    config: str
    paragraph: str
    bibtex: str


def html(content: Content) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["bound"] = lambda words: words.replace(" %", "\N{NO-BREAK SPACE}%")
    css, charts, rest = ((HERE / n).read_text(encoding="utf-8") for n in ("page.css", "explore.js", "page.js"))
    css, script = Markup(css), Markup(f"window.chartUnit = {vega.unit_as_json()};\n{charts}{rest}")
    drawings = {s.anchor: [drawing(f) for f in s.figures] for s in content.sections}
    template = environment.get_template("page.html.j2")
    page = template.render(content=content, drawings=drawings, css=css, script=script)
    return page.rstrip() + "\n"


def drawing(figure: Figure) -> Drawing:
    """A figure with the size of its drawing, its rows and its chart."""
    width, height = (round(inches * 72) for inches in figure.wide.get_size_inches())
    found = vega.described(figure)
    chart = Markup(vega.specification(figure, found)) if found else None
    return Drawing(figure, (width, height), Markup(chart_rows.packed(figure, found)), chart)

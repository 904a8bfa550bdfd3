"""Interactive versions of figures: the rows of a figure as JSON, and a Vega-Lite specification made by Altair.

The page holds the numbers of a figure once, as columns; its script makes both chart and table from them.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from ..._typing import Sequence
from ..numbers import Numbers
from . import style
from .figure import Chart, Figure

ROWS = 2000  # most rows on the page of a figure without a chart; the CSV file has all
DIGITS = 4  # significant digits of the numbers on the page
PUBLISHED = "published: "  # beginning of the names of published curves
STROKE = 1.8  # width of a line [pixel]; dashes of matplotlib are in units of it
SHAPES = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross"}
SHAPES |= {"<": "triangle-left", "X": "M-1,-.5L-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0Z"}
LOOKS = {look.words: look for look in style.PARTS.values()}  # lines whose look is the same in all figures


def points(chart: Chart, numbers: Numbers) -> pd.DataFrame:
    """The points of a chart, one per row: panel, line, seed, x, y, low, high."""
    rows, many, parts = numbers.data, len(chart.series) > 1, []
    for words, (value, *ends) in chart.series.items():
        y = rows[value].astype(float)
        low, high = _ends(rows, y, ends)
        panel = (*chart.panel, *chart.by) if many else chart.panel
        columns = {
            "panel": _labels(numbers, panel),
            "line": [words] * len(rows) if many else _labels(numbers, chart.by),
            "seed": rows["seed"].astype(str) if "seed" in rows else "0",
            "x": rows[chart.x].astype(float),
            "y": y,
            "low": low,
            "high": high,
        }
        parts.append(pd.DataFrame(columns))
    found = pd.concat(parts, ignore_index=True)
    return found[found["y"].notna()].reset_index(drop=True)


def _ends(rows: pd.DataFrame, y: pd.Series, names: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """The ends of bands: the value itself, one standard error away (0 where it is unknown), or two columns."""
    columns = [rows[name].astype(float) for name in names]
    if len(columns) == 1:
        error = columns[0].fillna(0.0)
        return y - error, y + error
    return (columns[0], columns[1]) if columns else (y, y)


def _labels(numbers: Numbers, names: Sequence[str]) -> list[str]:
    """The values of some columns as one text per row; numbers with the words of their column."""
    rows = numbers.data
    columns = [
        rows[n].astype(str)
        if not pd.api.types.is_numeric_dtype(rows[n])
        else f"{numbers.column(n).words} " + rows[n].map("{:g}".format)
        for n in names
    ]
    return [", ".join(row) for row in zip(*columns, strict=True)] if columns else [""] * len(rows)


def page_rows(figure: Figure) -> tuple[list[str], pd.DataFrame]:
    """Headings and rows that the page holds of a figure: the points of its chart, or else its first rows."""
    if figure.chart is None:
        return [column.title for column in figure.numbers.columns], figure.numbers.data.head(ROWS)
    chart = figure.chart
    y = "; ".join(chart.series) if len(chart.series) == 1 else chart.label
    headings = ["panel", "line", "seed", figure.numbers.column(chart.x).title, y.replace("\n", " "), "low", "high"]
    return headings, points(chart, figure.numbers)


def packed(figure: Figure) -> str:
    """The rows as JSON: headings, and columns of numbers, or of codes and the texts they stand for."""
    headings, rows = page_rows(figure)
    columns = [_column(rows[name]) for name in rows]
    every = len(figure.numbers) if figure.chart is None else len(rows)
    return _embedded({"heads": headings, "columns": columns, "rows": len(rows), "all": every})


def _column(values: pd.Series) -> Any:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return [_short(v) for v in values]
    codes, texts = pd.factorize(values.astype(str))
    return {"codes": codes.tolist(), "texts": list(texts)}


def _short(value: Any) -> float | int | None:
    """A number with `DIGITS` significant digits; None for a missing or infinite one."""
    if value is pd.NA or not math.isfinite(value):
        return None
    brief = float(f"{value:.{DIGITS}g}") if abs(value) < 10**DIGITS or value % 1 else float(value)
    return int(brief) if brief.is_integer() and abs(brief) < 2**53 else brief


def _embedded(value: Any) -> str:
    """JSON that is safe inside a script element of the page."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def specification(figure: Figure) -> str:
    """The Vega-Lite specification of the interactive version, without its numbers, as JSON."""
    chart, rows = figure.chart, points(figure.chart, figure.numbers)
    ticks = {"x": log_ticks(rows["x"], (1,)), "y": log_ticks(rows["y"], (1, 2, 5))}
    x_scale = alt.Scale(type="symlog" if chart.x_log else "linear", zero=False)
    x_title = figure.numbers.column(chart.x).title
    x = alt.X("x:Q", title=x_title, scale=x_scale, axis=_axis(ticks["x"] if chart.x_log else None))
    y_scale = alt.Scale(type="log", nice=False) if chart.y_log else alt.Scale(type="linear", zero=False, nice=False)
    title = chart.label.replace("\n", " ")
    y = alt.Y("y:Q", title=title, scale=y_scale, axis=_axis(ticks["y"] if chart.y_log else None))
    under = alt.Y("under:Q", title=title, scale=y_scale)
    pick = alt.selection_point(name="pick", fields=["line"], bind="legend")
    base = alt.Chart(alt.NamedData("numbers")).encode(x=x, detail=["seed:N"])
    base, controls = _with_controls(base.transform_filter("!positive || datum.y > 0"), rows)
    bands = under if (rows["low"] != rows["high"]).any() else None
    layered = alt.layer(*_marks(base, y, bands, list(dict.fromkeys(rows["line"])), pick))
    if chart.rule is not None:
        line = alt.Chart(alt.Data(values=[{"y": chart.rule}])).transform_filter("!positive || datum.y > 0")
        line = line.mark_rule(strokeDash=[2, 2], color=style.GREY, aria=False)  # the caption says what it is
        layered = alt.layer(layered, line.encode(y=y))
    positive = alt.param(name="positive", value=chart.y_log)
    layered = layered.add_params(pick, positive, *controls).properties(
        width="container",
        height=320,
        description=figure.alternative.partition(". ")[0],
        usermeta={"log": {"x": chart.x_log, "y": chart.y_log}, "ticks": ticks},
    )
    return _embedded({k: v for k, v in layered.to_dict().items() if k not in ("$schema", "config")})


def _with_controls(base: alt.Chart, rows: pd.DataFrame) -> tuple[alt.Chart, list[alt.Parameter]]:
    """The chart with a choice of panels, and of all seeds or the first, where there are several."""
    panels, seeds = (list(dict.fromkeys(rows[name])) for name in ("panel", "seed"))
    controls = []
    if len(panels) > 1:
        controls.append(alt.param(name="panel", value=panels[0], bind=alt.binding_select(options=panels, name="show ")))
        base = base.transform_filter("datum.panel == panel")
    if rows["line"].str.startswith(PUBLISHED).any():
        controls.append(alt.param(name="published", value=True, bind=alt.binding_checkbox(name="published curves ")))
        base = base.transform_filter(f"published || indexof(datum.line, {json.dumps(PUBLISHED)}) != 0")
    if len(seeds) > 1:
        controls.append(alt.param(name="seeds", value=True, bind=alt.binding_checkbox(name="all seeds ")))
        base = base.transform_filter(f"seeds || datum.seed == {json.dumps(seeds[0])}")
    return base, controls


def log_ticks(values: pd.Series, multiples: Sequence[int]) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten and multiples, about ten of them, and 0 if it occurs."""
    found = values[(values > 0) & values.map(math.isfinite)]
    if found.empty:
        return [0.0]
    decades = range(math.floor(math.log10(found.min())), math.ceil(math.log10(found.max())) + 1)
    step = math.ceil(len(decades) / 10)
    every = (m * 10.0**e for e in decades[::step] for m in (multiples if len(decades) <= 4 else (1,)))
    return [0.0] * bool((values == 0).any()) + [float(f"{tick:.1g}") for tick in every]


def _axis(values: Sequence[float] | None) -> alt.Axis:
    """An axis with ticks at these values, or at values of Vega's choice; 2000 is written 2k, as in static figures."""
    label = "format(datum.value, abs(datum.value) >= 1000 ? '~s' : '~g')"
    settings = {"labelExpr": label, "tickCount": 6, "labelOverlap": True}
    return alt.Axis(**settings) if values is None else alt.Axis(**settings, values=list(values))


def _marks(
    base: alt.Chart, y: alt.Y, under: alt.Y | None, lines: Sequence[str], pick: alt.Parameter
) -> list[alt.Chart]:
    """Bands, lines and points; a line that is not picked fades."""
    legend = alt.Legend(title=None, orient="top", columns=0, labelLimit=400, symbolOpacity=1)
    looks = [_look(line, i) for i, line in enumerate(lines)]
    values = {
        alt.Color: [_colour(look.colour) for look in looks],
        alt.StrokeDash: [_dash(look.line) for look in looks],
        alt.Shape: [SHAPES[look.marker] for look in looks],
    }
    colour, dash, shape = (
        channel("line:N", scale=alt.Scale(domain=list(lines), range=found), legend=legend)
        for channel, found in values.items()
    )
    tips = [alt.Tooltip(f"{n}:{k}") for n, k in (("line", "N"), ("seed", "N"), ("x", "Q"), ("y", "Q"))]
    tips += [alt.Tooltip(f"{n}:Q") for n in ("low", "high")] if under else []
    marks = []
    if under:
        bands = base.transform_calculate(under="positive ? max(datum.low, datum.y / 1e3) : datum.low")
        faint = alt.condition(pick, alt.value(0.16), alt.value(0.02))
        marks.append(bands.mark_area().encode(y=under, y2="high:Q", color=colour, opacity=faint))
    bright = alt.condition(pick, alt.value(1), alt.value(0.12))
    marks.append(base.mark_line(strokeWidth=STROKE).encode(y=y, color=colour, strokeDash=dash, opacity=bright))
    marked = base.mark_point(size=38, filled=True)
    return [*marks, marked.encode(y=y, color=colour, shape=shape, opacity=bright, tooltip=tips)]


def _look(line: str, number: int) -> style.Look:
    """The look of a line: grey for published curves, that of its part of the loss, or that of its number."""
    if line.startswith(PUBLISHED):
        return style.PUBLISHED
    return LOOKS.get(line, style.look_of(number))


def _colour(colour: str) -> str:
    """The colour; grey for black, which cannot be seen on the dark page."""
    return style.GREY if colour == style.BLACK else colour


def _dash(line: str | tuple) -> list[float]:
    """A dash pattern of matplotlib in pixels."""
    return [1.0, 0.0] if line == "-" else [round(STROKE * length, 1) for length in line[1]]


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script without network requests; it defines `vegaEmbed`."""
    return f"(() => {{{vl_convert.javascript_bundle()}}})();\n"

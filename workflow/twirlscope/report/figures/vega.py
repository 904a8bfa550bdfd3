"""Interactive twins of figures: which numbers of a figure are drawn, and their Vega-Lite specification, made by Altair.

The page holds the numbers of a figure once, as columns; its chart and its table are both made of them in the browser.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import vl_convert

from ..._typing import Sequence
from .figure import Chart

if TYPE_CHECKING:
    from .figure import Figure

ROWS = 2000  # of a table that has no chart, the page holds at most so many; the CSV has all
DIGITS = 4
DASHES = [[1, 0], [6, 2], [2, 2], [6, 2, 2, 2], [9, 3]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross"]
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#B8578F", "#C98A00", "#3A9BD9", "#7f7f7f"]  # as in the static figures


def long(chart: Chart, table: pd.DataFrame) -> pd.DataFrame:
    """The numbers that are drawn, a row a point: panel, line, seed, x, y, low, high."""
    many, parts = len(chart.series) > 1, []
    for said, (value, *ends) in chart.series.items():
        y = table[value].astype(float)
        low, high = _ends(table, y, ends)
        panel = (*chart.panel, *chart.by) if many else chart.panel
        columns = {
            "panel": _joined(table, panel),
            "line": [said] * len(table) if many else _joined(table, chart.by),
            "seed": table["seed"].astype(str) if "seed" in table else "0",
            "x": table[chart.x].astype(float),
            "y": y,
            "low": low,
            "high": high,
        }
        parts.append(pd.DataFrame(columns))
    drawn = pd.concat(parts, ignore_index=True)
    return drawn[drawn["y"].notna()].reset_index(drop=True)


def _ends(table: pd.DataFrame, y: pd.Series, names: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """Where bands end: at the value itself, a standard error away (0 where it is unknown), or at columns of theirs."""
    columns = [table[name].astype(float) for name in names]
    if len(columns) == 1:
        error = columns[0].fillna(0.0)
        return y - error, y + error
    return (columns[0], columns[1]) if columns else (y, y)


def _joined(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The values of some columns, as one text a row; those of numbers with their name."""
    columns = [
        table[n].astype(str)
        if not pd.api.types.is_numeric_dtype(table[n])
        else f"{n.partition(' [')[0]} " + table[n].map("{:g}".format)
        for n in names
    ]
    return [", ".join(row) for row in zip(*columns, strict=True)] if columns else [""] * len(table)


def numbers(figure: Figure) -> tuple[list[str], pd.DataFrame]:
    """Headings and columns of what the page holds of a figure: what its chart draws, or else its whole table."""
    if figure.chart is None:
        table = figure.table.head(ROWS)
        return list(map(str, table.columns)), table
    drawn = long(figure.chart, figure.table)
    said = "; ".join(figure.chart.series) if len(figure.chart.series) == 1 else figure.chart.label
    return ["panel", "line", "seed", figure.chart.x, said.replace("\n", " "), "low", "high"], drawn


def packed(figure: Figure) -> str:
    """The numbers as JSON: headings, and columns of numbers, or of codes and the texts they stand for."""
    heads, table = numbers(figure)
    columns = [_column(table[name]) for name in table]
    rows = len(figure.table) if figure.chart is None else len(table)
    return _embedded({"heads": heads, "columns": columns, "rows": len(table), "all": rows})


def _column(values: pd.Series) -> Any:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return [_short(v) for v in values]
    codes, texts = pd.factorize(values.astype(str))
    return {"codes": codes.tolist(), "texts": list(texts)}


def _short(value: Any) -> float | int | None:
    """A number in so many digits that no screen shows more, None where there is none."""
    if value is pd.NA or not math.isfinite(value):
        return None
    brief = float(f"{value:.{DIGITS}g}") if abs(value) < 10**DIGITS or value % 1 else float(value)
    return int(brief) if brief.is_integer() and abs(brief) < 2**53 else brief


def _embedded(value: Any) -> str:
    """JSON that may stand in a page: nothing in it ends a script."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def specification(figure: Figure) -> str:
    """The Vega-Lite specification of the interactive twin, without its numbers, as JSON."""
    chart, drawn = figure.chart, long(figure.chart, figure.table)
    ticks = {"x": log_ticks(drawn["x"], (1,)), "y": log_ticks(drawn["y"], (1, 2, 5))}
    x_scale = alt.Scale(type="symlog" if chart.x_log else "linear", zero=False)
    x = alt.X("x:Q", title=_title(chart.x), scale=x_scale, axis=_axis(ticks["x"] if chart.x_log else None))
    y_scale = alt.Scale(type="log", nice=False) if chart.y_log else alt.Scale(type="linear", zero=False, nice=False)
    title = chart.label.replace("\n", " ")
    y = alt.Y("y:Q", title=title, scale=y_scale, axis=_axis(ticks["y"] if chart.y_log else None))
    under = alt.Y("under:Q", title=title, scale=y_scale)
    lines, panels, seeds = (list(dict.fromkeys(drawn[name])) for name in ("line", "panel", "seed"))
    pick = alt.selection_point(name="pick", fields=["line"], bind="legend")
    base = alt.Chart(alt.NamedData("numbers")).encode(x=x, detail=["seed:N"])
    base = base.transform_filter("!positive || datum.y > 0")
    held = [pick, alt.param(name="positive", value=chart.y_log)]
    if len(panels) > 1:
        held.append(alt.param(name="panel", value=panels[0], bind=alt.binding_select(options=panels, name="shown ")))
        base = base.transform_filter("datum.panel == panel")
    if len(seeds) > 1:
        held.append(alt.param(name="seeds", value=True, bind=alt.binding_checkbox(name="all seeds ")))
        base = base.transform_filter(f"seeds || datum.seed == {json.dumps(seeds[0])}")
    layered = alt.layer(*_marks(base, y, under if (drawn["low"] != drawn["high"]).any() else None, lines, pick))
    if chart.rule is not None:
        line = alt.Chart(alt.Data(values=[{"y": chart.rule}])).transform_filter("!positive || datum.y > 0")
        line = line.mark_rule(strokeDash=[2, 2], color="#7f7f7f", aria=False)  # the caption says what it is
        layered = alt.layer(layered, line.encode(y=y))
    layered = layered.add_params(*held).properties(
        width="container",
        height=320,
        description=figure.alternative.partition(". ")[0],
        usermeta={"log": {"x": chart.x_log, "y": chart.y_log}, "ticks": ticks},
    )
    return _embedded(_without_data(layered.to_dict()))


def log_ticks(values: pd.Series, multiples: Sequence[int]) -> list[float]:
    """Where a logarithmic axis has its ticks, powers of ten and multiples, thinned to about ten; 0 where it occurs."""
    found = values[(values > 0) & values.map(math.isfinite)]
    if found.empty:
        return [0.0]
    decades = range(math.floor(math.log10(found.min())), math.ceil(math.log10(found.max())) + 1)
    step = math.ceil(len(decades) / 10)
    every = (m * 10.0**e for e in decades[::step] for m in (multiples if len(decades) <= 4 else (1,)))
    return [0.0] * bool((values == 0).any()) + [float(f"{tick:.1g}") for tick in every]


def _axis(values: Sequence[float] | None) -> alt.Axis:
    settings = {"format": "~g", "tickCount": 6, "labelOverlap": True}
    return alt.Axis(**settings) if values is None else alt.Axis(**settings, values=list(values))


def _title(column: str) -> str:
    words, _, unit = column.partition(" [")
    return words if unit in ("", "1]") else f"{words} [{unit}"


def _marks(
    base: alt.Chart, y: alt.Y, under: alt.Y | None, lines: Sequence[str], pick: alt.Parameter
) -> list[alt.Chart]:
    """Bands, lines and points; a line that is not picked fades."""
    legend = alt.Legend(title=None, orient="top", columns=0, labelLimit=400, symbolOpacity=1)
    colour = alt.Color("line:N", scale=alt.Scale(domain=lines, range=_cycled(COLOURS, lines)), legend=legend)
    dash = alt.StrokeDash("line:N", scale=alt.Scale(domain=lines, range=_cycled(DASHES, lines)), legend=legend)
    shape = alt.Shape("line:N", scale=alt.Scale(domain=lines, range=_cycled(SHAPES, lines)), legend=legend)
    tips = [alt.Tooltip(f"{n}:{k}") for n, k in (("line", "N"), ("seed", "N"), ("x", "Q"), ("y", "Q"))]
    tips += [alt.Tooltip(f"{n}:Q") for n in ("low", "high")] if under else []
    marks = []
    if under:
        drawn = base.transform_calculate(under="positive ? max(datum.low, datum.y / 1e3) : datum.low")
        faint = alt.condition(pick, alt.value(0.16), alt.value(0.02))
        marks.append(drawn.mark_area().encode(y=under, y2="high:Q", color=colour, opacity=faint))
    bright = alt.condition(pick, alt.value(1), alt.value(0.12))
    marks.append(base.mark_line(strokeWidth=1.8).encode(y=y, color=colour, strokeDash=dash, opacity=bright))
    points = base.mark_point(size=38, filled=True)
    return [*marks, points.encode(y=y, color=colour, shape=shape, opacity=bright, tooltip=tips)]


def _cycled(values: Sequence, lines: Sequence[str]) -> list:
    return [values[i % len(values)] for i in range(len(lines))]


def _without_data(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification as it is, without what Altair says of itself and its view."""
    return {k: v for k, v in spec.items() if k not in ("$schema", "config")}


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that asks nobody for anything; it defines `vegaEmbed`."""
    return f"(() => {{{vl_convert.javascript_bundle()}}})();\n"

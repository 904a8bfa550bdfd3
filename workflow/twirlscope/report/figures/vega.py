"""Interactive versions of figures: marks of the drawing as JSON, and Vega-Lite specifications of its panels.

The page holds the numbers of a figure once, as columns; its script makes both charts and table from them.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import vl_convert

from ..._typing import Array, Float
from .drawn import Drawn, DrawnAxis, DrawnPanel, drawing
from .figure import Figure
from .marks import Look, Mark

ROWS = 2000  # most rows on the page of a figure without a chart; the CSV file has all
DIGITS = 4  # significant digits of the numbers on the page
PUBLISHED = "published"  # beginning of the words of published curves
PIXELS = 1.35  # per point of the static figure
SHAPES = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross"}
SHAPES |= {"<": "triangle-left", "X": "M-1,-.5L-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0Z"}
SHAPES |= {
    ".": "circle",
    ">": "triangle-right",
    "x": "M-1,-1L1,1M1,-1L-1,1",
    "+": "M-1,0L1,0M0,-1L0,1",
    "_": "M-1,0L1,0",
}
SHAPES |= {
    "|": "M0,-1L0,1",
    "d": "M0,-1L.6,0L0,1L-.6,0Z",
    "*": "M0,-1L.3,-.3L1,-.3L.4,.2L.6,1L0,.5L-.6,1L-.4,.2L-1,-.3L-.3,-.3Z",
}
SIDES = {"y": "low", "y2": "high", "x": "left", "x2": "right"}  # columns of the ends of bars, bands and boxes
NOMINAL = {
    "color": "colour",
    "fill": "face",
    "stroke": "colour",
    "shape": "shape",
    "strokeDash": "dash",
    "text": "line",
}
NOMINAL |= {"tooltip": "tip"}
MEASURED = {"opacity": "opacity", "strokeWidth": "width", "size": "size"}
BEYOND = 100  # times the range of an axis is the length of a rule
COLUMNS = ("panel", "line", "seed", "x", "y", "low", "high", "left", "right", "mark")


def described(figure: Figure) -> Drawn | None:
    """The content of the wide drawing; None for a picture, which has no interactive version."""
    return drawing(figure.wide)


# numbers


def points(found: Drawn) -> pd.DataFrame:
    """The numbers of all marks, one row per point; rows of the table of numbers come first.

    `mark` is the number of the mark in `looks`.
    """
    names, parts = panel_names(found), []
    for number, (i, one) in enumerate(_marks(found)):
        mark = _unbounded(one, found.panels[i])
        about = {"panel": names[i], "line": mark.text or mark.words, "seed": mark.seed, "x": mark.x, "y": mark.y}
        sides = {side: getattr(mark, side) for side in SIDES.values()}
        rows = pd.DataFrame(about | {n: math.nan if v is None else v for n, v in sides.items()} | {"mark": number})
        kept = rows if mark.kind == "line" else rows[rows["y"].notna() | rows["low"].notna()]
        parts.append(kept.assign(told=mark.kind in ("point", "edge") or _alone(found.panels[i], mark)))
    every = pd.concat(parts, ignore_index=True)
    every["told"] &= every["y"].notna()
    return every.sort_values("told", ascending=False, kind="stable", ignore_index=True)


def _unbounded(mark: Mark, panel: DrawnPanel) -> Mark:
    """The mark with ends far beyond the axis where it has none, as rules do."""
    x, y = _beyond(panel.x), _beyond(panel.y)
    if mark.kind == "rule" and math.isnan(mark.x[0]):
        return replace(mark, left=x[:1], right=x[1:])
    if mark.kind == "rule" or (mark.kind == "box" and math.isnan(mark.low[0])):
        return replace(mark, low=y[:1], high=y[1:], y=y[:1])
    return mark


def _beyond(axis: DrawnAxis) -> Float[Array, "2"]:
    low, high = axis.domain
    room = BEYOND * (high - low)
    return np.array([low - room, high + room] if axis.kind == "linear" else [low / BEYOND, high * BEYOND])


def _kind(mark: Mark) -> str:
    """The layer of a mark: rules are long spans and bars."""
    return mark.kind if mark.kind != "rule" else "span" if math.isnan(mark.x[0]) else "bar"


def _alone(panel: DrawnPanel, line: Mark) -> bool:
    """True for a line without markers."""
    kin = [m for m in panel.marks if m.kind == "point" and (m.words, m.seed) == (line.words, line.seed)]
    return line.kind == "line" and not kin


def _marks(found: Drawn) -> list[tuple[int, Mark]]:
    """All marks with the number of their panel."""
    return [(i, mark) for i, panel in enumerate(found.panels) for mark in panel.marks]


def panel_names(found: Drawn) -> list[str]:
    """The titles of panels; labels of the vertical axis where there are several panels without titles."""
    return [panel.title or (panel.y.label if len(found.panels) > 1 else "") for panel in found.panels]


def packed(figure: Figure, found: Drawn | None) -> str:
    """The rows as JSON: headings, and columns of numbers, or of codes and the texts they stand for.

    `rows` is the number of those that the table shows; `all` that in the CSV file.
    """
    if found is None:
        heads, rows = [column.title for column in figure.numbers.columns], figure.numbers.data.head(ROWS)
        shown, every = len(rows), len(figure.numbers)
    else:
        axes = [[getattr(panel, name).label for panel in found.panels] for name in "xy"]
        same = [labels[0] if len(set(labels)) == 1 else name for name, labels in zip("xy", axes, strict=True)]
        rows = points(found)
        heads, shown = ["panel", "line", "seed", *same, "low", "high"], int(rows["told"].sum())
        every, rows = shown, rows[list(COLUMNS)]
    columns = [_column(rows[name]) for name in rows]
    return _embedded({"heads": heads, "columns": columns, "rows": shown, "all": every})


def _column(values: pd.Series) -> Any:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return [_short(v) for v in values] if values.notna().any() else []
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


# charts


def specification(figure: Figure, found: Drawn) -> str:
    """Everything of the chart but its numbers, as JSON.

    panels: of each, the part of its specification that `unit` lacks; plain: the same without published curves, if there
    are any; looks: of the marks; legend: its entries; columns: of the grid of panels; interval: words for ends.
    """
    plain = None if figure.plain is None else drawing(figure.plain[0])
    band = next((entry.words for entry in found.legend if entry.kind == "band"), "interval")
    chart = {
        "panels": [_panel(panel) for panel in found.panels],
        "plain": plain and [_panel(panel) for panel in plain.panels],
        "looks": [{"panel": i, "kind": _kind(m), "note": m.note} | _look(m.look) for i, m in _marks(found)],
        "legend": [{"words": e.words, "kind": e.kind} | _look(e.look) for e in found.legend],
        "columns": found.columns,
        "interval": band,
    }
    return _embedded(chart)


def _look(look: Look) -> dict[str, Any]:
    """A look in the words of Vega, lengths in pixels."""
    return {
        "colour": look.colour,
        "opacity": look.opacity,
        "dash": [round(PIXELS * d, 1) for d in look.dash],
        "width": round(PIXELS * look.width, 2),
        "shape": SHAPES.get(look.marker, "circle" if look.marker else ""),
        "size": round((PIXELS * look.size) ** 2),
        "face": look.face or look.colour,
    }


def _panel(panel: DrawnPanel) -> dict[str, Any]:
    """Title, height over width of the figure, axes; `places` are those of 0 on x and of points below the axis on y."""
    x, y = _encoding(panel.x, "px"), _encoding(panel.y, "py")
    zero = 0.0 if panel.x.zero is None else panel.x.zero
    return {
        "title": panel.title,
        "height": round(panel.height, 4),
        "log": {name: axis.kind in ("log", "step") for name, axis in (("x", panel.x), ("y", panel.y))},
        "places": {"zero": zero, "floor": panel.y.domain[0]},
        "encoding": {"x": x, "y": y},
    }


def _encoding(axis: DrawnAxis, field: str) -> dict[str, Any]:
    """A channel with scale and axis of the figure; ticks of Vega's choice as soon as the reader zooms."""
    kind = "log" if axis.kind in ("log", "step") else "linear"
    values = [v if v or axis.zero is None else axis.zero for v, _ in axis.ticks]
    free = kind == "log" or all(_is_number(text, value) for value, text in axis.ticks)
    tick = json.dumps(values), json.dumps([text for _, text in axis.ticks], ensure_ascii=False)
    own = "abs(datum.value) >= 1000 ? '~s' : datum.value && abs(datum.value) < 1e-3 ? '.2~e' : '.4~g'"
    own = f"format(datum.value, {own})"
    if axis.zero is not None:
        own = f"datum.value < {json.dumps(axis.domain[0] + 1.5 * (axis.zero - axis.domain[0]))} ? '' : {own}"
    label = f"indexof({tick[0]}, datum.value) < 0 ? {own} : {tick[1]}[indexof({tick[0]}, datum.value)]"
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"type": kind, "domain": list(axis.domain), "nice": False}
        | ({} if kind == "log" else {"zero": False}),
        "axis": {
            "title": axis.label,
            "values": {"expr": f"zoom.{field} ? null : {tick[0]}"} if free else values,
            "labelExpr": label,
            "tickCount": 6,
            "labelOverlap": True,
        },
    }


def _is_number(text: str, value: float) -> bool:
    try:
        return math.isclose(float(text.replace("\N{MINUS SIGN}", "-")), value, abs_tol=1e-12)
    except ValueError:
        return False


@cache
def unit() -> dict[str, Any]:
    """Parameters, transforms and layers of a panel; its encoding of x and y, and its rows, come from the page.

    `pick` holds the lines singled out, `at` the point that the keyboard has reached.
    """
    values = {"published": True, "seeds": True, "zero": 0.0, "floor": 0.0, "pick": [], "at": -1}
    upright = "datum.kind == 'band' || datum.kind == 'bar' || datum.kind == 'box'"
    return {
        "data": {"name": "numbers"},
        "params": [{"name": name, "value": value} for name, value in values.items()],
        "transform": [
            {"filter": "(published || !datum.published) && (seeds || !datum.further)"},
            {"calculate": "datum.kind == 'box' || datum.kind == 'span' ? datum.left : datum.x || zero", "as": "px"},
            {"calculate": f"{upright} ? datum.low : datum.kind == 'edge' && !zoom.py ? floor : datum.y", "as": "py"},
        ],
        "layer": _layers(),
        "config": CONFIG,
    }


def _layers() -> list[dict[str, Any]]:
    """Layers back to front, one per kind of mark; every look is that of the row."""
    own = {name: {"field": field, "type": "nominal", "scale": None} for name, field in NOMINAL.items()}
    own |= {name: {"field": field, "type": "quantitative", "scale": None} for name, field in MEASURED.items()}
    faded = {"test": "length(pick) && datum.line && indexof(pick, datum.line) < 0", "value": 0.06}
    own["opacity"] = {"condition": faded, **own["opacity"]}
    zoom = {"name": "zoom", "select": {"type": "interval", "zoom": "wheel![event.ctrlKey]"}, "bind": "scales"}

    def layer(chosen: str, mark: str, channels: str, ends: str = "", **settings: Any) -> dict[str, Any]:
        encoding = {name: own[name] for name in ("opacity", *channels.split())}
        encoding |= {end: {"field": SIDES[end]} for end in ends.split()} | {"detail": {"field": "mark"}}
        encoding["detail"]["type"] = "nominal"
        drawn = {"type": mark, "clip": True, "aria": False, "tooltip": None} | settings
        return {"transform": [{"filter": chosen}], "mark": drawn, "encoding": encoding}

    lines, marker = "color strokeWidth strokeDash", "fill stroke shape size tooltip"
    return [
        layer("datum.kind == 'line'", "line", lines) | {"params": [zoom]},
        layer("datum.kind == 'band'", "area", "color", "y2"),
        layer("datum.kind == 'box'", "rect", "color", "x2 y2"),
        layer("datum.kind == 'bar'", "rule", lines, "y2"),
        layer("datum.kind == 'span'", "rule", lines, "x2"),
        layer("datum.kind == 'text'", "text", "color text", align="left", dy=-8, fontSize=10),
        layer("datum.kind == 'point'", "point", marker, strokeWidth=1.2),
        layer("datum.kind == 'edge'", "point", marker, strokeWidth=1.2, clip=False),
        layer("datum.id == at", "point", "", size=180, filled=False, stroke="#b3470b", strokeWidth=2),
    ]


CONFIG = {
    "background": "#ffffff",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "title": {"anchor": "start", "fontWeight": "normal", "fontSize": 12.5},
    "axis": {"gridColor": "#e4e4e4", "labelColor": "#1c1c1c", "titleFontWeight": "normal", "domainColor": "#666666"}
    | {"labelFontSize": 11.5, "titleFontSize": 12, "tickColor": "#666666"},
}


def unit_as_json() -> str:
    """The part of the specification that all panels of all figures share."""
    return _embedded(unit())


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script without network requests; it defines `vegaEmbed`."""
    return f"(() => {{{vl_convert.javascript_bundle()}}})();\n"

"""Interactive versions of figures: marks of the drawing as JSON, and Vega-Lite specifications of its panels.

The page holds the numbers of a figure once, as columns; its script makes both charts and table from them.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import vl_convert

from .chart_rows import SIDES, embedded, marks_in
from .drawn import Drawn, DrawnAxis, DrawnPanel, drawing
from .figure import Figure
from .marks import Look, Mark

PUBLISHED = "published"  # beginning of the words of published curves
PIXELS = 1.35  # per point of the static figure
SHAPES = {  # of markers; outlines for those that Vega has no name for
    "o": "circle",
    ".": "circle",
    "s": "square",
    "^": "triangle-up",
    "v": "triangle-down",
    "<": "triangle-left",
    ">": "triangle-right",
    "D": "diamond",
    "d": "M0,-1L.6,0L0,1L-.6,0Z",
    "P": "cross",
    "X": "M-1,-.5L-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0Z",
    "x": "M-1,-1L1,1M1,-1L-1,1",
    "+": "M-1,0L1,0M0,-1L0,1",
    "_": "M-1,0L1,0",
    "|": "M0,-1L0,1",
    "*": "M0,-1L.3,-.3L1,-.3L.4,.2L.6,1L0,.5L-.6,1L-.4,.2L-1,-.3L-.3,-.3Z",
}
NOMINAL = {"color": "colour", "fill": "face", "stroke": "colour", "shape": "shape", "strokeDash": "dash"}  # columns
NOMINAL |= {"text": "text", "tooltip": "tip"}
MEASURED = {"opacity": "opacity", "strokeWidth": "width", "size": "size"}


def described(figure: Figure) -> Drawn | None:
    """The content of the wide drawing; None for a picture, which has no interactive version."""
    return drawing(figure.wide)


def specification(figure: Figure, found: Drawn) -> str:
    """Everything of the chart but its numbers, as JSON.

    panels: of each, the part of its specification that `unit` lacks; plain: the same without published curves, if there
    are any; marks: numbers of the panel and of the look of each; looks: each once; legend: its entries; columns: of the
    grid of panels; interval: words for ends.
    """
    plain = None if figure.plain is None else drawing(figure.plain[0])
    band = next((entry.words for entry in found.legend if entry.kind == "band"), "interval")
    looks = dict.fromkeys(json.dumps(_mark(mark)) for _, mark in marks_in(found))
    places = {look: place for place, look in enumerate(looks)}
    chart = {
        "panels": [_panel(panel) for panel in found.panels],
        "plain": plain and [_panel(panel) for panel in plain.panels],
        "marks": [[i, places[json.dumps(_mark(mark))]] for i, mark in marks_in(found)],
        "looks": [json.loads(look) for look in places],
        "legend": [{"words": e.words, "kind": e.kind} | _look(e.look) for e in found.legend],
        "columns": found.columns,
        "interval": band,
    }
    return embedded(chart)


def _mark(mark: Mark) -> dict[str, Any]:
    """The look of a mark, and its layer; rules do not fade, and the rows do not say what a text reads."""
    about = {"kind": _kind(mark), "note": mark.note, "fixed": mark.kind == "rule"}
    return about | _look(mark.look) | ({"text": mark.text} if mark.text else {})


def _kind(mark: Mark) -> str:
    """The layer of a mark: rules are long spans and bars."""
    return mark.kind if mark.kind != "rule" else "span" if math.isnan(mark.x[0]) else "bar"


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
            "labelOverlap": "greedy",
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
    faded = {"test": "length(pick) && datum.line && !datum.fixed && indexof(pick, datum.line) < 0", "value": 0.06}
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
    return embedded(unit())


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script without network requests; it defines `vegaEmbed`."""
    return f"(() => {{{vl_convert.javascript_bundle()}}})();\n"

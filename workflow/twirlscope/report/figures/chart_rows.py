"""Numbers of figures as the page holds them: the points of all marks of a drawing, or the first rows of the numbers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..._typing import Array, Float
from .drawn import Drawn, DrawnAxis, DrawnPanel
from .figure import Figure
from .marks import Mark

ROWS = 2000  # most rows on the page of a figure without a chart; the CSV file has all
DIGITS = 4  # significant digits of the numbers on the page
BEYOND = 100  # times the range of an axis is the length of a rule
SIDES = {"y": "low", "y2": "high", "x": "left", "x2": "right"}  # columns of the ends of bars, bands and boxes
COLUMNS = ("panel", "line", "seed", "x", "y", "low", "high", "left", "right", "mark")


def points(found: Drawn) -> pd.DataFrame:
    """The numbers of all marks, one row per point; rows of the table of numbers come first.

    `mark` is the number of the mark in the chart.
    """
    names, parts = panel_names(found), []
    for number, (i, one) in enumerate(marks_in(found)):
        mark = _unbounded(one, found.panels[i])
        about = {"panel": names[i], "line": mark.words, "seed": mark.seed, "x": mark.x, "y": mark.y}
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


def _alone(panel: DrawnPanel, line: Mark) -> bool:
    """True for a line without markers."""
    kin = [m for m in panel.marks if m.kind == "point" and (m.words, m.seed) == (line.words, line.seed)]
    return line.kind == "line" and not kin


def marks_in(found: Drawn) -> list[tuple[int, Mark]]:
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
        same = [ls[0] if len(set(ls)) == 1 and ls[0] else name for name, ls in zip("xy", axes, strict=True)]
        rows = points(found)
        heads, shown = ["panel", "line", "seed", *same, "low", "high"], int(rows["told"].sum())
        every, rows = shown, rows[list(COLUMNS)]
    columns = [_column(rows[name]) for name in rows]
    return embedded({"heads": heads, "columns": columns, "rows": shown, "all": every})


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


def embedded(value: Any) -> str:
    """JSON that is safe inside a script element of the page."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

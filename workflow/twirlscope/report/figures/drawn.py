"""Contents of a drawing: panels, axes, marks and legend, read from a Matplotlib figure.

The static figure is the one description of its data, colours and axes; the interactive version is made from it, so that
the two agree. A mark takes its words from the entry of the legend that looks like it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..._typing import Sequence
from .marks import Entry, Look, Mark, line_look, marks_of, with_edges, with_ends


@dataclass(frozen=True)
class DrawnAxis:
    """An axis.

    kind: `linear`, `log`, or `step`: logarithmic with 0 left of a break.
    domain: of a `step` axis with `zero` in place of 0.
    ticks: value and label.
    zero: the place of 0 on a `step` axis, as the value of a logarithmic axis.
    """

    label: str
    kind: str
    domain: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None = None


@dataclass(frozen=True)
class DrawnPanel:
    """Axes with their title and marks, back to front; height as a fraction of the drawing's width."""

    title: str
    x: DrawnAxis
    y: DrawnAxis
    marks: tuple[Mark, ...]
    height: float


@dataclass(frozen=True)
class Drawn:
    """Panels in rows of `columns`, and the legend."""

    panels: tuple[DrawnPanel, ...]
    legend: tuple[Entry, ...]
    columns: int


def drawing(canvas: Canvas) -> Drawn | None:
    """The content of a drawing that is laid out; None where it holds anything but lines, points, bands and bars."""
    axes = [ax for ax in canvas.axes if ax.get_visible()]
    entries = _entries(canvas, axes)
    found = [_panel(ax, axes, entries, canvas) for ax in axes]
    if not found or any(panel is None or not panel.marks for panel in found):
        return None
    spec = axes[0].get_subplotspec()
    return Drawn(tuple(p for p in found if p), tuple(entries), spec.get_gridspec().ncols if spec else 1)


def _entries(canvas: Canvas, axes: Sequence[Axes]) -> list[Entry]:
    """Entries of the legends of the figure and of its panels, each once."""
    legends = [*canvas.legends, *(legend for ax in axes if (legend := ax.get_legend()))]
    found: dict[str, Entry] = {}
    for handle in (handle for legend in legends for handle in _in_rows(legend)):
        words = str(handle.get_label())
        if isinstance(handle, Line2D):
            found.setdefault(words, Entry(words, line_look(handle), "line"))
        elif isinstance(handle, Patch):
            alpha = handle.get_alpha() or 1.0
            found.setdefault(words, Entry(words, Look(to_hex(handle.get_facecolor()), alpha), "band"))
    return list(found.values())


def _in_rows(legend: Any) -> list[Artist]:
    """The entries of a legend, which Matplotlib holds column by column, row by row."""
    handles, columns = list(legend.legend_handles), legend._ncols
    rows = math.ceil(len(handles) / columns)
    full = len(handles) - columns * (rows - 1)
    starts = [rows * min(c, full) + (rows - 1) * max(c - full, 0) for c in range(columns)]
    order = [starts[c] + r for r in range(rows) for c in range(columns if r < rows - 1 else full)]
    return [handles[i] for i in order]


# axes


def _panel(ax: Axes, axes: Sequence[Axes], entries: Sequence[Entry], canvas: Canvas) -> DrawnPanel | None:
    marks: list[Mark] = []
    for artist in sorted(ax.get_children(), key=lambda a: a.get_zorder()):
        found = marks_of(ax, artist, entries)
        if found is None:
            return None
        marks += found
    x, y = _axis(ax, "x", axes), _axis(ax, "y", axes)
    height = ax.get_position().height * canvas.get_figheight() / canvas.get_figwidth()
    title = next(filter(None, (ax.get_title(loc) for loc in ("left", "center"))), "").replace("\n", " ")
    return DrawnPanel(title, x, y, tuple(with_ends(with_edges(marks, y.domain[0]))), height)


def _axis(ax: Axes, name: str, axes: Sequence[Axes]) -> DrawnAxis:
    """An axis with the label of its row or column."""
    axis = getattr(ax, f"{name}axis")
    low, high = sorted(float(v) for v in axis.get_view_interval())
    label, scale = axis.get_label_text() or _shared_label(ax, name, axes), axis.get_scale()
    values = [float(v) for v in axis.get_majorticklocs()]
    labels = axis.get_major_formatter().format_ticks(values)
    ticks = tuple((v, t) for v, t in zip(values, labels, strict=True) if low <= v <= high)
    label = label.replace("\n", " ")
    if scale != "symlog":
        return DrawnAxis(label, scale, (low, high), ticks)
    place = _places(axis.get_transform())
    ends = (float(place(low)), float(place(high)))
    return DrawnAxis(label, "step", ends, ticks, float(place(0.0)))


def _places(transform: Any):
    """Values of a logarithmic axis at which the places of a symmetric logarithmic axis lie."""
    threshold, base = transform.linthresh, transform.base
    above = float(transform.transform(np.array([threshold]))[0])

    def place(value: float) -> float:
        return threshold * base ** ((float(transform.transform(np.array([value]))[0]) - above) / threshold)

    return place


def _shared_label(ax: Axes, name: str, axes: Sequence[Axes]) -> str:
    """The label that panels of one row (y) or column (x) share."""
    spec = ax.get_subplotspec()
    if spec is None:
        return ""
    place = (lambda s: s.rowspan.start) if name == "y" else (lambda s: s.colspan.start)
    others = [o for o in axes if (s := o.get_subplotspec()) is not None and place(s) == place(spec)]
    labels = [getattr(other, f"{name}axis").get_label_text() for other in [*others, *axes]]
    return next(filter(None, labels), "")

"""How figures look: colours that everyone can tell apart, axes with a place for step 0, and bytes without a clock."""

from __future__ import annotations

import io
import math

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

from ..._typing import Array, Callable, Sequence
from ..wording import SUPERSCRIPT

BLUE, RED, GREEN, PINK, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#B8578F",
    "#C98A00",
    "#3A9BD9",
)  # after Okabe, Ito

BLACK, GREY = "#1c1c1c", "#666666"
RUNS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK)
LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))  # as many as not to divide the colours
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
PARTS = {  # part of the loss -> colour, line, marker, words
    "total": (BLACK, LINES[0], "o", "total loss"),
    "mean": (BLUE, LINES[1], "s", "twirled prediction error"),
    "equiv": (RED, LINES[3], "^", "equivariance error"),
}

WIDE, NARROW = 9.0, 3.75  # width [inch] on a desktop and on a telephone

RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "twirlscope",
    "text.parse_math": False,  # a run may have a $ in its name
    "xtick.color": GREY,
    "xtick.labelcolor": BLACK,
    "xtick.labelsize": 8.5,
    "ytick.color": GREY,
    "ytick.labelcolor": BLACK,
    "ytick.labelsize": 8.5,
}


def canvases(draw: Callable[[Canvas, int], None], panels: int, rows: float, most: int = 3) -> tuple[Canvas, Canvas]:
    """The wide and the narrow drawing. `draw(canvas, columns)` fills one.

    Args:
        panels: how many panels are laid out on a grid of at most `most` columns.
        rows: height of one row of panels [inch].
    """
    made = []
    for width, columns in ((WIDE, min(most, panels)), (NARROW, 1)):
        with mpl.rc_context(RC):
            legend = 0.3 if width == WIDE else 0.8
            canvas = Canvas(figsize=(width, legend + rows * math.ceil(panels / columns)))
            draw(canvas, columns)
            canvas.draw_without_rendering()
        canvas.set_layout_engine(None)  # laid out once, not for every file
        made.append(canvas)
    return made[0], made[1]


def grid(canvas: Canvas, panels: int, columns: int) -> list[Axes]:
    """The axes of `panels` panels, row by row; all share both axes. Places left over stay empty."""
    axes = canvas.subplots(math.ceil(panels / columns), columns, squeeze=False, sharex=True, sharey=True).ravel()
    for spare in axes[panels:]:
        spare.remove()
    for ax in axes[max(0, panels - columns) : panels]:
        ax.tick_params(labelbottom=True)
    return list(axes[:panels])


def legend(canvas: Canvas, handles: Sequence) -> None:
    """One legend above all panels, read row by row, with as many columns as fit the width."""
    letters = 14 * canvas.get_figwidth()
    lengths = [len(handle.get_label()) + 7 for handle in handles]
    columns = len(handles) if sum(lengths) <= letters else max(1, int(letters // max(lengths)))
    ordered = [handle for start in range(columns) for handle in handles[start::columns]]
    canvas.legend(handles=ordered, loc="outside upper left", ncols=columns, columnspacing=1.6)


def step_axis(ax: Axes, steps: Array, label: str = "training step") -> None:
    """A logarithmic axis of training steps, with step 0, if there is one, left of a break."""
    after = np.unique(steps[steps > 0])
    if not len(after):
        ax.set_xlim(-1, 1)
        return set_ticks(ax.xaxis, [0.0], ["0"], [], label)
    first, last = float(after[0]), float(after[-1])
    ticks = log_ticks(first, last, 5)
    labels = [short(t) for t in ticks]
    right = last * (last / first) ** 0.04 if last > first else last * 3
    minor = [m * 10.0**e for e in range(12) for m in range(2, 10) if first <= m * 10.0**e <= right]
    if (steps > 0).all():
        ax.set_xscale("log")
        ax.set_xlim(first * last / right, right)
        return set_ticks(ax.xaxis, ticks, labels, minor, label)
    decades = max(1.0, math.log10(last / first))
    ax.set_xscale("symlog", linthresh=first, linscale=0.12 * decades)
    ax.set_xlim(-0.35 * first, right)
    ax.text(0.5 * first, 0, "//", transform=ax.get_xaxis_transform(), ha="center", va="center", color=GREY, size=8)
    return set_ticks(ax.xaxis, [0.0, *ticks], ["0", *labels], minor, label)


def log_axis(ax: Axes, values: pd.DataFrame | pd.Series | Sequence[float] | Array, label: str, most: int = 6) -> None:
    """A logarithmic y axis around the positive ones of `values`, with readable ticks; what is drawn below is marked."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if len(values) else (0.1, 1.0)
    room = max((high / low) ** 0.06, 1.15)
    low, high = low / room, high * room
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ticks = log_ticks(low, high, most)
    set_ticks(ax.yaxis, ticks, [power(t) for t in ticks], [], label)
    for line in list(ax.lines):
        _at_edge(ax, line, low)


def _at_edge(ax: Axes, line: Line2D, low: float) -> None:
    """Triangles at the lower edge for the points of a line that lie below it."""
    x, y = (np.asarray(values, float) for values in line.get_data())
    if line.get_marker() not in MARKERS or not (y < low).any():
        return
    look = {"color": line.get_color(), "markerfacecolor": line.get_markerfacecolor(), "markersize": 5}
    ax.plot(x[y < low], np.full((y < low).sum(), low), "v", linestyle="none", clip_on=False, zorder=3, **look)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten between the two, thinned to `most`; also multiples of these where there would be too few."""
    decades = [10.0**e for e in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]
    if len(decades) > 2:
        return decades[:: math.ceil(len(decades) / most)]
    span = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        every = (m * 10.0**e for e in span for m in multiples)
        found = [t for t in every if low <= t * (1 + 1e-9) and t <= high * (1 + 1e-9)]
        if len(found) > 1:
            break
    return found or [low]


def set_ticks(axis: Axis, ticks: Sequence[float], labels: Sequence[str], minor: Sequence[float], label: str) -> None:
    """Exactly these ticks, with these words."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(labels))
    axis.set_minor_locator(FixedLocator(minor))
    axis.set_minor_formatter(NullFormatter())
    axis.set_label_text(label)


def short(step: float) -> str:
    """A step as a tick label: 500, 2k, 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if step >= size:
            return f"{step / size:g}{letter}"
    return f"{step:g}"


def power(value: float) -> str:
    """A tick label: plain from 0.001 to 1000, else a power of ten."""
    if 0.999e-3 <= abs(value) <= 1001:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    factor = f"{value / 10.0**exponent:.3g}"
    return ("" if factor == "1" else factor + "×") + "10" + str(exponent).translate(SUPERSCRIPT)  # noqa: RUF001


def rendered(canvas: Canvas, kind: str) -> bytes:
    """The file, `svg` or `pdf`: the same bytes for the same figure."""
    file = io.BytesIO()
    empty = dict.fromkeys(("Creator", "Date", "Format", "Type") if kind == "svg" else ("CreationDate",))
    with mpl.rc_context(RC | {"figure.constrained_layout.use": False}):  # else savefig lays it out once more
        canvas.savefig(file, format=kind, metadata=empty)
    return file.getvalue()

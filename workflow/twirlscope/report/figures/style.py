"""Figure style: colour-blind-safe palette, logarithmic axes with step 0 left of a break, byte-identical output."""

from __future__ import annotations

import io
import math
import textwrap
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FixedFormatter, FixedLocator, NullFormatter, NullLocator

from ..._typing import Array, Callable, Float, Iterable, Iterator, Sequence
from ..wording import SUPERSCRIPT
from .embedded_fonts import outlines_alone

# colour-blind safe. Source: Okabe and Ito, Color Universal Design (2008), darkened for lines on white
BLUE, RED, GREEN, PINK, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#B8578F", "#C98A00", "#3A9BD9"
BLACK, GREY = "#1c1c1c", "#666666"
BROWN, VIOLET, CRIMSON, TEAL, OLIVE, AQUA = "#7A5230", "#5B35C8", "#A50F3C", "#00595C", "#7C7A00", "#3A9188"
# one colour, one meaning on the whole page: runs, parts of the loss, families of runs; black and grey mean nothing
RUNS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BROWN)
# 5 dash patterns and 8 markers for 7 colours: the numbers have no common divisor, so that combinations do not repeat
LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
DASHED = (0, (2, 2))  # a threshold
EDGE = "_edge"  # label of triangles in place of points below the axis

WIDE, NARROW = 9.0, 3.75  # width [inch] on a desktop and on a telephone
LEGEND = {False: 0.3, True: 0.8}  # height [inch] for a legend on a wide and on a narrow drawing
ROW = 0.2  # height [inch] of a row of a legend


class Look(NamedTuple):
    """Appearance of a line, and its words in a legend."""

    colour: str
    line: str | tuple
    marker: str
    words: str = ""


PARTS = {  # parts of the loss
    "total": Look(BLACK, LINES[0], "o", "total loss"),
    "mean": Look(VIOLET, LINES[1], "s", "twirled prediction error"),
    "equiv": Look(CRIMSON, LINES[3], "^", "equivariance error"),
}
FAMILIES = {"learned": TEAL, "built in": OLIVE, "twirled": AQUA}

PUBLISHED = Look("#a0a0a0", "-", "o", "published")

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


def look_of(index: int, words: str = "") -> Look:
    """The look of run number `index`."""
    return Look(*(kinds[index % len(kinds)] for kinds in (RUNS, LINES, MARKERS)), words)


def shades(names: Iterable[Any]) -> list[Look]:
    """The looks of an order, such as steps or degrees: from dark to light, distinct in grey too."""
    words = list(map(str, names))
    colours = [mpl.colors.to_hex(mpl.colormaps["viridis"](x)) for x in np.linspace(0.0, 0.85, len(words))]
    kinds = enumerate(zip(colours, words, strict=True))
    return [Look(c, LINES[i % len(LINES)], MARKERS[i % len(MARKERS)], text) for i, (c, text) in kinds]


def canvases(
    draw: Callable[[Canvas, int], None], panels: int, height: float, most: int = 3, wide: float = WIDE
) -> tuple[Canvas, Canvas]:
    """The wide and the narrow drawing. `draw(canvas, columns)` fills one.

    Args:
        panels: number of panels, which are laid out on a grid of at most `most` columns.
        height: of one row of panels [inch].
        wide: width of the wide drawing [inch].
    """
    drawings = []
    for width, columns in ((wide, min(most, panels)), (NARROW, 1)):
        with mpl.rc_context(RC):
            canvas = Canvas(figsize=(width, LEGEND[width == NARROW] + height * math.ceil(panels / columns)))
            draw(canvas, columns)
            with _major_ticks(canvas):
                canvas.get_layout_engine().execute(canvas)
        canvas.set_layout_engine(None)  # laid out once, not for every file
        drawings.append(canvas)
    return drawings[0], drawings[1]


@contextmanager
def _major_ticks(canvas: Canvas) -> Iterator[None]:
    """A context without minor ticks. They have no labels and need no room, but take time."""
    axes = [axis for ax in canvas.axes for axis in (ax.xaxis, ax.yaxis)]
    minor = [axis.get_minor_locator() for axis in axes]
    for axis in axes:
        axis.set_minor_locator(NullLocator())
    yield
    for axis, locator in zip(axes, minor, strict=True):
        axis.set_minor_locator(locator)


class Panel(NamedTuple):
    """Axes on a grid: `left` in the first column, `bottom` with nothing below."""

    ax: Axes
    left: bool
    bottom: bool

    def y(self, label: str) -> str:
        """The label of the vertical axis, in the first column only."""
        return label if self.left else ""

    def x(self, label: str) -> str:
        """The label of the horizontal axis, on the lowest panels only."""
        return label if self.bottom else ""


def panels(canvas: Canvas, count: int, columns: int, sharex: bool = True, sharey: bool = True) -> list[Panel]:
    """Panels row by row; by default all share both axes. Places left over stay empty."""
    axes = canvas.subplots(math.ceil(count / columns), columns, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for spare in axes[count:]:
        spare.remove()
    if sharex:
        for ax in axes[max(0, count - columns) : count]:
            ax.tick_params(labelbottom=True)
    return [Panel(ax, i % columns == 0, i >= count - columns) for i, ax in enumerate(axes[:count])]


def handles(looks: Iterable[Look], **settings: Any) -> list[Line2D]:
    """Entries of a legend."""
    return [Line2D([], [], color=c, linestyle=ls, marker=m, label=text, **settings) for c, ls, m, text in looks]


def band(label: str = "95 % interval", alpha: float = 0.3) -> Patch:
    """The legend entry of a band."""
    return Patch(facecolor=GREY, alpha=alpha, linewidth=0, label=label)


def legend(canvas: Canvas, handles: Sequence) -> None:
    """One legend above all panels, read row by row, with as many columns as fit the width; many rows add height."""
    letters = int(14 * canvas.get_figwidth())
    for handle in handles:
        handle.set_label(textwrap.fill(handle.get_label(), letters - 9))
    lengths = [max(map(len, handle.get_label().split("\n"))) + 7 for handle in handles]
    fits = (n for n in range(len(handles), 1, -1) if sum(max(lengths[i::n]) for i in range(n)) <= letters)
    columns = next(fits, 1)
    lines = [handle.get_label().count("\n") + 1 for handle in handles]
    rows = sum(max(lines[start : start + columns]) for start in range(0, len(lines), columns))
    room = LEGEND[canvas.get_figwidth() == NARROW]
    canvas.set_figheight(canvas.get_figheight() + max(0.0, ROW * rows - room))
    ordered = [handle for start in range(columns) for handle in handles[start::columns]]
    canvas.legend(handles=ordered, loc="outside upper left", ncols=columns, columnspacing=1.6)


def step_axis(ax: Axes, steps: Array, label: str = "training step") -> None:
    """A logarithmic axis of training steps; step 0, if there is one, lies left of a break."""
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
    """A logarithmic y axis that holds the positive `values`; triangles mark points that lie below it."""
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


def log_x_axis(ax: Axes, values: Float[Array, " n"], label: str) -> None:
    """A logarithmic x axis that holds the positive values."""
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min() / 1.15, values.max() * 1.15) if len(values) else (0.1, 1.0)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = log_ticks(low, high, 5)
    set_ticks(ax.xaxis, ticks, [power(t) for t in ticks], [], label)


def _at_edge(ax: Axes, line: Line2D, low: float) -> None:
    """Triangles at the lower edge for the points of a line that lie below it."""
    x, y = (np.asarray(values, float) for values in line.get_data())
    if line.get_marker() not in MARKERS or not (y < low).any():
        return
    settings = {"color": line.get_color(), "markerfacecolor": line.get_markerfacecolor(), "markersize": 5}
    ax.plot(
        x[y < low],
        np.full((y < low).sum(), low),
        "v",
        linestyle="none",
        clip_on=False,
        zorder=3,
        label=EDGE,
        **settings,
    )


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten between two numbers, at most `most`; where these are fewer than 3, also multiples of them."""
    decades = [10.0**e for e in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]
    if len(decades) > 2:
        return decades[:: math.ceil(len(decades) / most)]
    span = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        candidates = (m * 10.0**e for e in span for m in multiples)
        found = [t for t in candidates if low <= t * (1 + 1e-9) and t <= high * (1 + 1e-9)]
        if len(found) > 1:
            break
    return found or [low]


def set_ticks(axis: Axis, ticks: Sequence[float], labels: Sequence[str], minor: Sequence[float], label: str) -> None:
    """Set the ticks of an axis, their labels, and the label of the axis."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(labels))
    axis.set_minor_locator(FixedLocator(minor))
    axis.set_minor_formatter(NullFormatter())
    axis.set_label_text(label)


def short(step: float) -> str:
    """A step as a tick label: 500, 2k, 1M."""
    return EngFormatter(sep="").format_eng(step)


def power(value: float) -> str:
    """A tick label: plain from 0.001 to 1000, else a power of ten."""
    if 0.999e-3 <= abs(value) <= 1001:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    factor = f"{value / 10.0**exponent:.3g}"
    return ("" if factor == "1" else factor + "×") + "10" + str(exponent).translate(SUPERSCRIPT)  # noqa: RUF001


def rendered(canvas: Canvas, kind: str) -> bytes:
    """The content of an `svg` or `pdf` file: the same bytes for the same figure, without time stamps."""
    file = io.BytesIO()
    empty = dict.fromkeys(("Creator", "Date", "Format", "Type") if kind == "svg" else ("CreationDate",))
    with outlines_alone(), mpl.rc_context(RC | {"figure.constrained_layout.use": False}):  # else laid out once more
        canvas.savefig(file, format=kind, metadata=empty)
    return file.getvalue()

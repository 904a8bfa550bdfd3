"""Published curves in figures: thin grey lines behind those of the trainings, and their rows in the numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..._typing import Sequence
from ..numbers import Numbers, numbers
from ..published.curves import PublishedCurve, reference_curves
from ..trainings import Training
from . import style

COLOUR = style.PUBLISHED.colour
PUBLISHED = "published: "  # beginning of the runs of published curves in tables


def references(trainings: Sequence[Training], quantity: str) -> list[PublishedCurve]:
    """The published curves of the tasks of these trainings."""
    tasks = dict.fromkeys(str(t.spec["task"]["name"]) for t in trainings if t.spec)
    return [curve for task in tasks for curve in reference_curves(task, quantity)]


def draw(ax: Axes, curves: Sequence[PublishedCurve], scale: float = 1.0, line: str | tuple = "-") -> None:
    """The curves behind everything else.

    Args:
        scale: factor of the values.
    """
    for curve in curves:
        ax.plot(curve.step, scale * curve.value, color=COLOUR, linestyle=line, linewidth=1.0, zorder=1)


def name_models(ax: Axes, curves: Sequence[PublishedCurve]) -> None:
    """The name of the model above the first point of its first curve, and above marks near it."""
    for curve in {c.model: c for c in reversed(curves)}.values():
        place = {"xytext": (0, 11), "textcoords": "offset points", "color": style.GREY, "size": 7, "label": "published"}
        ax.annotate(curve.label.split(",")[0], (curve.step[0], curve.value[0]), **place)


def handle(words: str) -> Line2D:
    """The entry of the legend."""
    return Line2D([], [], color=COLOUR, linewidth=1.0, label=words)


def rows(curves: Sequence[PublishedCurve], quantity: str, term: str) -> pd.DataFrame:
    """The points of the curves as rows of the numbers of a figure, with the label as run."""
    return pd.concat(list(_rows(curves, quantity, term)), ignore_index=True)


def _rows(curves: Sequence[PublishedCurve], quantity: str, term: str) -> Iterator[pd.DataFrame]:
    for curve in curves:
        ends = {f"{quantity}{end}": curve.value for end in ("", "_low", "_high")}
        row = {"run": f"{PUBLISHED}{curve.label}", "seed": 0, "term": term, "step": curve.step.astype(int)}
        yield pd.DataFrame(row | ends | {"trivial": False})


def steps(curves: Sequence[PublishedCurve]) -> list[float]:
    """First and last steps, for axes that hold them."""
    return [float(curve.step[k]) for curve in curves for k in (0, -1)]


def joined(table: Numbers, curves: Sequence[PublishedCurve], quantity: str, term: str) -> Numbers:
    """The numbers of a figure with those of the published curves."""
    if not curves:
        return table
    data = pd.concat([table.data, rows(curves, quantity, term)], ignore_index=True)
    return numbers(data[list(table.data)], table.columns)


def note(curves: Sequence[PublishedCurve]) -> str:
    """The meaning of grey lines in captions; empty without any."""
    return " Grey: published curves of the same tasks." if curves else ""

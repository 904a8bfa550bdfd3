"""The figure of the test sets: error and equivariance error of forces, in and out of distribution, side by side."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from . import style
from .hints import Mapping
from .style import Figure
from .trainings import say

ERROR = "force RMSE [meV/Å]"
PERCENT, LOW, HIGH = (f"equivariance error, forces{end} [%]" for end in ("", ", from", ", to"))
PANELS = {"force RMSE\n[meV/Å]": ERROR, "equivariance error\n[% of the force loss]": PERCENT}


def errors_by_set(frame: pd.DataFrame, labels: str) -> Figure | None:
    """Force error and percent by test set, a mark a training; None where no test set has forces.

    Args:
        frame: what `quoted.quoted` gives, of all trainings.
        labels: what the targets are, for the caption.
    """
    frame = frame[np.isfinite(frame[ERROR])]
    if frame.empty:
        return None
    sets, runs = (list(dict.fromkeys(frame[name])) for name in ("test set", "run"))
    look = {run: (style.RUNS[i % 7], style.MARKERS[i % 8]) for i, run in enumerate(runs)}

    def draw(canvas: Canvas, columns: int) -> None:
        axes = canvas.subplots(math.ceil(2 / columns), columns, squeeze=False).ravel()
        for ax, (label, head) in zip(axes, PANELS.items(), strict=True):
            _panel(ax, frame, head, sets, look)
            ax.set_ylabel(label)
        style.legend(canvas, [Line2D([], [], color=c, marker=m, linestyle="", label=r) for r, (c, m) in look.items()])

    wide, narrow = style.canvases(draw, 2, 2.9)
    caption = (
        "The last checkpoint on every test set: root mean square error of a force component, and the share of the "
        "squared error of the forces that is equivariance error, with 95 % intervals by frame. A mark a seed. Read "
        "both panels: a network that predicts next to no force has next to no equivariance error."
    )
    said = zip(*(frame[h] for h in ("run", "seed", "test set", ERROR, PERCENT)), strict=True)
    text = "Errors by test set. " + " ".join(
        f"{run}, seed {seed}, {name}: {say(error)} meV/Å, {say(percent)} %." for run, seed, name, error, percent in said
    )
    return Figure("errors_by_set", wide, narrow, "In and out of distribution", caption + labels, text, frame)


def _panel(ax: Axes, frame: pd.DataFrame, head: str, sets: list[str], look: Mapping[str, tuple[str, str]]) -> None:
    """One quantity by test set; with an interval where it has one."""
    for i, (run, (colour, marker)) in enumerate(look.items()):
        rows = frame[frame["run"] == run]
        place = np.array([sets.index(s) for s in rows["test set"]]) + 0.3 * ((i + 0.5) / len(look) - 0.5)
        value, low, high = (rows[h].to_numpy() for h in (head, LOW, HIGH))
        bars = [np.maximum(value - low, 0), np.maximum(high - value, 0)] if head == PERCENT else None
        ax.errorbar(place, value, yerr=bars, fmt=marker, color=colour, elinewidth=0.9, capsize=2)
    ax.set_ylim(bottom=0)
    ax.set_xticks(range(len(sets)), sets, rotation=20, ha="right")

"""The residual of averaging over a set of rotations at test time, predicted from the spectrum and measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Sequence
from ....geometry.rotation_sets import INDEPENDENT
from ...figures import style
from ...figures.figure import Figure
from ...numbers import numbers, stored
from ...trainings import Training, first_seeds
from ...wording import extremes, say, term_words
from .degrees import measured

LOSSES = ("twirled_loss_predicted", "twirled_loss_predicted_low", "twirled_loss_predicted_high", "twirled_loss")
STORED = ("passes", *LOSSES, "twirled_loss_error")
TICKS = (1, 4, 12, 24, 60, 168, 360, 1376)


# numbers


def residual(training: Training, term: str) -> pd.DataFrame:
    """The loss above the twirled prediction error, as a share of the equivariance error: one row per set.

    K independent rotations leave 1 / K of it.
    """
    data = training.last(term)
    mean, equiv = float(data["spectrum"][0]), float(data["panel_loss_equiv"])
    rows = data[list(STORED)].to_dataframe()[list(STORED)].reset_index()
    for name in LOSSES:
        rows[f"{name}_share"] = (rows[name] - mean) / equiv
    rows["twirled_loss_error_share"] = rows["twirled_loss_error"] / equiv
    if "twirled_residual" in data:  # of an external potential, whose error may be tiny beside its twirled prediction
        rows["twirled_loss_share"] = data["twirled_residual"].values / equiv
        for name in LOSSES[:3]:
            rows[f"{name}_share"] = data["twirled_residual_predicted"].values / equiv
    return rows


# sentences


def _words(firsts: Sequence[Training], tables: Sequence[pd.DataFrame]) -> str:
    """The largest distance of predicted and measured residuals, and the range of the measured ones."""
    left, apart = {}, {}
    for training, rows in zip(firsts, tables, strict=True):
        known = rows[np.isfinite(rows["twirled_loss"]) & ~rows["rotation_set"].isin(INDEPENDENT)]
        for row in known.itertuples():
            name = f"{row.rotation_set}, {training.label}"
            left[name] = 100 * row.twirled_loss_share
            apart[name] = abs(left[name] - 100 * row.twirled_loss_predicted_share)
    text = (
        f"Predicted and measured residuals differ by {say(max(apart.values(), default=np.nan))} % of the error at "
        "most. "
    )
    return f"{text}Averaging over a set of rotations leaves {extremes(left, ' %')}."


# figures


def residuals(trainings: Sequence[Training], term: str) -> Figure:
    """Residual against forward passes at the last checkpoint, one panel per run (its first seed)."""
    firsts = first_seeds(measured(trainings, term))
    tables = [residual(t, term) for t in firsts]

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(firsts), columns)
        for panel, training, rows in zip(panels, firsts, tables, strict=True):
            _panel(panel.ax, rows)
            panel.ax.set_ylabel(panel.y("share of the equivariance\nerror that is left"))
            panel.ax.set_xlabel(panel.x("forward passes per prediction"))
            panel.ax.set_title(training.label)
        style.legend(canvas, _handles())

    wide, narrow = style.canvases(draw, len(firsts), 2.9)
    caption = (
        f"Share of the equivariance error ({term_words(term)}) that is left when the last checkpoint averages over a "
        "set of rotations at random orientation. Circles: predicted from the spectrum, with bounds. Crosses: "
        "measured. Line: independent rotations, 1 / passes."
    )
    text = _words(firsts, tables)
    every = [rows.assign(run=t.run, seed=t.seed) for t, rows in zip(firsts, tables, strict=True)]
    table = numbers(pd.concat(every, ignore_index=True), stored(*STORED))
    title = f"Test-time twirling: {term_words(term)}"
    return Figure(f"twirling_{term}", wide, narrow, title, caption, text, table)


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    """Prediction, measurement, and the line of independent rotations."""
    passes = rows["passes"].values
    line = np.geomspace(1, passes.max(), 50)
    ax.plot(line, 1 / line, color=style.GREY, linestyle=":", linewidth=1.2)
    share, low, high = (rows[f"{name}_share"].values for name in LOSSES[:3])
    bars = {"yerr": [np.maximum(share - low, 0), np.maximum(high - share, 0)], "elinewidth": 0.9, "capsize": 2}
    ax.errorbar(passes, share, fmt="o", color=style.GREY, markersize=4, **bars)
    measured_share = rows["twirled_loss_share"].values
    known = np.isfinite(measured_share)
    ax.plot(passes[known], measured_share[known], "x", color=style.BLACK, markersize=6, zorder=3)
    ax.axhline(0, color=style.GREY, linewidth=0.8)
    ax.set_xscale("log")
    ticks = [float(t) for t in TICKS if t <= passes.max()]
    style.set_ticks(ax.xaxis, ticks, [f"{t:g}" for t in ticks], [], "")


def _handles() -> list[Line2D]:
    predicted = Line2D([], [], color=style.GREY, marker="o", markersize=4, linestyle="none", label="predicted")
    found = Line2D([], [], color=style.BLACK, marker="x", linestyle="none", label="measured")
    return [predicted, found, Line2D([], [], color=style.GREY, linestyle=":", label="independent rotations")]

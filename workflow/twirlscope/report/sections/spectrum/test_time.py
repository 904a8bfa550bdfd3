"""The figure of test-time twirling: its loss against forward passes, predicted from the spectrum and measured."""

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
from ...trainings import Training, by_run, with_term
from ...wording import LEFT_OUT, column, floor_note, labels_note, say, words
from .degrees import measured

NAMES = ("passes", "twirled_loss_predicted", "twirled_loss_predicted_low", "twirled_loss_predicted_high")

NAMES += ("twirled_loss", "twirled_loss_error")


def residual(training: Training, term: str) -> pd.DataFrame:
    """What twirling leaves above the twirled prediction error, as a share of the equivariance error, one row a set.

    Independent rotations leave 1 / K of it.
    """
    data = training.twirl.sel(term=term).isel(step=-1)
    mean, equiv = float(data["spectrum"][0]), float(data["panel_loss_equiv"])
    table = data[list(NAMES)].to_dataframe()[list(NAMES)].reset_index()
    for name in NAMES[1:5]:
        table[f"{name}_share"] = (table[name] - mean) / equiv
    table["twirled_loss_error_share"] = table["twirled_loss_error"] / equiv
    return table


def plan(trainings: Sequence[Training], term: str) -> Figure:
    """Residual of test-time twirling against passes at the last checkpoint, one panel a run (its first seed)."""
    firsts = [seeds[0] for seeds in by_run(measured(trainings, term)).values()]
    tables = [residual(t, term) for t in firsts]

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, training, table) in enumerate(
            zip(style.grid(canvas, len(firsts), columns), firsts, tables, strict=True)
        ):
            _panel(ax, table)
            ax.set_ylabel("share of the equivariance\nerror that is left" if i % columns == 0 else "")
            ax.set_xlabel("forward passes a prediction" if i >= len(firsts) - columns else "")
            ax.set_title(training.label)
        style.legend(canvas, _handles())

    wide, narrow = style.canvases(draw, len(firsts), 2.9)
    caption = (
        f"Test-time twirling at the last checkpoint ({words(term)}): the mean prediction over a set of rotations, at "
        "random orientation, leaves this share of the equivariance error. Circles: predicted from the spectrum without "
        "running the model; bars: what may lie beyond the highest degree. Crosses: measured on the same samples. Line: "
        "independent rotations, 1 / passes, exact."
    )
    caption += floor_note(with_term(trainings, term), term, LEFT_OUT) + labels_note(firsts)
    text = f"Share of the equivariance error of {words(term)} left by twirling with a set of rotations. " + " ".join(
        _words(t, table) for t, table in zip(firsts, tables, strict=True)
    )
    joined = pd.concat(
        [t.assign(run=x.run, seed=x.seed) for x, t in zip(firsts, tables, strict=True)], ignore_index=True
    ).rename(columns={n: column(n) for n in NAMES})
    return Figure(f"twirling_{term}", wide, narrow, f"Test-time twirling: {words(term)}", caption, text, joined)


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    """Prediction, measurement, and the line of independent rotations."""
    passes = table["passes"].values
    line = np.geomspace(1, passes.max(), 50)
    ax.plot(line, 1 / line, color=style.GREY, linestyle=":", linewidth=1.2)
    share, low, high = (table[f"twirled_loss_predicted{end}_share"].values for end in ("", "_low", "_high"))
    bars = {"yerr": [np.maximum(share - low, 0), np.maximum(high - share, 0)], "elinewidth": 0.9, "capsize": 2}
    ax.errorbar(passes, share, fmt="o", color=style.BLUE, markersize=4, **bars)
    known = np.isfinite(table["twirled_loss_share"].values)
    ax.plot(passes[known], table["twirled_loss_share"].values[known], "x", color=style.RED, markersize=6, zorder=3)
    ax.axhline(0, color=style.GREY, linewidth=0.8)
    ax.set_xscale("log")
    ticks = [float(t) for t in (1, 4, 12, 24, 60, 168, 360, 1376) if t <= passes.max()]
    style.set_ticks(ax.xaxis, ticks, [f"{t:g}" for t in ticks], [], "")


def _handles() -> list[Line2D]:
    predicted = Line2D([], [], color=style.BLUE, marker="o", markersize=4, linestyle="none", label="predicted")
    found = Line2D([], [], color=style.RED, marker="x", linestyle="none", label="measured")
    return [predicted, found, Line2D([], [], color=style.GREY, linestyle=":", label="independent rotations")]


def _words(training: Training, table: pd.DataFrame) -> str:
    known = table[np.isfinite(table["twirled_loss"]) & ~table["rotation_set"].isin(INDEPENDENT)]
    said = [
        f"{row.rotation_set} ({row.passes} passes) {say(100 * row.twirled_loss_predicted_share)} % predicted, "
        f"{say(100 * row.twirled_loss_share)} % measured"
        for row in known.itertuples()
    ]
    return f"{training.label}: {'; '.join(said)}."

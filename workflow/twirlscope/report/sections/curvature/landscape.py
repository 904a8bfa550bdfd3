"""Losses on a plane through a checkpoint: on common draws, and on independent draws at every point."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure as Canvas

from ...._typing import Sequence
from ...figures import style
from ...figures.figure import Figure
from ...numbers import Column, Numbers, numbers, stored
from ...tables import Table
from ...trainings import Training
from ...wording import extremes, say
from .matrices import LOOKS

WORDS = {"common": "same draws", "independent": "new draws"}
PARTS = ("mean", "equiv")
ROUGHNESS = (
    "landscape_r_squared",
    "landscape_autocorrelation",
    "landscape_residual_autocorrelation",
    "landscape_residual_spread",
)


def has_landscape(training: Training) -> bool:
    """True if losses on a plane were computed."""
    return training.hessian is not None and "landscape_loss" in training.hessian


# numbers


def roughness_table(trainings: Sequence[Training]) -> Table:
    """R squared of a quadratic fit and correlation of neighbours, by part and draws, at the last checkpoint."""
    parts = []
    for training in trainings:
        rows = training.hessian.isel(step=[-1])[list(ROUGHNESS)].to_dataframe().reset_index()
        rows = rows[rows["part"].isin(PARTS)]
        parts.append(training.labelled(rows.assign(part=[LOOKS[part].words for part in rows["part"]])))
    columns = [
        *stored("step"),
        Column("landscape_r_squared", "R² of a quadratic fit", "1"),
        Column("landscape_autocorrelation", "correlation of neighbours", "1"),
        Column("landscape_residual_autocorrelation", "the same of the residuals", "1"),
        Column("landscape_residual_spread", "residuals over mean loss", "1"),
    ]
    caption = (
        "Roughness of the losses on a plane through the checkpoint, at the last measured step of every training: with "
        "the same samples and rotations at every point (common), and with new ones (independent). Independent noise "
        "has a correlation of about 0."
    )
    return Table("landscapes", caption, numbers(pd.concat(parts, ignore_index=True), columns))


def loss_numbers(training: Training, step: int) -> Numbers:
    """Loss of every part at every point, with the coordinates of the points."""
    data = training.hessian.sel(step=step)
    shift = data["landscape_shift"].values
    rows = data["landscape_loss"].to_dataframe().reset_index().drop(columns="step")
    for end in ("largest", "smallest"):
        rows[f"shift_{end}"] = shift[rows.pop(f"point_{end}")]
    columns = [
        *stored("landscape_loss"),
        Column("shift_largest", "along the largest eigenvalue", "1"),
        Column("shift_smallest", "along the smallest positive eigenvalue", "1"),
    ]
    return numbers(training.labelled(rows), columns)


# sentences


def _words(data: xr.Dataset) -> str:
    """The number of parts that are smoother on common draws, and the range of R squared."""
    r2 = data["landscape_r_squared"]
    found = {
        f"{LOOKS[part].words}, {words}": float(r2.sel(part=part, draws=draws))
        for part in PARTS
        for draws, words in WORDS.items()
    }
    smoother = sum(r2.sel(part=p, draws="common") > r2.sel(part=p, draws="independent") for p in PARTS)
    text = f"The landscape is smoother on the same draws than on new ones for {int(smoother)} of 2 parts. "
    return f"{text}R² of a quadratic fit is {extremes(found)}."


# figures


def landscapes(training: Training, name: str) -> Figure:
    """Slices of both losses along the largest eigenvalue at the last step, on common and on independent draws.

    Args:
        training: with landscapes.
        name: of the files.
    """
    step = int(training.hessian["step"][-1])
    data = training.hessian.sel(step=step)
    contents = [(part, draws) for part in PARTS for draws in WORDS]

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, (part, draws) in zip(
            style.panels(canvas, len(contents), columns, sharey=False), contents, strict=True
        ):
            _slices(panel.ax, data.sel(part=part, draws=draws), LOOKS[part].colour)
            both = data["landscape_loss"].sel(part=part)
            room = 0.05 * float(both.max() - both.min())
            panel.ax.set_ylim(float(both.min()) - room, float(both.max()) + room)
            panel.ax.set_ylabel("loss")
            panel.ax.set_xlabel(panel.x("shift along the largest eigenvalue"))
            r2 = float(data["landscape_r_squared"].sel(part=part, draws=draws))
            panel.ax.set_title(f"{LOOKS[part].words},\n{WORDS[draws]}: R² {r2:.2f}")

    wide, narrow = style.canvases(draw, len(contents), 2.7, most=2)
    low, high = data["landscape_eigenvalue"].values[::-1]
    block = data.attrs.get("block", "")
    where = f", in {block}" if block else ""
    caption = (
        f"{training.label}, step {step}: loss along the Hessian's eigenvectors of the largest ({say(high)}) and the "
        f"smallest positive eigenvalue ({say(low)}; pale to dark){where}. Right: new samples and rotations at every "
        "point; roughness there alone is noise."
    )
    title = f"Loss landscape: {training.label}"
    return Figure(name, wide, narrow, title, caption, _words(data), loss_numbers(training, step), tab=training.label)


def _slices(ax, one: xr.Dataset, colour: str) -> None:
    """One line per point along the smallest eigenvalue; the line through the checkpoint is thick."""
    shift, loss = one["landscape_shift"].values, one["landscape_loss"].values
    middle = len(shift) // 2
    for j, shade in enumerate(np.linspace(0.25, 0.8, len(shift))):
        ax.plot(shift, loss[:, j], color=colour, alpha=shade, linewidth=1.8 if j == middle else 0.7)

"""The figures of directions: the angle between the gradients of the two parts, and what an update spent on each."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Array, Bool, Sequence
from ....estimators.gradient_statistics import above_noise
from ...figures import style
from ...figures.curves import look_of, run_handles, seeds_note
from ...figures.figure import Chart, Figure
from ...trainings import Training, by_run
from ...wording import column
from .norms import BARS, Course, ends_of, gradient_table, plotted, samples_note, whole

HOLLOW = " Hollow points divide by something within two standard errors of zero."


def resolved(data: xr.Dataset, name: str, *parts: str) -> Bool[Array, "*b"]:
    """Where the sizes of all these parts of a variable are above their noise."""
    value, error = (data[n].sel(part=list(parts)).transpose(..., "part").values for n in (name, f"{name}_error"))
    return above_noise(np.abs(value), error).all(-1)


def courses(trainings: Sequence[Training], name: str, label: str, ends: tuple[float, float], solid, reference) -> tuple:
    """A variable of all trainings over steps on a linear axis.

    Args:
        ends: of the axis; what lies outside is not drawn.
        solid: says of the dataset of a training where its points are full.
        reference: draws what else belongs into the axes.

    Returns:
        Both drawings, the table, and how many values lie outside.
    """
    groups, table = by_run(trainings), gradient_table(trainings, [name])
    steps = np.unique(np.concatenate([t.gradient["step"].values for t in trainings]))

    def draw(canvas: Canvas, _: int) -> None:
        ax = canvas.subplots()
        for i, seeds in enumerate(groups.values()):
            for training in reversed(seeds):
                data = whole(training)
                step, value, error = (data[n].values for n in ("step", name, f"{name}_error"))
                shown = np.where((value >= ends[0]) & (value <= ends[1]), value, np.nan)
                one = Course(look_of(i), step, shown, error, solid(data), np.full(len(step), np.nan))
                plotted(ax, one, training is seeds[0], logarithmic=False)
        ax.set_ylim(*ends)
        style.step_axis(ax, steps)
        ax.set_ylabel(label)
        style.legend(canvas, [*run_handles(groups), *reference(ax)])

    values = table[column(name)]
    outside = int(((values < ends[0]) | (values > ends[1])).sum())
    return (*style.canvases(draw, 1, 2.9), table, outside)


def cosine(trainings: Sequence[Training]) -> Figure:
    """Cosine of the angle between the gradients of the two parts."""

    def zero(ax: Axes) -> list:
        ax.axhline(0, color=style.GREY, linestyle=":", linewidth=1)
        return []

    *drawn, table, outside = courses(
        trainings,
        "gradient_cosine",
        "cosine",
        (-1.05, 1.05),
        lambda data: resolved(data, "gradient_square", "mean", "equiv"),
        zero,
    )
    caption = (
        "Cosine of the gradients of the two parts of the loss, from unbiased products. Above zero a step that lowers "
        "one part lowers the other, below zero they are in each other's way." + BARS + HOLLOW
    )
    caption += f" {outside} values beyond -1 or 1, by noise, are in the table only." if outside else ""
    caption += seeds_note(by_run(trainings)) + samples_note(trainings)
    text = "Cosine of the two gradients. " + " ".join(f"{t.label}: {ends_of(t, 'gradient_cosine')}." for t in trainings)
    series = {"cosine": (column("gradient_cosine"), column("gradient_cosine_error"))}
    chart = Chart(column("step"), series, "cosine of the angle between the gradients", y_log=False, rule=0.0)
    return Figure("gradient_cosine", *drawn, "Angle between the two gradients", caption, text, table, chart)


def share(trainings: Sequence[Training]) -> Figure:
    """Share of the first-order gain of an update that is gain in the equivariance error."""
    line = {"color": style.BLACK, "linestyle": (0, (2, 2)), "linewidth": 1}

    def relative(ax: Axes) -> list:
        for training in trainings:
            data = whole(training)
            after = data["step"].values > 0
            ax.plot(data["step"].values[after], data["relative_equiv"].values[after], **line)
        return [Line2D([], [], label="relative equivariance error", **line)]

    *drawn, table, outside = courses(
        trainings,
        "update_share",
        "share of the update",
        (-0.5, 1.5),
        lambda data: resolved(data, "update_change", "total"),
        relative,
    )
    caption = (
        "Share of an optimiser update that is spent on symmetry: ⟨u, ∇L_equiv⟩ / ⟨u, ∇L_total⟩, the first-order change "
        "of the equivariance error over that of the total loss along u, the one update (weight decay included) that "
        "led to the checkpoint; gradients are those at the checkpoint, after it. Below 0 or above 1 one part "
        "rises while the other falls." + BARS + HOLLOW
    )
    caption += f" {outside} values outside the axis are in the table only." if outside else ""
    caption += seeds_note(by_run(trainings)) + samples_note(trainings)
    text = "Share of an update spent on symmetry. " + " ".join(
        f"{t.label}: {ends_of(t, 'update_share')}." for t in trainings
    )
    series = {"share": (column("update_share"), column("update_share_error"))}
    chart = Chart(column("step"), series, "share of an update", y_log=False, rule=0.0)
    return Figure("update_share", *drawn, "Share of an update spent on symmetry", caption, text, table, chart)

"""Directions: the angle between the gradients of the two parts, and the share of an update spent on symmetry."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Array, Bool, Callable, Sequence
from ...figures import style
from ...figures.curves import run_handles, run_looks
from ...figures.figure import Figure
from ...figures.marks import of_seed
from ...trainings import Training, by_run
from ...wording import extremes, plural
from .lines import Line, draw_line, gradient_numbers, last_values, resolved, whole

HOLLOW = " Hollow: the divisor is within two standard errors of zero."


def _over_steps(
    trainings: Sequence[Training],
    name: str,
    label: str,
    ends: tuple[float, float],
    solid: Callable[[xr.Dataset], Bool[Array, " step"]],
    reference: Callable[[Axes], list],
) -> tuple:
    """A variable of all trainings over steps on a linear axis.

    Args:
        ends: of the axis; values outside are not drawn.
        solid: from the gradients of a training, True at solid points.
        reference: draws further lines and returns their entries of the legend.

    Returns:
        Both drawings, the numbers, and how many values lie outside the axis.
    """
    groups, table = by_run(trainings), gradient_numbers(trainings, [name])
    steps = np.unique(np.concatenate([t.gradient["step"].values for t in trainings]))

    looks = run_looks(groups)

    def draw(canvas: Canvas, _: int) -> None:
        ax = canvas.subplots()
        for run, seeds in groups.items():
            for training in reversed(seeds):
                data = whole(training)
                step, value, error = (data[n].values for n in ("step", name, f"{name}_error"))
                inside = np.where((value >= ends[0]) & (value <= ends[1]), value, np.nan)
                line = Line(looks[run], step, inside, error, solid(data), np.full(len(step), np.nan))
                with of_seed(ax, training.seed):
                    draw_line(ax, line, training is seeds[0], logarithmic=False)
        ax.set_ylim(*ends)
        style.step_axis(ax, steps)
        ax.set_ylabel(label)
        style.legend(canvas, [*run_handles(groups), *reference(ax)])

    values = table.data[name]
    return (*style.canvases(draw, 1, 2.9), table, int(((values < ends[0]) | (values > ends[1])).sum()))


def cosine(trainings: Sequence[Training]) -> Figure:
    """Cosine of the angle between the gradients of the two parts."""

    def zero(ax: Axes) -> list:
        ax.axhline(0, color=style.GREY, linestyle=":", linewidth=1)
        return []

    *drawings, table, outside = _over_steps(
        trainings,
        "gradient_cosine",
        "cosine",
        (-1.05, 1.05),
        lambda data: resolved(data, "gradient_square", "mean", "equiv"),
        zero,
    )
    caption = (
        "Cosine of the angle between the gradients of the two parts, from unbiased products. Above zero a step that "
        "lowers one part lowers the other." + HOLLOW
    )
    caption += f" {outside} values beyond -1 or 1 are in the CSV file only." if outside else ""
    last = last_values(trainings, "gradient_cosine")
    text = f"Both gradients point the same way at the end of {sum(v > 0 for v in last.values())} of "
    text += f"{plural(len(last), 'training')}. The last cosines are {extremes(last)}."
    return Figure("gradient_cosine", *drawings, "Angle between the two gradients", caption, text, table)


def share(trainings: Sequence[Training]) -> Figure:
    """Share of the gain of an update that is gain in the equivariance error."""
    line = {"color": style.BLACK, "linestyle": style.DASHED, "linewidth": 1}

    def relative(ax: Axes) -> list:
        for training in trainings:
            data = whole(training)
            after = data["step"].values > 0
            ax.plot(data["step"].values[after], data["relative_equiv"].values[after], **line)
        return [Line2D([], [], label="relative equivariance error", **line)]

    *drawings, table, outside = _over_steps(
        trainings,
        "update_share",
        "share of the update",
        (-0.5, 1.5),
        lambda data: resolved(data, "update_change", "total"),
        relative,
    )
    caption = (
        "Share of an update u that is spent on symmetry: ⟨u, ∇L_equiv⟩ / ⟨u, ∇L_total⟩, at the weights halfway through "
        "it. Below 0 or above 1 one part rises while the other falls." + HOLLOW
    )
    last = last_values(trainings, "update_share")
    text = f"The last measured update lowers the equivariance error in {sum(v > 0 for v in last.values())} of "
    text += f"{plural(len(last), 'training')}. Its share is {extremes(last)}; {outside} values are outside the axis."
    return Figure("update_share", *drawings, "Share of an update spent on symmetry", caption, text, table)

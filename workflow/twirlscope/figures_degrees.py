"""The figure of degrees in use: what an equivariant network has in each over training, and what the loss owes to it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from . import style
from .charts import Chart
from .degree_use import RATIO, SHARE, degree_frame, degree_sentence
from .figures import look_of
from .style import Figure
from .trainings import Training, column, labels_note, slug

STEP, DEGREE = column("step"), "degree [1]"


def degrees(training: Training) -> Figure:
    """Share of activation variance by degree above, loss without the degree below; one column a layer."""
    frame = degree_frame(training)
    layers = list(dict.fromkeys(frame["layer"]))
    panels = [(head, layer) for head in (SHARE, RATIO) for layer in layers]

    def draw(canvas: Canvas, columns: int) -> None:
        axes = canvas.subplots(math.ceil(len(panels) / columns), columns, squeeze=False, sharex=True).ravel()
        for i, (ax, (head, layer)) in enumerate(zip(axes, panels, strict=False)):
            _panel(ax, frame[frame["layer"] == layer], head)
            label = "share of variance" if head == SHARE else "loss without the\ndegree, over the loss"
            style.log_axis(ax, [*frame[head], *([1.0] if head == RATIO else [])], label if i % columns == 0 else "")
            style.step_axis(ax, frame[STEP].to_numpy(), "training step" if i >= len(panels) - columns else "")
            ax.set_title(layer)
        for spare in axes[len(panels) :]:
            spare.remove()
        style.legend(canvas, [_handle(degree) for degree in sorted(set(frame[DEGREE]))])

    wide, narrow = style.canvases(draw, len(panels), 2.4, most=min(len(layers), 3))
    caption = (
        f"Degrees that {training.label} uses. Above: the share of the variance of a layer's output (over atoms, "
        "samples and orientations, summed over features) in each degree. Below: the held-out loss of a few samples "
        "with that degree of that output set to 0, over their loss with it; bars: standard error over samples; dotted: "
        "nothing lost. Triangles at the lower edge: none at all."
    ) + labels_note([training])
    name = f"degrees_{slug(training.run)}_seed{training.seed}"
    label, title = "loss without the degree, over the loss", f"Degrees in use: {training.label}"
    chart = Chart(STEP, {label: (RATIO, "its standard error [1]")}, label, by=(DEGREE,), panel=("layer",))
    return Figure(name, wide, narrow, title, caption, degree_sentence(training), frame, chart)


def _panel(ax: Axes, frame: pd.DataFrame, head: str) -> None:
    """One quantity of one layer, a line a degree."""
    if head == RATIO:
        ax.axhline(1, color=style.GREY, linestyle=":", linewidth=1.2)
    for degree, part in frame.groupby(DEGREE):
        colour, line, marker = look_of(int(degree))
        step, value = part[STEP].to_numpy(), part[head].to_numpy()
        after = step > 0
        ax.plot(step[after], np.where(value > 0, value, np.nan)[after], color=colour, linestyle=line)
        bars = part["its standard error [1]"].to_numpy() if head == RATIO else None
        ax.errorbar(step, value, yerr=bars, fmt=marker, color=colour, markersize=3, elinewidth=0.8)


def _handle(degree: int) -> Line2D:
    colour, line, marker = look_of(int(degree))
    return Line2D([], [], color=colour, linestyle=line, marker=marker, markersize=3, label=f"degree {degree}")

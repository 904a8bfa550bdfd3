"""Fields on grids: slices of predictions, and task metrics of the predictions over training.

Question: do the predicted fields look right, and how many atoms are found in them?
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from ..._typing import Sequence
from ..figures import style
from ..figures.curves import steps_of
from ..figures.figure import Figure, tabbed
from ..numbers import Numbers, numbers, stored
from ..questions import QUALITY
from ..section import Section
from ..trainings import Training, first_seeds
from ..wording import extremes, say, slug

# numbers


def metric_numbers(trainings: Sequence[Training]) -> Numbers:
    """Task metrics of the predictions, one row per training, checkpoint and metric."""
    parts = [t.twirl["merit_value"].to_dataframe().reset_index().assign(run=t.run, seed=t.seed) for t in trainings]
    return numbers(pd.concat(parts, ignore_index=True), stored("step", "merit_value"))


# figures


def slices(training: Training) -> Figure | None:
    """Slices of the first kept sample: noisy, denoised, twirled and true; None if none were kept."""
    if "slice_value" not in training.twirl:
        return None
    data = training.twirl["slice_value"].isel(look=0)
    views = dict(zip(map(str, data["view"].values), data.values, strict=True))
    low, high = float(min(v.min() for v in views.values())), float(max(v.max() for v in views.values()))
    error = {v: float(np.sqrt(np.mean((views[v] - views["target"]) ** 2))) for v in views if v != "target"}

    def draw(canvas: Canvas, columns: int) -> None:
        axes = [panel.ax for panel in style.panels(canvas, len(views), columns)]
        for ax, (view, values) in zip(axes, views.items(), strict=True):
            last = ax.imshow(values.T, origin="lower", cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            ax.set_title(view)
            ax.grid(visible=False)
            ax.set_aspect("equal")
            style.set_ticks(ax.xaxis, [], [], [], "")
            style.set_ticks(ax.yaxis, [], [], [], "")
        canvas.colorbar(last, ax=axes, shrink=0.8, label="occupancy")

    wide, narrow = style.canvases(draw, len(views), 2.3, most=4)
    step = int(training.twirl["step"][-1])
    caption = (
        f"A held-out sample of {training.label} at step {step}: a slice of the noisy input, the prediction, its mean "
        f"over the 24 rotations of a cube, and the target. Black: occupied; values lie between {say(low)} and "
        f"{say(high)}."
    )
    best = min(error, key=error.get)
    text = f"The {best} is nearest to the target of all slices. Root mean square distances are {extremes(error)}."
    name = f"slices_{slug(training.run)}_seed{training.seed}"
    table = numbers(data.to_dataframe().reset_index(), stored("slice_value"))
    return Figure(name, wide, narrow, f"Denoised: {training.label}", caption, text, table, tab=training.label)


def metrics(trainings: Sequence[Training]) -> Figure | None:
    """Task metrics of the predictions over training; None if no task has any."""
    chosen = [t for t in trainings if "merit_value" in t.twirl]
    if not chosen:
        return None
    table, firsts = metric_numbers(chosen), first_seeds(chosen)
    names = list(dict.fromkeys(str(n) for t in firsts for n in t.twirl["merit"].values))
    looks = dict(zip(names, style.shades(names), strict=True))

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, training in zip(style.panels(canvas, len(firsts), columns), firsts, strict=True):
            for name in training.twirl["merit"].values:
                colour, line, marker, _ = looks[str(name)]
                values = training.twirl["merit_value"].sel(merit=name).values
                panel.ax.plot(training.twirl["step"].values, values, color=colour, linestyle=line, marker=marker)
            panel.ax.set_ylim(-0.02, 1.05)
            panel.ax.set_ylabel(panel.y("share of the atoms"))
            style.step_axis(panel.ax, steps_of(firsts), panel.x("training step"))
            panel.ax.set_title(training.label)
        style.legend(canvas, style.handles(looks.values()))

    wide, narrow = style.canvases(draw, len(firsts), 2.7)
    caption = (
        "Atoms found as peaks of the denoised field of their element, within 0.5 Å, and peaks that are no atoms, both "
        "as a share of the atoms. Shares above 1 are in the CSV file only."
    )
    ends = {n: {t.label: float(t.twirl["merit_value"].sel(merit=n)[-1]) for t in chosen} for n in names}
    text = f"At the last step the {names[0]} are {extremes(ends[names[0]])} of all. Others: "
    text += "; ".join(f"{n} {extremes(ends[n])}" for n in names[1:]) + "."
    return Figure("merits", wide, narrow, "Atoms found", caption, text, table)


def section(trainings: Sequence[Training]) -> Section:
    """Slices of the first seed of every run, and the metrics of all runs."""
    figures = [metrics(trainings), *tabbed([slices(t) for t in first_seeds(trainings)])]
    return Section(QUALITY, "fields", "Fields on grids", figures=[f for f in figures if f], open_figures=1)

"""The figure of the optimisation itself: loss and learning rate over updates."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..._typing import Sequence
from ..figures import style
from ..figures.curves import look_of, seeds_note
from ..figures.figure import Chart, Figure
from ..section import Section
from ..trainings import Training, by_run
from ..wording import column, say

BINS = 120  # points of a training curve


def training_curves(trainings: Sequence[Training]) -> Figure:
    """Loss and learning rate over updates, in bins that widen with the logarithm of the update."""
    groups = by_run(trainings)
    looks = {run: look_of(i) for i, run in enumerate(groups)}
    tables = {t.label: _binned(t) for t in trainings}
    table = pd.concat(tables.values(), ignore_index=True)
    low, high = "loss_q10 [1]", "loss_q90 [1]"

    def draw(canvas: Canvas, columns: int) -> None:
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        for run, seeds in groups.items():
            for training in seeds:
                colour, line, _ = looks[run]
                data, width = tables[training.label], 1.5 if training is seeds[0] else 0.8
                update = data["update [1]"]
                upper.fill_between(update, data[low], data[high], color=colour, alpha=0.14, linewidth=0)
                upper.plot(update, data[column("loss")], color=colour, linestyle=line, linewidth=width)
                lower.plot(update, data[column("learning_rate")], color=colour, linestyle=line, linewidth=width)
        style.log_axis(upper, table[[column("loss"), "loss_q10 [1]", "loss_q90 [1]"]], "training loss")
        style.log_axis(lower, table[column("learning_rate")], "learning\nrate", 4)
        style.step_axis(upper, table["update [1]"].to_numpy(), "")
        style.step_axis(lower, table["update [1]"].to_numpy(), "update")
        canvas.align_ylabels()
        handles = [Line2D([], [], color=c, linestyle=ls, label=r) for r, (c, ls, _) in looks.items()]
        spread = Patch(facecolor=style.GREY, alpha=0.3, linewidth=0, label="10 to 90 % of the batches")
        style.legend(canvas, [*handles, spread])

    wide, narrow = style.canvases(draw, 1, 4.0)
    caption = (
        "Training loss of the batches (above) and learning rate (below). Each point is the mean of the updates in a "
        f"bin; bins widen with the update, at most {BINS} of them." + seeds_note(groups)
    )
    text = "Training loss over updates."
    for label, data in tables.items():
        first, last = data[column("loss")].iloc[[0, -1]]
        text += f" {label}: from {say(first)} to {say(last)} in {data['update [1]'].iloc[-1]} updates."
    chart = Chart("update [1]", {"training loss": (column("loss"), low, high)}, "training loss")
    return Figure("training", wide, narrow, "Training loss and learning rate", caption, text, table, chart)


def _binned(training: Training) -> pd.DataFrame:
    """Mean and spread of the loss, and the last learning rate, in bins equal on a logarithmic axis."""
    count = training.train.sizes["update"]
    edges = np.unique(np.geomspace(1, count + 1, BINS + 1).round().astype(int)) - 1
    loss, rate = training.train["loss"].values.astype(float), training.train["learning_rate"].values
    bins = [slice(a, b) for a, b in itertools.pairwise(edges)]
    return pd.DataFrame(
        {
            "run": training.run,
            "seed": training.seed,
            "update [1]": edges[1:],
            column("loss"): [loss[b].mean() for b in bins],
            "loss_q10 [1]": [np.quantile(loss[b], 0.1) for b in bins],
            "loss_q90 [1]": [np.quantile(loss[b], 0.9) for b in bins],
            column("learning_rate"): [float(rate[b][-1]) for b in bins],
        }
    )


def section(trainings: Sequence[Training]) -> Section:
    """Loss and gradient norm of every update."""
    return Section("training", "Training", figures=[training_curves(trainings)])

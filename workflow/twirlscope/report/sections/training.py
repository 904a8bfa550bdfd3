"""The optimisation itself: training loss and learning rate over updates.

Question: did the training converge?
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Sequence
from ..figures import style
from ..figures.curves import run_looks
from ..figures.figure import Figure
from ..figures.marks import of_seed
from ..numbers import Column, Numbers, numbers, stored
from ..questions import RUNS
from ..section import Section
from ..trainings import Training, by_run
from ..wording import extremes, plural

BINS = 120  # most points of a training curve
COLUMNS = (
    *(Column(name, name, "1") for name in ("update", "loss_q10", "loss_q90")),
    *stored("loss", "learning_rate"),
)


# numbers


def binned(trainings: Sequence[Training]) -> Numbers:
    """Mean and spread of the loss, and the last learning rate, in bins equal on a logarithmic axis of updates."""
    return numbers(pd.concat([_binned(t) for t in trainings], ignore_index=True), COLUMNS)


def _binned(training: Training) -> pd.DataFrame:
    """The bins of one training."""
    count = training.train.sizes["update"]
    edges = np.unique(np.geomspace(1, count + 1, BINS + 1).round().astype(int)) - 1
    loss, rate = training.train["loss"].values.astype(float), training.train["learning_rate"].values
    bins = [slice(a, b) for a, b in itertools.pairwise(edges)]
    return pd.DataFrame(
        {
            "run": training.run,
            "seed": training.seed,
            "update": edges[1:],
            "loss": [loss[b].mean() for b in bins],
            "loss_q10": [np.quantile(loss[b], 0.1) for b in bins],
            "loss_q90": [np.quantile(loss[b], 0.9) for b in bins],
            "learning_rate": [float(rate[b][-1]) for b in bins],
        }
    )


# figures


def training_curves(trainings: Sequence[Training]) -> Figure:
    """Loss and learning rate over updates, in bins that widen with the logarithm of the update."""
    groups, table = by_run(trainings), binned(trainings)
    looks, rows = run_looks(groups), table.data
    curves = dict(list(rows.groupby(["run", "seed"], sort=False)))
    first = {run: seeds[0].seed for run, seeds in groups.items()}

    def draw(canvas: Canvas, columns: int) -> None:
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        for run, seed in sorted(curves, key=lambda name: list(groups).index(name[0])):
            part, update = curves[run, seed], curves[run, seed]["update"]
            settings = {"color": looks[run].colour, "linestyle": looks[run].line}
            settings["linewidth"] = 1.5 if seed == first[run] else 0.8
            spread = {"color": looks[run].colour, "alpha": 0.14, "linewidth": 0}
            with of_seed(upper, seed), of_seed(lower, seed):
                upper.fill_between(update, part["loss_q10"], part["loss_q90"], **spread)
                upper.plot(update, part["loss"], **settings)
                lower.plot(update, part["learning_rate"], **settings)
        style.log_axis(upper, rows[["loss", "loss_q10", "loss_q90"]], "training loss")
        style.log_axis(lower, rows["learning_rate"], "learning\nrate", 4)
        style.step_axis(upper, rows["update"].to_numpy(), "")
        style.step_axis(lower, rows["update"].to_numpy(), "update")
        canvas.align_ylabels()
        lines = [Line2D([], [], color=look.colour, linestyle=look.line, label=run) for run, look in looks.items()]
        style.legend(canvas, [*lines, style.band("10 to 90 % of the batches")])

    wide, narrow = style.canvases(draw, 1, 4.0)
    caption = (
        f"Training loss (above) and learning rate (below): means over the updates of at most {BINS} bins, which widen "
        "with the update. Bands: 10th to 90th percentile of the batches."
    )
    ends = {t.label: [curves[t.run, t.seed]["loss"].iloc[k] for k in (0, -1)] for t in trainings}
    fell = sum(last < first_loss for first_loss, last in ends.values())
    text = f"The training loss falls in {fell} of {plural(len(ends), 'training')}. "
    text += f"It ends at {extremes({name: last for name, (_, last) in ends.items()})}."
    title = "Training loss and learning rate"
    return Figure("training", wide, narrow, title, caption, text, table)


def section(trainings: Sequence[Training]) -> Section:
    """Loss and learning rate of every training."""
    return Section(RUNS, "training", "Training curves", figures=[training_curves(trainings)])

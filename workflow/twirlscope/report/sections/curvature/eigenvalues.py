"""Single eigenvalues: the largest and the most negative ones of both Hessians over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Sequence
from ...figures import style
from ...figures.curves import run_handles, run_looks
from ...figures.figure import Figure
from ...figures.marks import of_seed
from ...numbers import Column, Numbers, numbers, stored
from ...trainings import Training, by_run
from ...wording import extremes, plural
from .matrices import LOOKS

SIGNS = {"eigenvalue_top": 1, "eigenvalue_bottom": -1}
PANELS = [(end, part) for end in SIGNS for part in ("mean", "equiv")]
STORED = (
    *(f"{end}{word}" for end in SIGNS for word in ("", "_error", "_converged")),
    *("trace", "trace_error", "loss_value", "certificate_error"),
)


# numbers


def eigenvalue_numbers(trainings: Sequence[Training]) -> Numbers:
    """Eigenvalues at both ends with error bounds, trace, and the value of the loss: one row per rank."""
    parts = []
    for training in trainings:
        rows = training.hessian[[n for n in STORED if n in training.hessian]].to_dataframe().reset_index()
        rows["rank"] = rows["rank"] + 1
        parts.append(training.labelled(rows))
    columns = [*stored("step", *STORED), Column("rank", "rank", "1")]
    return numbers(pd.concat(parts, ignore_index=True), columns)


# figures


def eigenvalues(trainings: Sequence[Training]) -> Figure:
    """Eigenvalues at both ends of both Hessians over steps; a line connects the first rank."""
    groups, table = by_run(trainings), eigenvalue_numbers(trainings)
    looks = run_looks(groups)
    rows = table.data[table.data["curvature"] == "hessian"]
    drawn = {end: SIGNS[end] * rows[end] > rows[f"{end}_error"].fillna(0) for end in SIGNS}
    sizes = [SIGNS[end] * rows[end][drawn[end] & (rows["part"] == part)] for end, part in PANELS]
    steps = np.unique(table.data["step"])

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, (end, part) in zip(style.panels(canvas, len(PANELS), columns), PANELS, strict=True):
            for run, seeds in groups.items():
                for training in seeds:
                    data = training.hessian.sel(part=part, curvature="hessian")
                    with of_seed(panel.ax, training.seed):
                        _draw(panel.ax, data, end, looks[run], training is seeds[0])
            style.log_axis(panel.ax, pd.concat(sizes), panel.y("magnitude"))
            style.step_axis(panel.ax, steps, panel.x("training step"))
            panel.ax.set_title(f"{LOOKS[part].words}: {'largest' if SIGNS[end] > 0 else 'most negative'}")
        hollow = Line2D([], [], color=style.GREY, linestyle="", marker="o", markerfacecolor="white")
        hollow.set_label("not converged")
        style.legend(canvas, [*run_handles(groups), hollow])

    wide, narrow = style.canvases(draw, len(PANELS), 2.3, most=2)
    caption = (
        "Largest and most negative eigenvalues of the Hessian of each part. A line connects the first rank; smaller "
        "points are further ranks. Bars are bounds. Hollow: the bound is above a thousandth of the value."
    )
    last = {t.label: t.hessian.sel(curvature="hessian").isel(step=-1, rank=0)["eigenvalue_top"] for t in trainings}
    top = {part: {name: float(one.sel(part=part)) for name, one in last.items()} for part in ("mean", "equiv")}
    larger = sum(top["mean"][name] > top["equiv"][name] for name in last)
    text = f"The twirled prediction error has the larger eigenvalue at the end of {larger} of "
    text += f"{plural(len(last), 'training')}. It is {extremes(top['mean'])}, that of the equivariance error "
    text += f"{extremes(top['equiv'])}."
    title = "Largest and most negative Hessian eigenvalues"
    return Figure("eigenvalues", wide, narrow, title, caption, text, table)


def _draw(ax: Axes, data: xr.Dataset, end: str, look: style.Look, main: bool) -> None:
    """The eigenvalues at one end over training, without those of the other sign or within their bound of zero."""
    steps, values, errors = data["step"].values, SIGNS[end] * data[end].values, data[f"{end}_error"].values
    after, positive = steps > 0, np.where(values > np.nan_to_num(errors), values, np.nan)
    width = 1.5 if main else 0.8
    ax.plot(steps[after], positive[after, 0], color=look.colour, linestyle=look.line, linewidth=width)
    for rank in range(positive.shape[1]):
        size = (4.5 if main else 3) if rank == 0 else 2.2
        for sure, face in ((True, look.colour), (False, "white")):
            some = data[f"{end}_converged"].values[:, rank] == sure
            value, error = positive[some, rank], np.nan_to_num(errors[some, rank])
            bars = {"yerr": [np.minimum(error, np.nan_to_num(value) * (1 - 1e-9)), error], "elinewidth": 0.9}
            marks = {"color": look.colour, "markerfacecolor": face, "markersize": size}
            marks["alpha"] = 1.0 if rank == 0 else 0.55
            ax.errorbar(steps[some], value, fmt=look.marker, capsize=2 if rank == 0 else 0, **marks, **bars)

"""The figure of single eigenvalues: the largest and the most negative ones of both Hessians over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Sequence
from ...figures import style
from ...figures.curves import look_of, run_handles, seeds_note
from ...figures.figure import Chart, Figure
from ...trainings import Training, by_run
from ...wording import column, say
from .spectra import LOOKS, tail_note

ENDS = ("eigenvalue_top", "eigenvalue_bottom")
SIGNS = {"eigenvalue_top": 1, "eigenvalue_bottom": -1}
PANELS = [(end, part) for end in ENDS for part in ("mean", "equiv")]


def eigenvalue_table(trainings: Sequence[Training]) -> pd.DataFrame:
    """Eigenvalues at both ends with their error bounds, trace, and the loss they belong to, one row a rank."""
    names = [f"{end}{word}" for end in ENDS for word in ("", "_error", "_converged")]
    names += ["trace", "trace_error", "loss_value", "certificate_error"]
    parts = []
    for training in trainings:
        table = training.hessian[[n for n in names if n in training.hessian]].to_dataframe().reset_index()
        table["rank"] = table["rank"] + 1
        parts.append(table.rename(columns={n: column(n) for n in [*names, "step"]} | {"rank": "rank [1]"}))
        parts[-1].insert(0, "run", training.run)
        parts[-1].insert(1, "seed", training.seed)
    return pd.concat(parts, ignore_index=True)


def eigenvalues(trainings: Sequence[Training]) -> Figure:
    """Eigenvalues at both ends of both Hessians over steps, unconverged ones hollow; a line joins the first rank."""
    groups = by_run(trainings)
    table = eigenvalue_table(trainings)
    drawn = table[table["curvature"] == "hessian"]
    sizes = [SIGNS[end] * drawn[column(end)][drawn["part"] == part] for end, part in PANELS]
    steps = np.unique(table[column("step")])

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, (end, part)) in enumerate(zip(style.grid(canvas, len(PANELS), columns), PANELS, strict=True)):
            for j, seeds in enumerate(groups.values()):
                for training in seeds:
                    data = training.hessian.sel(part=part, curvature="hessian")
                    _curves(ax, data, end, look_of(j), training is seeds[0])
            style.log_axis(ax, pd.concat(sizes), "magnitude" if i % columns == 0 else "")
            style.step_axis(ax, steps, "training step" if i >= len(PANELS) - columns else "")
            ax.set_title(f"{LOOKS[part][2]}: {'largest' if SIGNS[end] > 0 else 'most negative'}")
        hollow = [Line2D([], [], color=style.GREY, linestyle="", marker="o", markerfacecolor="white")]
        hollow[0].set_label("not converged")
        style.legend(canvas, run_handles(groups) + hollow)

    wide, narrow = style.canvases(draw, len(PANELS), 2.3, most=2)
    caption = (
        "Largest and most negative eigenvalues of the Hessian of each part of the loss over training; a line joins the "
        "first rank, smaller points are further ranks. Error bars are the residual bounds of the Lanczos run; where a "
        "bound is above a thousandth of the value the point is hollow and no eigenvalue yet. Values of the other sign "
        "are in the table only." + seeds_note(groups) + tail_note(trainings[0].hessian)
    )
    text = "Hessian eigenvalues at both ends. " + " ".join(_words(t) for t in trainings)
    series = {"largest eigenvalue": (column("eigenvalue_top"), column("eigenvalue_top_error"))}
    chart = Chart(column("step"), series, "largest eigenvalue", by=("part", "rank [1]"), panel=("run", "curvature"))
    title = "Largest and most negative Hessian eigenvalues"
    return Figure("eigenvalues", wide, narrow, title, caption, text, table, chart)


def _curves(ax: Axes, data: xr.Dataset, end: str, look: tuple, main: bool) -> None:
    """One end of one spectrum over training; values of the other sign are left out."""
    colour, line, marker = look
    steps, values, errors = data["step"].values, SIGNS[end] * data[end].values, data[f"{end}_error"].values
    after, shown = steps > 0, np.where(values > 0, values, np.nan)
    ax.plot(steps[after], shown[after, 0], color=colour, linestyle=line, linewidth=1.5 if main else 0.8)
    for rank in range(shown.shape[1]):
        size = (4.5 if main else 3) if rank == 0 else 2.2
        for sure, face in ((True, colour), (False, "white")):
            some = data[f"{end}_converged"].values[:, rank] == sure
            value, error = shown[some, rank], np.nan_to_num(errors[some, rank])
            bars = {"yerr": [np.minimum(error, np.nan_to_num(value) * (1 - 1e-9)), error], "elinewidth": 0.9}
            look = {"color": colour, "markerfacecolor": face, "markersize": size, "alpha": 1.0 if rank == 0 else 0.55}
            ax.errorbar(steps[some], value, fmt=marker, capsize=2 if rank == 0 else 0, **look, **bars)


def _words(training: Training) -> str:
    """Both ends at the last checkpoint."""
    data = training.hessian.sel(curvature="hessian").isel(step=-1, rank=0)
    said = []
    for part in data["part"].values:
        one = data.sel(part=part)
        doubt = {end: "" if one[f"{end}_converged"] else " (not converged)" for end in ENDS}
        ends = [say(float(one[end])) + doubt[end] for end in ENDS]
        said.append(f"{LOOKS[str(part)][2]} from {ends[1]} to {ends[0]}")
    return f"{training.label}, step {int(data['step'])}: {'; '.join(said)}."

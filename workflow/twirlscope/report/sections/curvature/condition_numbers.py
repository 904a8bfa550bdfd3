"""The figure of condition numbers over training, both parts, each number with its definition and both error bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...figures import style
from ...figures.figure import Chart, Figure
from ...trainings import Training
from ...wording import column, say
from .spectra import LOOKS, MATRICES, tail_note

SHOWN = {"kappa_E90": "κ_E90", "kappa_GD10": "κ_GD10", "effective_rank": "effective rank"}
NAMES = ("condition", "condition_error", "condition_depth_bias", "condition_converged")


def conditions(training: Training, name: str) -> Figure:
    """Condition numbers of both parts over training: a row a matrix, a column a definition.

    Args:
        training: with a `hessian`.
        name: of the files.
    """
    data = training.hessian.sel(side="absolute")
    panels = [(c, m) for c in data["curvature"].values for m in SHOWN]
    steps, shown = data["step"].values, data.sel(measure=list(SHOWN))
    half = (shown["condition"] - shown["condition_depth_bias"]).values
    values = np.concatenate([v.ravel() for v in (shown["condition"].values, half, shown["condition_replicate"].values)])

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, (matrix, measure)) in enumerate(zip(style.grid(canvas, len(panels), columns), panels, strict=True)):
            for j, part in enumerate(data["part"].values):
                one = data.sel(curvature=matrix, measure=measure, part=part)
                _course(ax, one, LOOKS[str(part)], style.MARKERS[j])
            style.log_axis(ax, values, "condition number\nor rank" if i % columns == 0 else "")
            style.step_axis(ax, steps, "training step" if i >= len(panels) - columns else "")
            ax.set_title(f"{SHOWN[measure]}, {MATRICES[str(matrix)]}")
        style.legend(canvas, _handles(data))

    wide, narrow = style.canvases(draw, len(panels), 2.3)
    text = f"Condition numbers of {training.label}. " + " ".join(_words(data, i) for i in range(data.sizes["step"]))
    title = f"Condition numbers: {training.label}"
    series = {"condition number": (column("condition"), column("condition_error"))}
    by = {"by": ("part",), "panel": ("measure", "curvature", "side")}
    chart = Chart(column("step"), series, "condition number or rank", **by)
    return Figure(name, wide, narrow, title, _caption(training, data), text, _table(training), chart)


def _course(ax: Axes, one: xr.Dataset, look: tuple, marker: str) -> None:
    """One number over training: standard error as bars, the half-depth value at the end of a thin line."""
    colour, line, _ = look
    steps, value, sure = one["step"].values, one["condition"].values, one["condition_converged"].values
    error, bias = np.nan_to_num(one["condition_error"].values), one["condition_depth_bias"].values
    ax.plot(steps[steps > 0], value[steps > 0], color=colour, linestyle=line, linewidth=1.2)
    ax.vlines(steps, value, value - bias, color=colour, linewidth=0.8, alpha=0.6)
    ax.plot(steps, value - bias, color=colour, linestyle="", marker="_", markersize=6, alpha=0.6)
    for known, face in ((True, colour), (False, "white")):
        some = sure == known
        bars = {"yerr": [np.minimum(error, 0.999 * np.nan_to_num(value))[some], error[some]], "capsize": 2}
        ax.errorbar(steps[some], value[some], fmt=marker, color=colour, markerfacecolor=face, markersize=4.5, **bars)
    for half in one["condition_replicate"].values.T:
        ax.plot(steps, half, color=colour, linestyle="", marker=".", markersize=3, alpha=0.7)


def _handles(data: xr.Dataset) -> list[Line2D]:
    parts = [
        Line2D([], [], color=LOOKS[p][0], linestyle=LOOKS[p][1], marker=style.MARKERS[i], label=LOOKS[p][2])
        for i, p in enumerate(data["part"].values.tolist())
    ]
    grey = {"color": style.GREY, "linestyle": ""}
    marks = [
        Line2D([], [], marker="o", markerfacecolor="white", label="not converged", **grey),
        Line2D([], [], marker="_", label="at half the depth", **grey),
        Line2D([], [], marker=".", markersize=3, label="half of the samples, half the depth", **grey),
    ]
    return parts + marks


def _caption(training: Training, data: xr.Dataset) -> str:
    definitions = {str(m): str(d) for m, d in zip(data["measure"].values, data["definition"].values, strict=True)}
    said = "; ".join(f"{SHOWN[m]}, {definitions[m]}" for m in SHOWN)
    return (
        f"{training.label}: condition numbers of the curvature of each part of the loss. {said}. All count eigenvalues "
        "by magnitude and leave out zeros. Bars: standard error over probes, where there are three or more. Thin "
        "lines lead to the value at half the depth of the Lanczos run; where that is more than 15 % away, the number "
        "has not converged and its point is hollow. Dots: the same on each half of the samples at half the depth, to "
        "be compared with the ends of the thin lines." + _rank_note(data) + tail_note(data)
    )


def _rank_note(data: xr.Dataset) -> str:
    """How many eigenvalues the numbers speak of, beside how many the Gauss-Newton matrix can have."""
    if "gauss_newton" not in data["curvature"].values:
        return ""
    count = data["condition"].sel(measure="count_E90", curvature="gauss_newton").max("step")
    said, short = [], False
    for part in data["part"].values:
        used, bound = float(count.sel(part=part)), int(data["rank_bound"].sel(part=part))
        if np.isfinite(used):
            said.append(f"{used:.0f} of at most {bound} eigenvalues for the {LOOKS[str(part)][2]}")
            short |= bound < 3 * used
    text = f" Nine tenths of the trace of the Gauss-Newton matrix lie in {' and in '.join(said)}: its rank is bounded "
    text += "by the predictions on these samples."
    return text + (" That is less than three times as many: more samples would change the numbers." if short else "")


def _words(data: xr.Dataset, place: int) -> str:
    """The numbers of a checkpoint, for the Hessian."""
    one = data.isel(step=place).sel(curvature="hessian")
    said = []
    for measure, name in SHOWN.items():
        parts = [f"{LOOKS[str(p)][2]} {_number(one.sel(part=p, measure=measure))}" for p in one["part"].values]
        said.append(f"{name}: {', '.join(parts)}")
    return f"Step {int(one['step'])}, Hessian: {'; '.join(said)}."


def _number(one: xr.Dataset) -> str:
    error = float(one["condition_error"])
    text = say(float(one["condition"])) + (f" ± {error:.2g}" if np.isfinite(error) else "")
    return text + ("" if one["condition_converged"] else " (not converged)")


def _table(training: Training) -> pd.DataFrame:
    """Every number of every matrix, side and part, with the ratio of the parts and the definition."""
    data = training.hessian
    table = data[list(NAMES)].to_dataframe()
    for i, half in enumerate(data["replicate"].values):
        table[f"{half}_half"] = data["condition_replicate"].isel(replicate=i, drop=True).to_series()
    ratio = data[["condition_ratio", "condition_ratio_low", "condition_ratio_high"]].to_dataframe()
    table = table.reset_index().merge(ratio.reset_index(), on=["step", "curvature", "side", "measure"], how="left")
    table["definition"] = table["measure"].map(data["definition"].to_series())
    table = table.rename(columns={n: column(n) for n in ("step", *NAMES, *ratio)})
    table.insert(0, "run", training.run)
    table.insert(1, "seed", training.seed)
    return table

"""Condition numbers of both parts of the loss over training, each with its definition and its errors."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...figures import style
from ...figures.figure import Figure
from ...numbers import Numbers, numbers, stored
from ...trainings import Training
from ...wording import extremes, say
from .matrices import LOOKS, MATRICES, tail_note

SHOWN = {"kappa_E90": "κ_E90", "kappa_GD10": "κ_GD10", "effective_rank": "effective rank"}
NAMES = ("condition", "condition_error", "condition_depth_bias", "condition_converged")
RATIOS = ("condition_ratio", "condition_ratio_low", "condition_ratio_high")
NOT_CONVERGED = "not converged"


# numbers


def condition_numbers_of(training: Training) -> Numbers:
    """Every number of every matrix, side and part, with the ratio of the parts and the definition.

    A number that has not converged has no standard error, and no ratio: the note says so.
    """
    data = training.hessian
    data = data.assign({name: data[name].where(ratio_converged(data)) for name in RATIOS})
    data["condition_error"] = data["condition_error"].where(data["condition_converged"])
    rows = data[list(NAMES)].to_dataframe()
    for i, group in enumerate(data["replicate"].values):
        rows[str(group).replace(" ", "_")] = data["condition_replicate"].isel(replicate=i, drop=True).to_series()
    ratio = data[list(RATIOS)].to_dataframe().reset_index()
    rows = rows.reset_index().merge(ratio, on=["step", "curvature", "side", "measure"], how="left")
    rows["note"] = np.where(rows["condition_converged"], "", NOT_CONVERGED)
    rows["definition"] = rows["measure"].map(data["definition"].to_series())
    return numbers(training.labelled(rows), stored("step", *NAMES, *RATIOS))


def ratio_converged(data: xr.Dataset) -> xr.DataArray:
    """True where both numbers of a ratio have converged."""
    mean = "mean_plugin" if "mean_plugin" in data["part"].values else "mean"
    return data["condition_converged"].sel(part=[mean, "equiv"]).all("part")


def any_converged(training: Training) -> bool:
    """True if one of the numbers shown has converged at some checkpoint."""
    shown = training.hessian["condition_converged"].sel(side="absolute", measure=list(SHOWN))
    return bool(shown.any())


# sentences


def number_words(one: xr.Dataset) -> str:
    """A condition number with its standard error over probes; no value of one that has not converged."""
    if not one["condition_converged"]:
        return NOT_CONVERGED
    error = float(one["condition_error"])
    return say(float(one["condition"])) + (f" ± {error:.2g}" if error > 0 else "")  # NaN: too few probes, 0: exact


def _rank_note(data: xr.Dataset) -> str:
    """The number of eigenvalues that the numbers depend on, beside the rank that the Gauss-Newton matrix can have."""
    if "gauss_newton" not in data["curvature"].values:
        return ""
    count = data["condition"].sel(measure="count_E90", curvature="gauss_newton").max("step")
    parts, few = [], False
    for part in data["part"].values:
        used, bound = float(count.sel(part=part)), int(data["rank_bound"].sel(part=part))
        if np.isfinite(used):
            parts.append(f"{used:.0f} of at most {bound} eigenvalues for the {LOOKS[str(part)].words}")
            few |= bound < 3 * used
    text = f" Nine tenths of the trace of the Gauss-Newton matrix lie in {' and in '.join(parts)}: its rank is bounded "
    text += "by the predictions on these samples."
    return text + (" That is less than three times as many: more samples would change the numbers." if few else "")


def _words(data: xr.Dataset) -> str:
    """The part with the larger κ_E90 of the Hessian at the last checkpoint, and the range of all converged numbers."""
    one = data.isel(step=-1).sel(curvature="hessian", measure=list(SHOWN))
    known = one["condition"].where(one["condition_converged"])
    values = {
        f"{SHOWN[str(m)]}, {LOOKS[str(p)].words}": float(known.sel(measure=m, part=p))
        for m in one["measure"].values
        for p in one["part"].values
    }
    first = {name: v for name, v in values.items() if name.startswith("κ_E90") and np.isfinite(v)}
    top = max(first, key=first.get).split(", ")[1] if first else "neither part, which have not converged,"
    return f"At the last step {top} has the larger κ_E90. Converged numbers are {extremes(values)}."


# figures


def conditions(training: Training, name: str) -> Figure:
    """Condition numbers of both parts over training: one row per matrix, one column per definition.

    Args:
        training: with a `hessian`.
        name: of the files.
    """
    data = training.hessian.sel(side="absolute")
    contents = [(str(c), m) for c in data["curvature"].values for m in SHOWN]
    steps, shown = data["step"].values, data.sel(measure=list(SHOWN))
    half = (shown["condition"] - shown["condition_depth_bias"]).values
    values = np.concatenate([v.ravel() for v in (shown["condition"].values, half, shown["condition_replicate"].values)])

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(contents), columns)
        for panel, (matrix, measure) in zip(panels, contents, strict=True):
            for look, part in zip(_looks(data), data["part"].values, strict=True):
                _draw(panel.ax, data.sel(curvature=matrix, measure=measure, part=part), look)
            style.log_axis(panel.ax, values, panel.y("condition number\nor rank"))
            style.step_axis(panel.ax, steps, panel.x("training step"))
            panel.ax.set_title(f"{SHOWN[measure]}, {MATRICES[matrix]}")
        style.legend(canvas, _handles(data))

    wide, narrow = style.canvases(draw, len(contents), 2.3)
    text = _words(data)
    title = f"Condition numbers: {training.label}"
    return Figure(name, wide, narrow, title, _caption(training), text, condition_numbers_of(training))


def _looks(data: xr.Dataset) -> list[style.Look]:
    """The looks of the parts, with markers."""
    return [LOOKS[p]._replace(marker=style.MARKERS[i]) for i, p in enumerate(map(str, data["part"].values))]


def _draw(ax: Axes, one: xr.Dataset, look: style.Look) -> None:
    """One number over training: standard error as bars, the half-depth value at the end of a thin line.

    A number that has not converged is a hollow point, without a bar.
    """
    colour = look.colour
    steps, value, sure = one["step"].values, one["condition"].values, one["condition_converged"].values
    error, bias = np.nan_to_num(one["condition_error"].values), one["condition_depth_bias"].values
    ax.plot(steps[steps > 0], value[steps > 0], color=colour, linestyle=look.line, linewidth=1.2)
    ax.vlines(steps, value, value - bias, color=colour, linewidth=0.8, alpha=0.6)
    ax.plot(steps, value - bias, color=colour, linestyle="", marker="_", markersize=6, alpha=0.6)
    for known, face in ((True, colour), (False, "white")):
        some = sure == known
        yerr = [np.minimum(error, 0.999 * np.nan_to_num(value))[some], error[some]]
        bars = {"yerr": yerr, "capsize": 2} if known else {}
        marks = {"fmt": look.marker, "color": colour, "markerfacecolor": face, "markersize": 4.5}
        ax.errorbar(steps[some], value[some], **marks, **bars)
    for group in one["condition_replicate"].values.T:
        ax.plot(steps, group, color=colour, linestyle="", marker=".", markersize=3, alpha=0.7)


def _handles(data: xr.Dataset) -> list[Line2D]:
    grey = {"color": style.GREY, "linestyle": ""}
    return [
        *style.handles(_looks(data)),
        Line2D([], [], marker="o", markerfacecolor="white", label=NOT_CONVERGED, **grey),
        Line2D([], [], marker="_", label="at half the depth", **grey),
        Line2D([], [], marker=".", markersize=3, label="a group of the samples, half the depth", **grey),
    ]


def _caption(training: Training) -> str:
    return (
        f"{training.label}: condition numbers of the curvature of each part, by magnitude and without zeros. Bars: "
        "standard error over probes. Hollow: not converged. Thin lines: change since half the depth. Dots: groups of "
        "the samples at half the depth."
    )


def remarks(training: Training) -> list[str]:
    """Definitions of the numbers, the rank that they depend on, and the tail of a corrected part, in sentences."""
    data = training.hessian.sel(side="absolute")
    definitions = {str(m): str(d) for m, d in zip(data["measure"].values, data["definition"].values, strict=True)}
    defined = "; ".join(f"{SHOWN[m]}, {definitions[m]}" for m in SHOWN)
    found = [
        f"{training.label}: {defined}. A number has not converged if the interval over probes and the change since "
        "half and three quarters of the depth are together above 15 %.",
        _rank_note(data).strip(),
        tail_note(data),
    ]
    return [text for text in found if text]

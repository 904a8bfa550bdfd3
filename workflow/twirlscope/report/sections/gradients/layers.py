"""Gradients by layer: the ratio of the squared gradients of the two parts at a few checkpoints."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ...._typing import Array, Bool, Sequence
from ....settings.steps import evenly_spaced
from ...figures import style
from ...figures.figure import Figure
from ...numbers import Column, Numbers, numbers, stored
from ...trainings import Training
from ...wording import extremes
from .lines import WHOLE, resolved

CHECKPOINTS = 4
NAME = "gradient_square_ratio"
STORED = (NAME, "gradient_cosine", "update_share")
SQUARES = ("gradient_square", "gradient_square_error")


# numbers


def some_checkpoints(data: xr.Dataset) -> xr.Dataset:
    """A few checkpoints, evenly spaced, first and last included."""
    return data.isel(step=evenly_spaced(range(data.sizes["step"]), CHECKPOINTS))


def layer_numbers(training: Training) -> Numbers:
    """Ratio and squared norms of both gradients, share of the update: one row per checkpoint and layer."""
    data, names = training.gradient, [n for name in STORED for n in (name, f"{name}_error")]
    steps, layers = (data[n].values for n in ("step", "layer"))
    columns = {"step": np.repeat(steps, len(layers)), "layer": np.tile(layers.astype(object), len(steps))}
    columns |= {n: data[n].values.ravel() for n in names}
    squares = {f"{n}_{part}": data[n].sel(part=part).values.ravel() for part in ("mean", "equiv") for n in SQUARES}
    described = [*stored("step", *names), *(Column(n, n, "1") for n in squares)]
    return numbers(training.labelled(pd.DataFrame(columns | squares)), described)


# sentences


def _words(data: xr.Dataset, solid: Bool[Array, "step layer"]) -> str:
    """The layer with the largest ratio at the last checkpoint above its noise, and the range over layers."""
    solid = solid & (data["layer"] != WHOLE).values
    if not solid.any():
        return f"No ratio is above its noise at any of {data.sizes['step']} checkpoints. There is no range."
    i = int(np.flatnonzero(solid.any(1))[-1])
    one = data[NAME].isel(step=i)[solid[i]]
    ratios = {str(one["layer"].values[k]): float(one[k]) for k in range(one.size)}
    text = f"At step {int(data['step'][i])} the layer {max(ratios, key=ratios.get)} has the largest ratio. "
    return f"{text}Ratios above their noise are {extremes(ratios)}."


# figures


def layers(training: Training, name: str) -> Figure:
    """Ratio of squared gradients by layer at a few checkpoints.

    Args:
        name: of the files.
    """
    data = some_checkpoints(training.gradient)
    steps, names = [int(s) for s in data["step"].values], [str(n) for n in data["layer"].values]
    value, error = data[NAME].values, data[f"{NAME}_error"].values
    value = np.where(value > 0, value, np.nan)  # a logarithmic axis has no others
    solid = resolved(data, "gradient_square", "mean", "equiv") & np.isfinite(value)
    looks = [look._replace(line="none") for look in style.shades(f"step {s}" for s in steps)]

    def draw(canvas: Canvas, _: int) -> None:
        ax = canvas.subplots()
        for i, look in enumerate(looks):
            y = np.arange(len(names)) + 0.16 * (i - (len(steps) - 1) / 2)
            sure = np.where(solid[i], value[i], np.nan)
            bars = np.nan_to_num([np.minimum(error[i], sure * (1 - 1e-9)), error[i]])
            ax.errorbar(sure, y, xerr=bars, fmt="none", ecolor=look.colour, elinewidth=0.8, alpha=0.45)
            for mask, face in ((solid[i], look.colour), (~solid[i], "white")):
                settings = {"color": look.colour, "markerfacecolor": face, "linestyle": "none"}
                ax.plot(value[i][mask], y[mask], look.marker, **settings)
        _axes(ax, value[solid] if solid.any() else value, names)
        style.legend(canvas, style.handles(looks))

    wide, narrow = style.canvases(draw, 1, 0.9 + 0.24 * len(names))
    caption = (
        "Squared norm of the gradient of the equivariance error over that of the twirled prediction error, by layer. "
        "Hollow: one of the two is within two standard errors of zero."
    )
    title = f"Gradients by layer: {training.label}"
    numbers_ = layer_numbers(training)
    return Figure(name, wide, narrow, title, caption, _words(data, solid), numbers_, tab=training.label)


def _axes(ax: Axes, value: Array, names: Sequence[str]) -> None:
    """Layers from top to bottom, the ratio on a logarithmic axis."""
    seen = value[np.isfinite(value)]
    low, high = (seen.min() / 3, seen.max() * 3) if len(seen) else (0.1, 10.0)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = style.log_ticks(low, high, 6)
    style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], "|∇L_equiv|² / |∇L_mean|²")
    ax.set_ylim(len(names) - 0.4, -0.6)
    style.set_ticks(ax.yaxis, [float(i) for i in range(len(names))], names, [], "")
    ax.axhline(0.5, color=style.GREY, linewidth=0.8)  # below `whole`
    ax.axvline(1, color=style.GREY, linestyle=":", linewidth=1)

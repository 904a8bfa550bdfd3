"""The figure of gradients by layer: where in the network the pull towards symmetry acts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Array, Bool, Sequence
from ...figures import style
from ...figures.figure import Figure
from ...trainings import Training
from ...wording import column, say
from .direction import resolved
from .norms import WHOLE, samples_note

CHECKPOINTS = 4
NAME = "gradient_square_ratio"
COLOURS = (style.SKY, style.BLUE, style.ORANGE, style.RED)


def chosen(data: xr.Dataset) -> xr.Dataset:
    """A few checkpoints, evenly spread over those there are, first and last included."""
    count = data.sizes["step"]
    return data.isel(step=np.unique(np.linspace(0, count - 1, CHECKPOINTS).round().astype(int)))


def layers(training: Training, name: str) -> Figure:
    """Ratio of squared gradients by layer at a few checkpoints."""
    data = chosen(training.gradient)
    steps, names = [int(s) for s in data["step"].values], [str(n) for n in data["layer"].values]
    value, error = data[NAME].values, data[f"{NAME}_error"].values
    value = np.where(value > 0, value, np.nan)  # of the others there is nothing on a logarithmic axis
    solid = resolved(data, "gradient_square", "mean", "equiv") & np.isfinite(value)

    def draw(canvas: Canvas, _: int) -> None:
        ax = canvas.subplots()
        for i, colour in enumerate(COLOURS[: len(steps)]):
            y = np.arange(len(names)) + 0.16 * (i - (len(steps) - 1) / 2)
            sure = np.where(solid[i], value[i], np.nan)
            bars = np.nan_to_num([np.minimum(error[i], sure * (1 - 1e-9)), error[i]])
            ax.errorbar(sure, y, xerr=bars, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.45)
            for mask, face in ((solid[i], colour), (~solid[i], "white")):
                looks = {"color": colour, "markerfacecolor": face, "linestyle": "none"}
                ax.plot(value[i][mask], y[mask], style.MARKERS[i], **looks)
        _axes(ax, value[solid] if solid.any() else value, names)
        looks = zip(steps, COLOURS, style.MARKERS, strict=False)
        style.legend(
            canvas, [Line2D([], [], color=c, marker=m, linestyle="none", label=f"step {s}") for s, c, m in looks]
        )

    wide, narrow = style.canvases(draw, 1, 0.9 + 0.24 * len(names))
    caption = (
        f"{training.label}: squared norm of the gradient of the equivariance error over that of the twirled prediction "
        "error, by layer, at a few checkpoints. A layer is a module that owns parameters, its path cut after the first "
        "names (gradient.layer_depth). Bars: one standard error, jackknife over batches; hollow points, "
        "without bars: one of the two squares is within two of zero; those off the axis are in the table only."
    )
    caption += samples_note([training])
    title = f"Gradients by layer: {training.label}"
    text = f"{title}. " + " ".join(_words(data, i, solid[i]) for i in range(len(steps)))
    return Figure(name, wide, narrow, title, caption, text, layer_table(training))


def _axes(ax: Axes, value: Array, names: Sequence[str]) -> None:
    """Layers from top to bottom, the ratio on a logarithmic axis."""
    shown = value[np.isfinite(value)]
    low, high = (shown.min() / 3, shown.max() * 3) if len(shown) else (0.1, 10.0)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = style.log_ticks(low, high, 6)
    style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], "|∇L_equiv|² / |∇L_mean|²")
    ax.set_ylim(len(names) - 0.4, -0.6)
    style.set_ticks(ax.yaxis, [float(i) for i in range(len(names))], names, [], "")
    ax.axhline(0.5, color=style.GREY, linewidth=0.8)  # below `whole`
    ax.axvline(1, color=style.GREY, linestyle=":", linewidth=1)


def _words(data: xr.Dataset, i: int, solid: Bool[Array, " layer"]) -> str:
    """The layers with the smallest and the largest ratio at a checkpoint, of those above their noise."""
    one = data[NAME].isel(step=i)[solid & (data["layer"] != WHOLE).values]
    step = int(data["step"][i])
    if not one.size:
        return f"Step {step}: no ratio is above its noise."
    ends = (one[int(f(one.values))] for f in (np.argmin, np.argmax))
    return f"Step {step}: from " + " to ".join(f"{say(float(e))} in {e['layer'].item()}" for e in ends) + "."


def layer_table(training: Training) -> pd.DataFrame:
    """Squared norms of both gradients, their ratio and the share of the update, one row a checkpoint and layer."""
    names = ["gradient_square", NAME, "gradient_cosine", "update_share"]
    data = training.gradient[[n for name in names for n in (name, f"{name}_error")]]
    flat = data.drop_vars(["gradient_square", "gradient_square_error"])
    columns = {column(n): flat[n].values.ravel() for n in flat.data_vars}
    for part in ("mean", "equiv"):
        for n in ("gradient_square", "gradient_square_error"):
            columns[f"{n}_{part} [1]"] = data[n].sel(part=part).values.ravel()
    steps, layers = (data[n].values for n in ("step", "layer"))
    head = {"run": training.run, "seed": training.seed, column("step"): np.repeat(steps, len(layers))}
    return pd.DataFrame(head | {"layer": np.tile(layers.astype(object), len(steps))} | columns)

"""Lines of gradient statistics over checkpoints, with errors, bounds, and remarks for captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from ...._typing import Array, Bool, Float, Int, Sequence
from ....estimators.gradient_statistics import RESOLVED, above_noise
from ...figures.style import Look
from ...numbers import Numbers, numbers, stored
from ...trainings import Training

WHOLE = "whole"  # name of all layers together


@dataclass(frozen=True)
class Line:
    """A variable at every checkpoint, with its standard error.

    solid: True where the value, or its divisor, is above its noise.
    bound: drawn as an arrow in place of a value that is not solid, on a logarithmic axis; NaN draws nothing.
    upwards: True for a lower bound.
    """

    look: Look
    step: Int[Array, " step"]
    value: Float[Array, " step"]
    error: Float[Array, " step"]
    solid: Bool[Array, " step"]
    bound: Float[Array, " step"]
    upwards: bool = True

    @property
    def arrow(self) -> tuple[Float[Array, " step"], Float[Array, " step"]]:
        """Start and end of the arrows; NaN where there is none."""
        start = np.where(~self.solid & (self.bound > 0), self.bound, np.nan)
        return start, start * (1.9 if self.upwards else 0.5)


def whole(training: Training) -> xr.Dataset:
    """The gradients of a training, all layers together."""
    return training.gradient.sel(layer=WHOLE)


def gradient_numbers(trainings: Sequence[Training], names: Sequence[str]) -> Numbers:
    """The variables named and their errors, all layers together, one row per checkpoint (and part)."""
    both = [n for name in names for n in (name, f"{name}_error")]
    parts = [t.labelled(whole(t)[both].reset_coords(drop=True).to_dataframe().reset_index()) for t in trainings]
    return numbers(pd.concat(parts, ignore_index=True), stored("step", *both))


def resolved(data: xr.Dataset, name: str, *parts: str) -> Bool[Array, "*b"]:
    """True where the magnitude of a variable is above its noise for all these parts of the loss."""
    value, error = (data[n].sel(part=list(parts)).transpose(..., "part").values for n in (name, f"{name}_error"))
    return above_noise(np.abs(value), error).all(-1)


def divided(data: xr.Dataset, name: str, look: Look, part: str, dividend: Float[Array, " step"]) -> Line:
    """The line of a variable that is `dividend` over the squared norm of the gradient of a part."""
    one = data.sel(part=part)
    square, error = one["gradient_square"].values, one["gradient_square_error"].values
    bound = dividend / np.where(square + RESOLVED * error > 0, square + RESOLVED * error, np.nan)
    return Line(look, *(one[n].values for n in ("step", name, f"{name}_error")), above_noise(square, error), bound)


def draw_line(ax: Axes, line: Line, main: bool, logarithmic: bool) -> None:
    """Markers with error bars, connected where solid; step 0, left of the break, is not connected.

    On a logarithmic axis values at or below zero are left out, and values that are not solid are drawn as bounds.
    """
    colour, dashes, marker = line.look[:3]
    steps, value, error = line.step, line.value, np.nan_to_num(line.error)
    solid = line.solid & np.isfinite(line.error)
    low, hollow = error, ~solid
    if logarithmic:
        value, hollow = np.where(solid & (value > 0), value, np.nan), hollow & False
        low = np.minimum(error, np.nan_to_num(value) * (1 - 1e-9))
        start, end = line.arrow
        bars = {"yerr": np.abs(end - start), "lolims": line.upwards, "uplims": not line.upwards}
        ax.errorbar(steps, start, **bars, fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.7)
    connected = np.where(solid & (steps > 0), value, np.nan)
    size = 4 if main else 2.6
    ax.plot(steps, connected, color=colour, linestyle=dashes, linewidth=1.3 if main else 0.7)
    ax.errorbar(steps, value, [low, error], fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.45)
    for mask, face in ((solid, colour), (hollow, "white")):
        settings = {"color": colour, "markerfacecolor": face, "markersize": size, "linestyle": "none"}
        ax.plot(steps[mask], value[mask], marker, **settings)


def samples_note(trainings: Sequence[Training]) -> str:
    """The samples, rotations and weights of all gradients, in a sentence."""
    kinds = dict.fromkeys(
        f"{a['batches']} independent batches of {a['samples'] // a['batches']} samples of the split {a['split']}, "
        f"{a['rotations']} rotations per sample; weights: {a['weights']}"
        for a in (t.gradient.attrs for t in trainings)
    )
    return f"Gradients are measured on {'; or '.join(kinds)}. Bars: one standard error, jackknife over batches."


def last_values(trainings: Sequence[Training], name: str, part: str | None = None) -> dict[str, float]:
    """A variable at the last checkpoint, by training."""
    every = {t.label: whole(t)[name] for t in trainings}
    return {label: float((data if part is None else data.sel(part=part))[-1]) for label, data in every.items()}

"""Densities of the eigenvalues of both parts of the loss, by Lanczos quadrature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Array, Float, Mapping
from ....estimators.bootstrap import standard_error
from ....estimators.curvature.eigenvalues import density, symlog_grid
from ...figures import style
from ...figures.figure import Figure
from ...numbers import Column, Numbers, numbers, stored
from ...trainings import Training
from ...wording import extremes, say
from .matrices import LOOKS, MATRICES

DECADES = 6  # of the logarithmic axis on each side of zero; nearer to zero the axis is linear
WIDTH = 0.8  # of the Gaussian at each node, in units of asinh(lambda / linear): a third of a decade
MARGIN = 5  # end of the axis over the largest magnitude
LEAST = 1e-7  # smallest density on the axis
BULK = 1e-3  # of the largest magnitude: eigenvalues below are the bulk
COLUMNS = (
    *stored("step"),
    Column("eigenvalue", "eigenvalue", "1"),
    Column("mean", "density", "1"),
    Column("error", "density_error", "1"),
    Column("half", "density_half_depth", "1"),
)


# numbers


@dataclass(frozen=True)
class Curve:
    """A density on the grid: mean and standard error over probes, NaN for a single one, and the mean at half depth."""

    mean: Float[Array, " grid"]
    error: Float[Array, " grid"]
    half: Float[Array, " grid"]


@dataclass(frozen=True)
class Densities:
    """Densities on one grid, by matrix, step and part.

    limit: largest eigenvalue of the grid.
    linear: the axis is linear below this magnitude.
    """

    limit: float
    linear: float
    grid: Float[Array, " grid"]
    curves: Mapping[tuple[str, int, str], Curve]


def densities_of(data: xr.Dataset) -> Densities:
    """The densities of every matrix, step and part that was measured."""
    limit = MARGIN * float(np.nanmax(np.abs(data["ritz_value"].values))) or 1.0
    linear = limit * 10.0**-DECADES
    grid = symlog_grid(limit, linear)
    places = [(str(c), int(s), str(p)) for c, s in _panels(data) for p in data["part"].values]
    found = {at: _curve(data, *at, grid, linear) for at in places}
    return Densities(limit, linear, grid, {at: curve for at, curve in found.items() if curve})


def _panels(data: xr.Dataset) -> list[tuple[str, int]]:
    """Every matrix at every step."""
    return [(str(c), int(s)) for c in data["curvature"].values for s in data["step"].values]


def _curve(data: xr.Dataset, matrix: str, step: int, part: str, grid: Array, linear: float) -> Curve | None:
    """The density of one matrix; None if it was not measured."""
    one = data.sel(curvature=matrix, step=step, part=part)
    if np.isnan(one["ritz_value"].values).all():
        return None
    full = density(one["ritz_value"].values, one["ritz_weight_deflated"].values, grid, WIDTH, linear)
    half = density(one["half_ritz_value"].values, one["half_ritz_weight_deflated"].values, grid, WIDTH, linear)
    return Curve(full.mean(1), standard_error(full), half.mean(1))


def density_numbers(training: Training, found: Densities) -> Numbers:
    """The densities as rows."""
    parts = []
    for (matrix, step, part), curve in found.curves.items():
        values = {"eigenvalue": found.grid, "mean": curve.mean, "error": curve.error, "half": curve.half}
        rows = pd.DataFrame({"step": step, "curvature": matrix, "part": part} | values)
        parts.append(training.labelled(rows))
    return numbers(pd.concat(parts, ignore_index=True), COLUMNS)


# sentences


def _words(training: Training) -> str:
    """The share of the bulk of the Hessian's eigenvalues at the last checkpoint, over the parts."""
    one = training.hessian.isel(step=-1).sel(curvature="hessian")
    bulk, negative = {}, {}
    for part in one["part"].values:
        value, weight = (one[n].sel(part=part).values for n in ("ritz_value", "ritz_weight_deflated"))
        words, small = LOOKS[str(part)].words, np.abs(value) < BULK * (np.nanmax(np.abs(value)) or 1.0)
        bulk[words] = 100 * float(weight.mean(1)[small].sum())
        negative[words] = 100 * float(weight.mean(1)[value < 0].sum())
    text = f"Most eigenvalues are small: below a thousandth of the largest lie {extremes(bulk, ' %')}. "
    return f"{text}Negative are {extremes(negative, ' %')}."


# figures


def densities(training: Training, name: str) -> Figure:
    """Densities of both parts, one panel per matrix and checkpoint.

    Args:
        training: with a `hessian`.
        name: of the files.
    """
    data, found = training.hessian, densities_of(training.hessian)
    places, linear = _panels(data), found.linear

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, place in zip(style.panels(canvas, len(places), columns), places, strict=True):
            for part in (p for p in LOOKS if (*place, p) in found.curves):
                _draw(panel.ax, np.arcsinh(found.grid / linear), found.curves[(*place, part)], LOOKS[part])
            style.log_axis(panel.ax, [LEAST, 1.0], panel.y("share of parameters\nper unit of the axis"))
            _eigenvalue_axis(panel.ax, found.limit, linear, panel.x("eigenvalue"))
            panel.ax.set_title(f"{MATRICES[place[0]]}, step {place[1]}")
        style.legend(canvas, _handles(data))

    wide, narrow = style.canvases(draw, len(places), 2.3)
    caption = (
        f"{training.label}: density of the eigenvalues of each part, from Lanczos quadrature, smoothed by a third of a "
        f"decade. The axis is linear within ±{say(linear)}; the density is per unit of it. Pale: change since half the "
        "depth."
    )
    text = _words(training)
    title = f"Densities of eigenvalues: {training.label}"
    return Figure(name, wide, narrow, title, caption, text, density_numbers(training, found))


def _draw(ax: Axes, x: Float[Array, " grid"], curve: Curve, look: style.Look) -> None:
    """The mean, its standard error as a band, and its change since half the depth as a paler band."""
    low = LEAST / 10
    ax.plot(x, np.maximum(curve.mean, low), color=look.colour, linestyle=look.line, linewidth=1.4)
    between = [np.maximum(f(curve.mean, curve.half), low) for f in (np.minimum, np.maximum)]
    ax.fill_between(x, *between, color=look.colour, alpha=0.1, linewidth=0)
    if np.isfinite(curve.error).all():
        ends = [np.maximum(curve.mean + sign * curve.error, low) for sign in (-1, 1)]
        ax.fill_between(x, *ends, color=look.colour, alpha=0.3, linewidth=0)


def _handles(data: xr.Dataset) -> list:
    looks = [look for part, look in LOOKS.items() if part in data["part"].values]
    lines = [Line2D([], [], color=look.colour, linestyle=look.line, label=look.words) for look in looks]
    bands = (("standard error over probes", 0.4), ("change since half the depth", 0.15))
    return lines + [style.band(label, alpha) for label, alpha in bands]


def _eigenvalue_axis(ax: Axes, limit: float, linear: float, label: str) -> None:
    """Powers of ten on both sides of zero."""
    powers = style.log_ticks(100 * linear, limit, 3)
    ticks = [-p for p in reversed(powers)] + [0.0, *powers]
    end = np.arcsinh(limit / linear)
    ax.set_xlim(-end, end)
    labels = ["0" if t == 0 else ("−" if t < 0 else "") + style.power(abs(t)) for t in ticks]  # noqa: RUF001
    style.set_ticks(ax.xaxis, [float(np.arcsinh(t / linear)) for t in ticks], labels, [], label)

"""The figure of the spectral densities of the curvature of both parts, as Lanczos quadrature gives them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...._typing import Array, Float
from ....estimators.bootstrap import standard_error
from ....estimators.eigenvalues import density, symlog_grid
from ...figures import style
from ...figures.figure import Figure
from ...trainings import Training
from ...wording import column, say
from .spectra import LOOKS, MATRICES, tail_note

DECADES = 6  # of the largest eigenvalue that are shown logarithmically; below them the axis is linear
WIDTH = 0.8  # of the Gaussian on each node, in units of asinh(lambda / linear): a third of a decade
EDGE = 5  # end of the axis over the largest magnitude
LEAST = 1e-7  # smallest density drawn


def densities(training: Training, name: str) -> Figure:
    """Spectral density of both parts, a row a matrix, a panel a checkpoint.

    Args:
        training: with a `hessian`.
        name: of the files.
    """
    data = training.hessian
    limit = EDGE * float(np.nanmax(np.abs(data["ritz_value"].values))) or 1.0
    linear = limit * 10.0**-DECADES
    grid = symlog_grid(limit, linear)
    panels = [(str(c), int(s)) for c in data["curvature"].values for s in data["step"].values]
    found = {(*at, str(p)): _curve_of(data, *at, str(p), grid, linear) for at in panels for p in data["part"].values}
    found = {at: curve for at, curve in found.items() if curve}

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, (matrix, step)) in enumerate(zip(style.grid(canvas, len(panels), columns), panels, strict=True)):
            for part in (p for p in LOOKS if (matrix, step, p) in found):
                _draw(ax, np.arcsinh(grid / linear), found[matrix, step, part], LOOKS[part])
            style.log_axis(ax, [LEAST, 1.0], "share of parameters\nper unit of the axis" if i % columns == 0 else "")
            _eigenvalue_axis(ax, limit, linear, "eigenvalue" if i >= len(panels) - columns else "")
            ax.set_title(f"{MATRICES[matrix]}, step {step}")
        style.legend(canvas, _handles(data))

    wide, narrow = style.canvases(draw, len(panels), 2.3)
    caption = (
        f"{training.label}: spectral density of the curvature of each part of the loss, the nodes of the Lanczos "
        f"quadrature smoothed by a Gaussian of a third of a decade. The axis of the eigenvalues is logarithmic on both "
        f"sides of zero and linear within ±{say(linear)}; the density is per unit of it (2.3 units a decade). Where "
        "the pale band is wide, twice the depth has moved the curve: there are single nodes, not yet a density."
        + tail_note(data)
    )
    text = f"Spectral densities of {training.label}. " + " ".join(_words(training, int(s)) for s in data["step"].values)
    table = _table(training, found, grid)
    return Figure(name, wide, narrow, f"Spectral densities: {training.label}", caption, text, table)


@dataclass(frozen=True)
class Curve:
    """A density on the grid: mean and standard error over probes, NaN for a single one, and the mean at half depth."""

    mean: Float[Array, " grid"]
    error: Float[Array, " grid"]
    half: Float[Array, " grid"]


def _curve_of(data: xr.Dataset, matrix: str, step: int, part: str, grid: Array, linear: float) -> Curve | None:
    """None where the matrix was not looked at."""
    one = data.sel(curvature=matrix, step=step, part=part)
    if np.isnan(one["ritz_value"].values).all():
        return None
    each = density(one["ritz_value"].values, one["ritz_weight_deflated"].values, grid, WIDTH, linear)
    half = density(one["half_ritz_value"].values, one["half_ritz_weight_deflated"].values, grid, WIDTH, linear)
    return Curve(each.mean(1), standard_error(each), half.mean(1))


def _draw(ax: Axes, x: Float[Array, " grid"], curve: Curve, look: tuple) -> None:
    """The mean; its standard error as a band, what half the depth would give as a paler one."""
    low = LEAST / 10
    ax.plot(x, np.maximum(curve.mean, low), color=look[0], linestyle=look[1], linewidth=1.4)
    between = [np.maximum(f(curve.mean, curve.half), low) for f in (np.minimum, np.maximum)]
    ax.fill_between(x, *between, color=look[0], alpha=0.1, linewidth=0)
    if np.isfinite(curve.error).all():
        ends = [np.maximum(curve.mean + sign * curve.error, low) for sign in (-1, 1)]
        ax.fill_between(x, *ends, color=look[0], alpha=0.3, linewidth=0)


def _handles(data: xr.Dataset) -> list:
    parts = [p for p in LOOKS if p in data["part"].values]
    lines = [Line2D([], [], color=LOOKS[p][0], linestyle=LOOKS[p][1], label=LOOKS[p][2]) for p in parts]
    bands = (("standard error over probes", 0.4), ("change since half the depth", 0.15))
    return lines + [Patch(facecolor=style.GREY, alpha=alpha, linewidth=0, label=label) for label, alpha in bands]


def _eigenvalue_axis(ax: Axes, limit: float, linear: float, label: str) -> None:
    """Powers of ten on both sides of zero."""
    powers = style.log_ticks(100 * linear, limit, 3)
    ticks = [-p for p in reversed(powers)] + [0.0, *powers]
    end = np.arcsinh(limit / linear)
    ax.set_xlim(-end, end)
    labels = ["0" if t == 0 else ("−" if t < 0 else "") + style.power(abs(t)) for t in ticks]  # noqa: RUF001
    style.set_ticks(ax.xaxis, [float(np.arcsinh(t / linear)) for t in ticks], labels, [], label)


def _words(training: Training, step: int) -> str:
    """Where the weight of the Hessians lies, in words: what a reader who cannot see the curve needs."""
    one = training.hessian.sel(step=step, curvature="hessian")
    said = []
    for part in one["part"].values:
        value, weight = (one[n].sel(part=part).values for n in ("ritz_value", "ritz_weight_deflated"))
        scale = np.nanmax(np.abs(value)) or 1.0
        bulk = weight.mean(1)[np.abs(value) < 1e-3 * scale].sum()
        negative = weight.mean(1)[value < 0].sum()
        share = f"{say(100 * bulk)} % of the parameters lie below a thousandth of the largest magnitude, {say(scale)}"
        said.append(f"{LOOKS[str(part)][2]}: {share}; {say(100 * negative)} % are negative")
    return f"Step {step}, Hessian: {'; '.join(said)}."


def _table(training: Training, found: dict, grid: Float[Array, " grid"]) -> pd.DataFrame:
    """What is drawn."""
    parts = []
    for (matrix, step, part), curve in found.items():
        numbers = {"eigenvalue [1]": grid, "density [1]": curve.mean, "density_error [1]": curve.error}
        numbers |= {"density_half_depth [1]": curve.half}
        about = {"run": training.run, "seed": training.seed, column("step"): step, "curvature": matrix, "part": part}
        parts.append(pd.DataFrame(about | numbers))
    return pd.concat(parts, ignore_index=True)

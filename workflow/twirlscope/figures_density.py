"""The figure of the spectral densities of both Hessians, as Lanczos quadrature gives them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import style
from .eigenvalues import density, symlog_grid
from .figures_hessian import LOOKS
from .hints import Array, Float
from .style import PARTS, Figure
from .trainings import Training, column, say

DECADES = 6  # of the largest eigenvalue that are shown logarithmically; below them the axis is linear
WIDTH = 0.4  # of the Gaussian on each node, in units of asinh(lambda / linear): a sixth of a decade
EDGE = 5  # end of the axis over the largest magnitude
LEAST = 1e-7  # smallest density drawn


def densities(training: Training, name: str) -> Figure:
    """Spectral density of both Hessians, one panel a checkpoint.

    Args:
        training: with a `hessian`.
        name: of the files.
    """
    data = training.hessian
    limit = EDGE * float(np.nanmax(np.abs(data["ritz_value"].values))) or 1.0
    linear = limit * 10.0**-DECADES
    grid = symlog_grid(limit, linear)
    steps = [int(s) for s in data["step"].values]
    found = {(s, str(p)): _density(training, s, str(p), grid, linear) for s in steps for p in data["part"].values}

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, step) in enumerate(zip(style.grid(canvas, len(steps), columns), steps, strict=True)):
            for part in data["part"].values:
                _curve(ax, np.arcsinh(grid / linear), found[step, str(part)], LOOKS[str(part)])
            style.log_axis(ax, [LEAST, 1.0], "share of parameters\nper unit of the axis" if i % columns == 0 else "")
            _eigenvalue_axis(ax, limit, linear, "eigenvalue" if i >= len(steps) - columns else "")
            ax.set_title(f"step {step}")
        lines = [Line2D([], [], color=LOOKS[p][0], linestyle=LOOKS[p][1], label=PARTS[p][3]) for p in ("mean", "equiv")]
        band = Patch(facecolor=style.GREY, alpha=0.3, linewidth=0, label="standard error over probes")
        style.legend(canvas, [*lines, band])

    wide, narrow = style.canvases(draw, len(steps), 2.5)
    caption = (
        f"{training.label}: spectral density of the Hessian of each part of the loss, the nodes of the Lanczos "
        f"quadrature smoothed by a Gaussian of a sixth of a decade. The axis of the eigenvalues is logarithmic on both "
        f"sides of zero and linear within ±{say(linear)}; the density is per unit of it (2.3 units a decade)."
    )
    text = f"Spectral densities of {training.label}. " + " ".join(_words(training, s) for s in steps)
    table = _table(training, found, grid)
    return Figure(name, wide, narrow, f"Hessian spectral densities: {training.label}", caption, text, table)


def _density(training: Training, step: int, part: str, grid: Array, linear: float) -> Float[Array, "grid probe"]:
    """The density of each probe."""
    one = training.hessian.sel(step=step, part=part)
    return density(one["ritz_value"].values, one["ritz_weight"].values, grid, WIDTH, linear)


def _curve(ax: Axes, x: Float[Array, " grid"], each: Float[Array, "grid probe"], look: tuple) -> None:
    """Mean over probes, and its standard error as a band."""
    mean, probes = each.mean(1), each.shape[1]
    ax.plot(x, np.maximum(mean, LEAST / 10), color=look[0], linestyle=look[1], linewidth=1.4)
    if probes > 1:
        error = each.std(1, ddof=1) / probes**0.5
        low, high = np.maximum(mean - error, LEAST / 10), np.maximum(mean + error, LEAST / 10)
        ax.fill_between(x, low, high, color=look[0], alpha=0.15, linewidth=0)


def _eigenvalue_axis(ax: Axes, limit: float, linear: float, label: str) -> None:
    """Powers of ten on both sides of zero."""
    powers = style.log_ticks(3 * linear, limit, 3)
    ticks = [-p for p in reversed(powers)] + [0.0, *powers]
    end = np.arcsinh(limit / linear)
    ax.set_xlim(-end, end)
    labels = ["0" if t == 0 else ("−" if t < 0 else "") + style.power(abs(t)) for t in ticks]  # noqa: RUF001
    style.set_ticks(ax.xaxis, [float(np.arcsinh(t / linear)) for t in ticks], labels, [], label)


def _words(training: Training, step: int) -> str:
    """Where the weight lies, in words: what a reader who cannot see the curve needs."""
    one = training.hessian.sel(step=step)
    said = []
    for part in one["part"].values:
        value, weight = (one[n].sel(part=part).values for n in ("ritz_value", "ritz_weight"))
        scale = np.nanmax(np.abs(value)) or 1.0
        bulk = weight.mean(1)[np.abs(value) < 1e-3 * scale].sum()
        negative = weight.mean(1)[value < 0].sum()
        share = f"{say(100 * bulk)} % of the parameters lie below a thousandth of the largest magnitude, {say(scale)}"
        said.append(f"{PARTS[str(part)][3]}: {share}; {say(100 * negative)} % are negative")
    return f"Step {step}: {'; '.join(said)}."


def _table(training: Training, found: dict, grid: Float[Array, " grid"]) -> pd.DataFrame:
    """What is drawn."""
    parts = []
    for (step, part), each in found.items():
        error = each.std(1, ddof=1) / each.shape[1] ** 0.5 if each.shape[1] > 1 else np.full(len(grid), np.nan)
        numbers = {"eigenvalue [1]": grid, "density [1]": each.mean(1), "density_error [1]": error}
        about = {"run": training.run, "seed": training.seed, column("step"): step, "part": part}
        parts.append(pd.DataFrame(about | numbers))
    return pd.concat(parts, ignore_index=True)

"""The equivariance error against the ratio of gradient norms, and against distance in parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ...._typing import Array, Callable, Sequence
from ....estimators.trajectories import correlation_of_changes, power_law
from ...figures import style
from ...figures.curves import run_handles, run_looks
from ...figures.figure import Figure
from ...figures.marks import of_seed
from ...numbers import Column, Numbers, numbers
from ...trainings import Training, by_run
from ...wording import say
from ..claims.evidence import gradient_points, nearest_points

AGAINST = (
    Column("relative_equiv", "relative equivariance error", "1"),
    Column("gradient_norm_ratio", "ratio of gradient norms", "1"),
)
NEAREST = (
    Column("nearest_distance", "distance in parameters", "1"),
    Column("nearest_loss_equiv", "equivariance error", "1"),
)


# numbers


def _points(
    trainings: Sequence[Training], points: Callable[[Training], tuple[Array, Array]], columns: Sequence[Column]
) -> Numbers:
    """Two numbers per training and checkpoint."""
    names = [column.name for column in columns]
    parts = [t.labelled(pd.DataFrame(dict(zip(names, points(t), strict=True)))) for t in trainings]
    return numbers(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), columns)


# sentences


def _exponents(trainings: Sequence[Training]) -> str:
    """The fitted exponent of every training, with its interval."""
    words = []
    for training in trainings:
        fit = power_law(*nearest_points(training))
        number = f"{say(fit[0])} (95 % interval {say(fit[1])} to {say(fit[2])})" if fit else "too few points"
        words.append(f"{training.label}: {number}")
    return "; ".join(words)


# figures


def against(trainings: Sequence[Training]) -> Figure | None:
    """Ratio of the norms of both gradients against the relative equivariance error, one point per checkpoint."""
    table = _points(trainings, gradient_points, AGAINST)
    if not len(table):
        return None
    caption = (
        "Norm of the gradient of the equivariance error over that of the twirled prediction error, against the "
        "equivariance error as a share of the loss, one point per learned checkpoint. Estimates at or below zero stand "
        "at the smallest positive one."
    )
    found = {t.label: fit[0] for t in trainings if (fit := correlation_of_changes(*map(np.log, gradient_points(t))))}
    text = (
        f"Changes of both correlate positively in {sum(v > 0 for v in found.values())} of {len(trainings)} trainings. "
    )
    return _scatter("gradient_against_error", "Gradients against equivariance error", table, trainings, caption, text)


def nearest(trainings: Sequence[Training]) -> Figure | None:
    """Equivariance error against the distance to the nearest more symmetric parameters, with fitted exponents."""
    chosen = [t for t in trainings if "nearest_distance" in t.gradient]
    table = _points(chosen, nearest_points, NEAREST)
    if not len(table):
        return None
    caption = (
        "Equivariance error against the distance from the parameters of a checkpoint to more symmetric ones, which an "
        "optimiser finds by lowering that error alone to a fixed share. Grey: slope two, a quadratic relation."
    )
    text = f"Fitted exponents of the error against the distance: {_exponents(chosen)}. "
    return _scatter("nearest", "Distance to more symmetric parameters", table, chosen, caption, text, slope=2.0)


def _scatter(
    name: str,
    title: str,
    table: Numbers,
    trainings: Sequence[Training],
    caption: str,
    text: str,
    slope: float | None = None,
) -> Figure:
    """Points of all runs on two logarithmic axes."""
    rows, groups = table.data, by_run(trainings)
    x, y = table.columns[2:]
    looks = run_looks(groups)

    def draw(canvas: Canvas, columns: int) -> None:
        ax = canvas.subplots()
        for (run, seed), part in rows.groupby(["run", "seed"], sort=False):
            size = 4.5 if seed == groups[run][0].seed else 3
            with of_seed(ax, seed):
                ax.plot(
                    part[x.name], part[y.name], looks[run].marker, color=looks[run].colour, markersize=size, alpha=0.85
                )
        _both_logarithmic(ax, rows, x, y)
        if slope is not None:
            ends = np.array([rows[x.name].min(), rows[x.name].max()])
            middle = np.exp(np.log(rows[[x.name, y.name]]).mean())
            line = middle[y.name] * (ends / middle[x.name]) ** slope
            ax.plot(ends, line, color=style.GREY, linewidth=1, linestyle=":", scalex=False, scaley=False)
        style.legend(canvas, run_handles(groups))

    wide, narrow = style.canvases(draw, 1, 3.6)
    ranges = [f"{c.words} from {say(rows[c.name].min())} to {say(rows[c.name].max())}" for c in (x, y)]
    return Figure(name, wide, narrow, title, caption, f"{text}{len(rows)} points, {', '.join(ranges)}.", table)


def _both_logarithmic(ax: Axes, rows: pd.DataFrame, x: Column, y: Column) -> None:
    """Logarithmic axes with readable ticks."""
    style.log_axis(ax, rows[y.name], y.title)
    low, high = rows[x.name].min() / 1.2, rows[x.name].max() * 1.2
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = style.log_ticks(low, high, 6)
    style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], x.title)

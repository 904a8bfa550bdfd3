"""The figures that set the equivariance error against gradients and against distance in parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from ...._typing import Array, Callable, Sequence
from ...figures import style
from ...figures.curves import look_of, run_handles, seeds_note
from ...figures.figure import Figure
from ...trainings import Training, by_run
from ...wording import labels_note, say
from ..claims.evidence import exponent, gradient_points, nearest_points

RELATIVE, RATIO = "relative equivariance error [1]", "ratio of gradient norms [1]"
DISTANCE, EQUIV = "distance in parameters [1]", "equivariance error [1]"


def against(trainings: Sequence[Training]) -> Figure | None:
    """The ratio of the norms of both gradients against the relative equivariance error, a point a checkpoint."""
    frame = _frame(trainings, gradient_points, (RELATIVE, RATIO))
    if frame.empty:
        return None
    caption = (
        "The norm of the gradient of the equivariance error over that of the twirled prediction error, against the "
        "equivariance error as a share of the total loss; a point a checkpoint, on the samples of the gradients. "
        "Checkpoints where either is not above zero, which noise can do, are left out."
    )
    text = "Ratio of gradient norms against relative equivariance error. "
    return _scatter("gradient_against_error", "Gradients against equivariance error", frame, trainings, caption, text)


def nearest(trainings: Sequence[Training]) -> Figure | None:
    """The equivariance error against the distance to the nearest more symmetric parameters, with fitted exponents."""
    chosen = [t for t in trainings if "nearest_distance" in t.gradient]
    frame = _frame(chosen, nearest_points, (DISTANCE, EQUIV))
    if frame.empty:
        return None
    said = []
    for training in chosen:
        fit = exponent(*nearest_points(training))
        number = f"{say(fit[0])} (95 % interval {say(fit[1])} to {say(fit[2])})" if fit else "too few points"
        said.append(f"{training.label}: {number}")
    caption = (
        "The equivariance error at a checkpoint against the distance from its parameters to those that are reached "
        "when that error alone is brought down to a share of itself, the same for all points; checkpoints at which "
        "nothing is learned (trivial) are left out. Grey: slope two, as a "
        f"quadratic relation would have. Fitted exponents: {'; '.join(said)}."
    )
    text = f"Equivariance error against distance in parameters. Fitted exponents: {'; '.join(said)}. "
    return _scatter("nearest", "Distance to more symmetric parameters", frame, chosen, caption, text, slope=2.0)


def _frame(
    trainings: Sequence[Training], points: Callable[[Training], tuple[Array, Array]], heads: tuple[str, str]
) -> pd.DataFrame:
    """One row a training and checkpoint."""
    parts = []
    for training in trainings:
        values = dict(zip(heads, points(training), strict=True))
        parts.append(pd.DataFrame({"run": training.run, "seed": training.seed, **values}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _scatter(
    name: str,
    title: str,
    frame: pd.DataFrame,
    trainings: Sequence[Training],
    caption: str,
    text: str,
    slope: float | None = None,
) -> Figure:
    """Points of all runs on two logarithmic axes."""
    across, up = frame.columns[2:]
    groups = by_run(trainings)
    looks = {run: look_of(i) for i, run in enumerate(groups)}

    def draw(canvas: Canvas, columns: int) -> None:
        ax = canvas.subplots()
        for (run, seed), rows in frame.groupby(["run", "seed"], sort=False):
            colour, _, marker = looks[run]
            size = 4.5 if seed == groups[run][0].seed else 3
            ax.plot(rows[across], rows[up], marker, color=colour, markersize=size, alpha=0.85)
        _both_logarithmic(ax, frame, across, up)
        if slope is not None:
            ends = np.array([frame[across].min(), frame[across].max()])
            middle = np.exp(np.log(frame[[across, up]]).mean())
            line = middle[up] * (ends / middle[across]) ** slope
            ax.plot(ends, line, color=style.GREY, linewidth=1, linestyle=":", scalex=False, scaley=False)
        style.legend(canvas, run_handles(groups))

    wide, narrow = style.canvases(draw, 1, 3.6)
    ranges = [f"{c.partition(' [')[0]} from {say(frame[c].min())} to {say(frame[c].max())}" for c in (across, up)]
    caption += seeds_note(groups).replace("Thin lines", "Small points") + labels_note(trainings)
    return Figure(name, wide, narrow, title, caption, f"{text}{len(frame)} points, {', '.join(ranges)}.", frame)


def _both_logarithmic(ax, frame: pd.DataFrame, across: str, up: str) -> None:
    """Logarithmic axes with readable ticks."""
    style.log_axis(ax, frame[up], up.partition(" [")[0])
    low, high = frame[across].min() / 1.2, frame[across].max() * 1.2
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = style.log_ticks(low, high, 6)
    style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], across.partition(" [")[0])

"""Cumulative distribution of the Hessian's eigenvalues: the share of parameters beyond a magnitude."""

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
from ...figures import style
from ...figures.figure import Figure
from ...numbers import Column, Numbers, numbers, stored
from ...trainings import Training
from ...wording import extremes
from .matrices import LOOKS

COLUMNS = (
    *stored("step"),
    Column("magnitude", "magnitude", "1"),
    Column("share", "share_beyond", "1"),
    Column("error", "share_beyond_error", "1"),
)


# numbers


@dataclass(frozen=True)
class Beyond:
    """Share of the parameters whose eigenvalue lies at or beyond `value` on one side of zero, without smoothing.

    value: magnitude, ascending.
    share, error: mean over probes and its standard error, NaN for a single probe.
    """

    value: Float[Array, " ritz"]
    share: Float[Array, " ritz"]
    error: Float[Array, " ritz"]


Shares = Mapping[tuple[int, str, int], Beyond]  # by step, part and sign


def beyond(spectrum: xr.Dataset, sign: int) -> Beyond:
    """Cumulative weight of the Ritz values of one sign, counted from the largest magnitude inwards.

    Args:
        spectrum: `ritz_value` [ritz] and `ritz_weight_deflated` [ritz, probe] of one matrix and step.
        sign: 1 for positive eigenvalues, -1 for negative ones.
    """
    value, weight = spectrum["ritz_value"].values, spectrum["ritz_weight_deflated"].values
    kept = np.isfinite(value) & (sign * value > 0)
    order = np.argsort(-np.abs(value[kept]), kind="stable")
    shares = np.cumsum(weight[kept][order], axis=0)
    return Beyond(np.abs(value[kept][order])[::-1], shares.mean(axis=1)[::-1], standard_error(shares)[::-1])


def shares_of(data: xr.Dataset) -> Shares:
    """Both sides of zero of every part, at every checkpoint."""
    return {
        (int(step), str(part), sign): beyond(data.sel(step=step, part=part), sign)
        for step in data["step"].values
        for part in data["part"].values
        for sign in (1, -1)
    }


def share_numbers(training: Training, shares: Shares) -> Numbers:
    """The shares as rows."""
    parts = []
    for (step, part, sign), one in shares.items():
        about = {"step": step, "part": part, "sign": "positive" if sign > 0 else "negative"}
        rows = pd.DataFrame(about | {"magnitude": one.value, "share": one.share, "error": one.error})
        parts.append(training.labelled(rows))
    return numbers(pd.concat([p for p in parts if len(p)], ignore_index=True), COLUMNS)


# sentences


def _words(data: xr.Dataset) -> str:
    """The part with the largest eigenvalue at the last checkpoint, and the range over the parts."""
    last = data["eigenvalue_top"].isel(step=-1, rank=0)
    top = {LOOKS[p].words: float(last.sel(part=p)) for p in map(str, data["part"].values)}
    return f"The {max(top, key=top.get)} has the largest eigenvalue. The largest ones of the parts are {extremes(top)}."


# figures


def distribution(training: Training, name: str) -> Figure:
    """Cumulative distribution of the eigenvalues of both Hessians, one panel per checkpoint.

    Args:
        training: with a `hessian`.
        name: of the files.
    """
    data = training.hessian.sel(curvature="hessian")
    shares, steps = shares_of(data), [int(s) for s in data["step"].values]
    y = np.concatenate([one.share for one in shares.values()])
    x = np.concatenate([one.value for one in shares.values()])
    least = 0.5 / float(training.hessian.get("parameters", 1e6))

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, step in zip(style.panels(canvas, len(steps), columns), steps, strict=True):
            for (at, part, sign), one in shares.items():
                if at == step:
                    _step_curve(panel.ax, one, LOOKS[part], sign)
            style.log_axis(panel.ax, [*y[y > least], 1.0], panel.y("share of parameters\nbeyond"))
            _magnitude_axis(panel.ax, x, panel.x("magnitude of the eigenvalue"))
            panel.ax.set_title(f"step {step}")
        style.legend(canvas, _handles(data))

    wide, narrow = style.canvases(draw, len(steps), 2.5)
    caption = (
        f"{training.label}: share of the parameters whose Hessian eigenvalue is at least as large in magnitude. Thick: "
        "positive; thin: negative. Lanczos quadrature, not smoothed: inner steps are nodes, not eigenvalues. Bands: "
        "one standard error over probes."
    )
    text = _words(data)
    title = f"Distribution of Hessian eigenvalues: {training.label}"
    return Figure(name, wide, narrow, title, caption, text, share_numbers(training, shares))


def _step_curve(ax: Axes, one: Beyond, look: style.Look, sign: int) -> None:
    """The shares of one side of zero as a step curve, with a band."""
    if not len(one.value):
        return
    x = np.concatenate([one.value[:1] * 1e-3, one.value])  # the line goes on to the left: no eigenvalue lies below
    y = np.concatenate([one.share[:1], one.share])
    ax.step(x, y, where="pre", color=look.colour, linestyle=look.line, linewidth=1.6 if sign > 0 else 0.8)
    if np.isfinite(one.error).all():
        low, high = np.maximum(one.share - one.error, 1e-30), one.share + one.error
        ax.fill_between(one.value, low, high, step="pre", color=look.colour, alpha=0.15, linewidth=0)


def _magnitude_axis(ax: Axes, values: Array, label: str) -> None:
    """A logarithmic axis of at most nine decades."""
    high = values.max() if len(values) else 1.0
    low = max(values[values > 0].min(), high * 1e-9) if (values > 0).any() else high * 1e-3
    ax.set_xscale("log")
    ax.set_xlim(low / 1.5, high * 2)
    ticks = style.log_ticks(low / 1.5, high * 2, 5)
    style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], label)


def _handles(data: xr.Dataset) -> list:
    """Positive eigenvalues of each part, the band, and negative eigenvalues of each part."""
    looks = [LOOKS[str(p)] for p in data["part"].values]
    lines = [
        Line2D([], [], color=look.colour, linestyle=look.line, linewidth=width, label=f"{look.words}, {word}")
        for width, word in ((1.6, "positive"), (0.8, "negative"))
        for look in looks
    ]
    return [*lines[: len(looks)], style.band("standard error over probes"), *lines[len(looks) :]]

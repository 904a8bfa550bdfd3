"""The figures of curvature: the spectrum of the Hessian of both parts of the loss, and its largest eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...._typing import Array
from ....estimators.bootstrap import standard_error
from ...figures import style
from ...figures.figure import Figure
from ...figures.style import PARTS
from ...trainings import Training
from ...wording import column, say

SHARE = "share_beyond [1]"
ERROR = "share_beyond_error [1]"
LOOKS = {  # part -> colour, line, words
    "mean": (style.BLUE, "-", PARTS["mean"][3]),
    "mean_plugin": (style.GREEN, (0, (1, 1)), "twirled prediction error, not corrected"),
    "equiv": (style.RED, (0, (4, 1.2)), PARTS["equiv"][3]),
}

MATRICES = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix"}


@dataclass(frozen=True)
class Beyond:
    """Share of the parameters whose eigenvalue lies at or beyond `value` on one side of zero; no smoothing."""

    value: Array  # magnitude, ascending
    share: Array  # mean over probes
    error: Array  # standard error over probes, NaN for a single probe


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


def tail_note(data: xr.Dataset) -> str:
    """Why the mean part has a negative tail, where it is corrected for its bias; empty where it is not."""
    if "mean_plugin" not in data["part"].values:
        return ""
    return (
        " With independent rotations the twirled prediction error is made unbiased by subtracting the equivariance "
        f"error over the {data.attrs['rotations']} rotations, so that share of the equivariance error's Hessian is "
        "subtracted from its own: the negative tail is made by the correction and is no property of the loss. The part "
        "that is not corrected has none of it; all ratios are of that one."
    )


def _spectra(data: xr.Dataset) -> dict[tuple[int, str, int], Beyond]:
    return {
        (int(step), str(part), sign): beyond(data.sel(step=step, part=part), sign)
        for step in data["step"].values
        for part in data["part"].values
        for sign in (1, -1)
    }


def spectra(training: Training, name: str) -> Figure:
    """Distribution of the eigenvalues of both Hessians, one panel a checkpoint.

    Args:
        training: with a `hessian`.
        name: of the files.
    """
    data = training.hessian.sel(curvature="hessian")
    found = _spectra(data)
    steps = [int(s) for s in data["step"].values]
    shares = np.concatenate([b.share for b in found.values()])
    values = np.concatenate([b.value for b in found.values()])
    least = 0.5 / float(training.hessian.get("parameters", 1e6))

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, step) in enumerate(zip(style.grid(canvas, len(steps), columns), steps, strict=True)):
            for (at, part, sign), item in found.items():
                if at == step:
                    _step_curve(ax, item, LOOKS[part], sign)
            label = "share of parameters\nbeyond" if i % columns == 0 else ""
            style.log_axis(ax, [*shares[shares > least], 1.0], label)
            _magnitude_axis(ax, values, "magnitude of the eigenvalue" if i >= len(steps) - columns else "")
            ax.set_title(f"step {step}")
        style.legend(canvas, _spectra_handles(data))

    wide, narrow = style.canvases(draw, len(steps), 2.5)
    caption = (
        f"{training.label}: share of the parameters whose Hessian eigenvalue is at least as large in magnitude as the "
        "value on the horizontal axis, for the two parts of the loss; thick lines count positive eigenvalues, thin "
        "lines negative ones. Cumulative weights of the Lanczos quadrature, not smoothed, converged eigenvalues as one "
        "each; bands are one standard error over probes. Inner steps of a line are nodes of the quadrature, not single "
        "eigenvalues." + tail_note(data)
    )
    text = f"Hessian spectra of {training.label}. " + " ".join(_spectrum_text(data, s) for s in steps)
    return Figure(
        name, wide, narrow, f"Hessian spectra: {training.label}", caption, text, _spectra_table(training, found)
    )


def _step_curve(ax: Axes, item: Beyond, look: tuple, sign: int) -> None:
    if not len(item.value):
        return
    colour, line, _ = look
    x = np.concatenate([item.value[:1] * 1e-3, item.value])  # the line goes on to the left: nothing lies below
    y = np.concatenate([item.share[:1], item.share])
    ax.step(x, y, where="pre", color=colour, linestyle=line, linewidth=1.6 if sign > 0 else 0.8)
    if np.isfinite(item.error).all():
        low, high = np.maximum(item.share - item.error, 1e-30), item.share + item.error
        ax.fill_between(item.value, low, high, step="pre", color=colour, alpha=0.15, linewidth=0)


def _magnitude_axis(ax: Axes, values: Array, label: str) -> None:
    high = values.max() if len(values) else 1.0
    low = max(values[values > 0].min(), high * 1e-9) if (values > 0).any() else high * 1e-3
    ax.set_xscale("log")
    ax.set_xlim(low / 1.5, high * 2)
    ticks = style.log_ticks(low / 1.5, high * 2, 5)
    style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], label)


def _spectra_handles(data: xr.Dataset) -> list:
    parts = [str(p) for p in data["part"].values]
    lines = [
        Line2D([], [], color=LOOKS[p][0], linestyle=LOOKS[p][1], linewidth=width, label=f"{LOOKS[p][2]}, {word}")
        for width, word in ((1.6, "positive"), (0.8, "negative"))
        for p in parts
    ]
    band = Patch(facecolor=style.GREY, alpha=0.3, linewidth=0, label="standard error over probes")
    return [*lines[: len(parts)], band, *lines[len(parts) :]]


def _spectrum_text(data: xr.Dataset, step: int) -> str:
    def one(part: str) -> str:
        value = float(data["eigenvalue_top"].sel(step=step, part=part)[0])
        return f"{LOOKS[part][2]} {say(value)}"

    return f"Step {step}: largest eigenvalue of the {' and of the '.join(one(str(p)) for p in data['part'].values)}."


def _spectra_table(training: Training, found: dict[tuple[int, str, int], Beyond]) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "run": training.run,
                "seed": training.seed,
                column("step"): step,
                "part": part,
                "sign": "positive" if sign > 0 else "negative",
                "magnitude [1]": item.value,
                SHARE: item.share,
                ERROR: item.error,
            }
        )
        for (step, part, sign), item in found.items()
    ]
    return pd.concat([p for p in parts if len(p)], ignore_index=True)

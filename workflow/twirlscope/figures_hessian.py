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

from . import style
from .figures import look_of, run_handles, seeds_note
from .hints import Array, Sequence
from .style import PARTS, Figure
from .trainings import Training, by_run, column, say

SHARE = "share_beyond [1]"
ERROR = "share_beyond_error [1]"
LOOKS = {"mean": (style.BLUE, "-"), "equiv": (style.RED, (0, (4, 1.2)))}  # colour and line


@dataclass(frozen=True)
class Beyond:
    """Share of the parameters whose eigenvalue lies at or beyond `value` on one side of zero; no smoothing."""

    value: Array  # magnitude, ascending
    share: Array  # mean over probes
    error: Array  # standard error over probes, NaN for a single probe


def beyond(spectrum: xr.Dataset, sign: int) -> Beyond:
    """Cumulative weight of the Ritz values of one sign, counted from the largest magnitude inwards.

    Args:
        spectrum: `ritz_value` [ritz] and `ritz_weight` [ritz, probe] of one part and step.
        sign: 1 for positive eigenvalues, -1 for negative ones.
    """
    value, weight = spectrum["ritz_value"].values, spectrum["ritz_weight"].values
    kept = np.isfinite(value) & (sign * value > 0)
    order = np.argsort(-np.abs(value[kept]), kind="stable")
    shares = np.cumsum(weight[kept][order], axis=0)
    probes = weight.shape[1]
    error = shares.std(axis=1, ddof=1) / probes**0.5 if probes > 1 else np.full(len(shares), np.nan)
    return Beyond(np.abs(value[kept][order])[::-1], shares.mean(axis=1)[::-1], error[::-1])


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
    found = _spectra(training.hessian)
    steps = [int(s) for s in training.hessian["step"].values]
    shares = np.concatenate([b.share for b in found.values()])
    values = np.concatenate([b.value for b in found.values()])
    least = 0.5 / float(training.hessian.get("parameters", 1e6))

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, step) in enumerate(zip(style.grid(canvas, len(steps), columns), steps, strict=True)):
            for (at, part, sign), item in found.items():
                if at == step:
                    _step_curve(ax, item, LOOKS[part], sign)
            style.log_axis(
                ax, [*shares[shares > least], 1.0], "share of parameters\nbeyond" if i % columns == 0 else ""
            )
            _magnitude_axis(ax, values, "magnitude of the eigenvalue" if i >= len(steps) - columns else "")
            ax.set_title(f"step {step}")
        style.legend(canvas, _spectra_handles())

    wide, narrow = style.canvases(draw, len(steps), 2.5)
    caption = (
        f"{training.label}: share of the parameters whose Hessian eigenvalue is at least as large in magnitude as the "
        "value on the horizontal axis, for the two parts of the loss; thick lines count positive eigenvalues, thin "
        "lines negative ones. Cumulative weights of the Lanczos quadrature, not smoothed; bands are one standard error "
        "over probes. Inner steps of a line are nodes of the quadrature, not single eigenvalues."
    )
    text = f"Hessian spectra of {training.label}. " + " ".join(_spectrum_text(training.hessian, s) for s in steps)
    return Figure(
        name, wide, narrow, f"Hessian spectra: {training.label}", caption, text, _spectra_table(training, found)
    )


def _step_curve(ax: Axes, item: Beyond, look: tuple, sign: int) -> None:
    if not len(item.value):
        return
    colour, line = look
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


def _spectra_handles() -> list:
    lines = [
        Line2D([], [], color=PARTS[p][0], linestyle=LOOKS[p][1], linewidth=width, label=f"{PARTS[p][3]}, {word}")
        for width, word in ((1.6, "positive"), (0.8, "negative"))
        for p in ("mean", "equiv")
    ]
    band = Patch(facecolor=style.GREY, alpha=0.3, linewidth=0, label="standard error over probes")
    return [*lines[:2], band, *lines[2:]]


def _spectrum_text(data: xr.Dataset, step: int) -> str:
    def one(part: str) -> str:
        value = float(data["eigenvalue_top"].sel(step=step, part=part)[0])
        return f"{PARTS[part][3]} {say(value)}"

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


def eigenvalue_table(trainings: Sequence[Training]) -> pd.DataFrame:
    """Top and bottom eigenvalues with their error bounds, trace, and the loss they belong to, one row a rank."""
    names = ["eigenvalue_top", "eigenvalue_top_error", "eigenvalue_bottom", "eigenvalue_bottom_error"]
    names += ["trace", "trace_error", "loss_value", "certificate_error"]
    parts = []
    for training in trainings:
        data = training.hessian
        table = data[[n for n in names if n in data]].to_dataframe().reset_index()
        table["rank"] = table["rank"] + 1
        parts.append(table.rename(columns={n: column(n) for n in [*names, "step"]} | {"rank": "rank [1]"}))
        parts[-1].insert(0, "run", training.run)
        parts[-1].insert(1, "seed", training.seed)
    return pd.concat(parts, ignore_index=True)


def top_eigenvalues(trainings: Sequence[Training]) -> Figure:
    """Largest eigenvalues of both Hessians over steps with their error bounds; the first rank joined by a line."""
    groups = by_run(trainings)
    table = eigenvalue_table(trainings)
    largest = table[column("eigenvalue_top")]
    steps = np.unique(table[column("step")])

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, part) in enumerate(zip(style.grid(canvas, 2, columns), ("mean", "equiv"), strict=True)):
            for j, seeds in enumerate(groups.values()):
                for training in seeds:
                    _top_curves(ax, training.hessian.sel(part=part), look_of(j), training is seeds[0])
            style.log_axis(ax, largest, "largest eigenvalues" if i % columns == 0 else "")
            style.step_axis(ax, steps, "training step" if i >= 2 - columns else "")
            ax.set_title("Hessian of the " + PARTS[part][3])
        style.legend(canvas, run_handles(groups))

    wide, narrow = style.canvases(draw, 2, 2.9)
    caption = (
        "Largest eigenvalues of the Hessian of each part of the loss over training; a line joins the first rank, "
        "smaller points are further ranks. Error bars are the residual bounds of the Lanczos run." + seeds_note(groups)
    )
    caption += " Eigenvalues at or below zero are in the table only." if (largest <= 0).any() else ""
    text = "Largest Hessian eigenvalues. " + " ".join(
        f"{t.label}: " + " ".join(_spectrum_text(t.hessian, int(s)) for s in t.hessian["step"].values)
        for t in trainings
    )
    return Figure("eigenvalues", wide, narrow, "Largest Hessian eigenvalues", caption, text, table)


def _top_curves(ax: Axes, data: xr.Dataset, look: tuple, main: bool) -> None:
    colour, line, marker = look
    steps, values, errors = data["step"].values, data["eigenvalue_top"].values, data["eigenvalue_top_error"].values
    after, shown = steps > 0, np.where(values > 0, values, np.nan)
    ax.plot(steps[after], shown[after, 0], color=colour, linestyle=line, linewidth=1.5 if main else 0.8)
    for rank in range(shown.shape[1]):
        size = (4.5 if main else 3) if rank == 0 else 2
        below = np.minimum(errors[:, rank], np.nan_to_num(shown[:, rank]) * (1 - 1e-9))
        bars = {"yerr": np.nan_to_num([below, errors[:, rank]]), "elinewidth": 0.9, "capsize": 2 if rank == 0 else 0}
        alpha = 1.0 if rank == 0 else 0.55
        ax.errorbar(steps, shown[:, rank], fmt=marker, color=colour, markersize=size, alpha=alpha, **bars)

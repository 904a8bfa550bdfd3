"""Loss against the number of rotations averaged at test time: rotations, sets of rotations, frames of the points.

Question: how much does averaging over rotations at test time lower the loss, and at which cost?
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Callable, Sequence
from ...estimators.bootstrap import standard_error
from ...geometry.rotation_sets import FRAME_PASSES, INDEPENDENT
from ..figures import style
from ..figures.curves import run_looks
from ..figures.figure import Figure, tabbed
from ..numbers import Column, numbers
from ..questions import AFTERWARDS
from ..section import Section
from ..trainings import Training, by_run, first_seeds, with_term
from ..wording import extremes, say, slug, term_words

TICKS = (1, 2, 4, 12, 24, 60)
APART = 1.06  # factor between runs along a logarithmic axis, so that their bars do not hide each other
SPREAD = 4  # ratio of losses from which their axis is logarithmic
DASHED = (0, (5, 3))
KINDS = {  # kind of average -> marker and words
    "independent": ("s", "independent rotations"),
    "set": ("o", "set of rotations"),
    "frames": ("*", "frames of the points"),
}
SETS = ("D2", "T", "O", "I")
ONE, FRAMES = "nothing", "4 frames of the points"
AVERAGES = {"haar1": ONE, **{n: f"{k} independent rotations" for n, k in INDEPENDENT.items() if k > 1}}
STORED = {  # column -> variable of the twirl store
    "predicted": "twirled_loss_predicted",
    "predicted_low": "twirled_loss_predicted_low",
    "predicted_high": "twirled_loss_predicted_high",
    "measured": "twirled_loss",
    "measured_error": "twirled_loss_error",
}
COLUMNS = (
    Column("average", "average over"),
    Column("passes", "passes", "1"),
    Column("time", "time of a prediction", "ms"),
    Column("predicted", "predicted loss", "1"),
    Column("predicted_low", "predicted loss, from", "1"),
    Column("predicted_high", "predicted loss, to", "1"),
    Column("measured", "measured loss", "1"),
    Column("measured_error", "standard error", "1"),
    Column("change", "change to one pass", "%"),
    Column("change_error", "its standard error", "%"),
    Column("mean", "twirled prediction error", "1"),
    Column("equiv", "equivariance error", "1"),
)

Measured = tuple[Training, pd.DataFrame]  # a training and its `averaged_losses`


# numbers


def measured(trainings: Sequence[Training], term: str) -> list[list[Measured]]:
    """The trainings with a panel and their averaged losses, in groups whose losses can be compared."""
    return [[(t, averaged_losses(t, term)) for t in group] for group in comparable(trainings, term)]


def comparable(trainings: Sequence[Training], term: str) -> list[list[Training]]:
    """The trainings with a panel, grouped by dataset and by the settings of the task."""
    groups: dict[tuple, list[Training]] = {}
    for training in with_term(trainings, term):
        if "twirled_loss_predicted" in training.twirl:
            task = json.dumps(training.spec.get("task", {}), sort_keys=True)
            groups.setdefault((training.dataset, task), []).append(training)
    return list(groups.values())


def averaged_losses(training: Training, term: str) -> pd.DataFrame:
    """Passes, time, predicted and measured loss on the panel at the last checkpoint, one row per kind of average."""
    last = training.last(term)
    spectrum = "spectrum" if "spectrum" in last else "irrep_spectrum"
    seconds = training.train.get("seconds_inference") if training.train is not None else None
    rows = []
    for name in (*INDEPENDENT, *SETS):
        if name in last["rotation_set"].values:
            one = last.sel(rotation_set=name)
            losses = {column: float(one[n]) if n in one else np.nan for column, n in STORED.items()}
            row = {"average": AVERAGES.get(name, name), "passes": int(one["passes"])} | losses
            rows.append(row | _change(last, one, "panel_twirled_loss"))
    if "frame_loss" in last:
        losses = dict.fromkeys(STORED, np.nan)
        losses |= {"measured": float(last["frame_loss"]), "measured_error": float(last["frame_loss_error"])}
        row = {"average": FRAMES, "passes": FRAME_PASSES} | losses
        rows.append(row | _change(last, last, "panel_frame_loss"))
    table = pd.DataFrame(rows)
    table.insert(2, "time", table["passes"] * (np.nan if seconds is None else 1e3 * float(seconds)))
    return table.assign(mean=float(last[spectrum][0]), equiv=float(last["panel_loss_equiv"]), term=term)


def _change(last: xr.Dataset, one: xr.Dataset, name: str) -> dict[str, float]:
    """The measured change of the loss to that of one pass [%], paired by sample, and its standard error."""
    if name not in one:
        return {"change": np.nan, "change_error": np.nan}
    single, averaged = last["panel_single_loss"].values, one[name].values
    ratio = averaged.mean() / single.mean()
    error = standard_error(averaged - ratio * single, last["panel_cluster"].values)
    return {"change": 100 * (ratio - 1), "change_error": 100 * error / single.mean()}


# sentences


def frame_words(training: Training) -> str:
    """The equivariance error that averaging over frames leaves, and the jumps that frames make; empty without any."""
    if "frame_loss" not in training.twirl:
        return ""
    last, attrs = training.last("weighted"), training.twirl.attrs
    gap, close, nudge = training.twirl["frame_gap"].values, 100 * attrs["frame_close"], 100 * attrs["frame_nudge"]
    ratio = (float(last["frame_change"]) / float(last["pass_change"])) ** 0.5
    symmetric = int((gap < attrs["frame_degenerate"]).sum())
    free = f"; {symmetric} without defined frames use 24 or 60 rotations" * bool(symmetric)
    return (
        f"{training.label}: frames leave an equivariance error of {say(float(last['frame_loss_equiv']))}, and jump in "
        f"{int((100 * gap < close).sum())} of {len(gap)} samples (two moments within {say(close)} %){free}. Moving "
        f"points by {say(nudge)} % changes predictions {say(ratio)} times as much as in one pass."
    )


def answer(pairs: Sequence[Measured]) -> str:
    """The change of the loss by averaging over all rotations, its largest amount first."""
    change = {}
    for training, rows in pairs:
        one = rows.set_index("average")["predicted"][ONE]
        change[training.label] = 100 * (rows["mean"].iloc[0] / one - 1)
    most = say(max(map(abs, change.values())))
    return f"Averaging over all rotations changes the loss by at most {most} %. The change is {extremes(change, ' %')}."


# figures


def figure(group: Sequence[Measured], term: str) -> Figure:
    """Losses of all runs of a group against passes and time, the first seed of each run."""
    rows_of = {t.label: rows for t, rows in group}
    firsts = first_seeds([t for t, _ in group])
    tables = [rows_of[t.label] for t in firsts]
    named = [rows.assign(run=t.run, seed=t.seed) for t, rows in zip(firsts, tables, strict=True)]
    table = pd.concat(named, ignore_index=True)
    timed, looks = table["time"].notna().all(), run_looks(by_run(firsts))

    def draw(canvas: Canvas, columns: int) -> None:
        count = 3 if timed else 2
        axes = canvas.subplots(-(-count // columns), columns, squeeze=False).ravel()
        for j, rows in enumerate(tables):
            aside, colour = APART**j, looks[firsts[j].run].colour
            for ax, axis in zip(axes[::2], ("passes", "time"), strict=False):
                _losses(ax, rows, rows[axis] * aside, colour)
            _changes(axes[1], rows, rows["passes"] * aside, colour)
        for ax, axis in zip(axes, ("passes", "passes", "time"), strict=False):
            _cost_axis(ax, table[axis], axis)
        for ax in axes[::2]:
            _loss_axis(ax, table)
        axes[1].set_ylabel("change of the loss [%]")
        style.legend(canvas, _handles(firsts, table))

    wide, narrow = style.canvases(draw, 3 if timed else 2, 3.2)
    text = answer(list(zip(firsts, tables, strict=True)))
    name = f"frontier_{slug(firsts[0].run)}_{term}"
    title = f"Loss against the number of rotations averaged at test time: {firsts[0].dataset or 'one dataset'}"
    caption = _caption(term, table)
    return Figure(name, wide, narrow, title, caption, text, numbers(table, COLUMNS), tab=firsts[0].dataset)


def _caption(term: str, table: pd.DataFrame) -> str:
    caption = (
        f"Loss of the last checkpoint ({term_words(term)}) on the panel, averaged over rotations, and its change to "
        "one pass; bars: standard errors. Hollow: predicted from the spectrum. Dotted: independent rotations."
    )
    return caption + (" All 24 rotations of a cube were run." if table["measured"].isna().all() else "")


def _losses(ax: Axes, rows: pd.DataFrame, x: pd.Series, colour: str) -> None:
    """The losses of one run: line of independent rotations, predictions, measurements."""
    _lines(ax, rows, x, colour, lambda loss: loss)
    predicted, measured = rows["predicted"], rows["measured"]
    bars = [np.maximum(predicted - rows["predicted_low"], 0), np.maximum(rows["predicted_high"] - predicted, 0)]
    _points(ax, x, predicted, bars, rows["average"], colour, filled=False)
    _points(ax, x, measured, [rows["measured_error"]] * 2, rows["average"], colour, filled=True)


def _changes(ax: Axes, rows: pd.DataFrame, x: pd.Series, colour: str) -> None:
    """The same as a change to the loss of one pass, in percent."""
    one = rows.set_index("average")["predicted"][ONE]
    _lines(ax, rows, x, colour, lambda loss: 100 * (loss / one - 1))
    predicted = rows["predicted"]
    bars = [100 * (predicted - rows["predicted_low"]) / one, 100 * (rows["predicted_high"] - predicted) / one]
    _points(ax, x, 100 * (predicted / one - 1), bars, rows["average"], colour, filled=False)
    _points(ax, x, rows["change"], [rows["change_error"]] * 2, rows["average"], colour, filled=True)


def _lines(ax: Axes, rows: pd.DataFrame, x: pd.Series, colour: str, scaled: Callable) -> None:
    """Independent rotations, and all rotations."""
    limit, equiv = rows["mean"].iloc[0], rows["equiv"].iloc[0]
    passes = np.geomspace(1, rows["passes"].max(), 60)
    ax.plot(passes * x.iloc[0], scaled(limit + equiv / passes), color=colour, linestyle=":", linewidth=1.2)
    ax.axhline(scaled(limit), color=colour, linestyle=DASHED, linewidth=0.8, alpha=0.7)


def _points(ax: Axes, x: pd.Series, y: pd.Series, bars, names: pd.Series, colour: str, filled: bool) -> None:
    """Points with their bars, one marker per kind of average."""
    kinds = np.array([_kind(name) for name in names])
    for kind, (marker, _) in KINDS.items():
        rows, size = kinds == kind, (9 if kind == "frames" else 4) + (0 if filled else 3.5)
        ax.vlines(x[rows], (y - bars[0])[rows], (y + bars[1])[rows], color=colour, linewidth=0.9, alpha=0.6)
        face = colour if filled else "none"
        ax.plot(x[rows], y[rows], marker, color=colour, markerfacecolor=face, markersize=size)


def _kind(name: str) -> str:
    if name == FRAMES:
        return "frames"
    return "independent" if name in AVERAGES.values() else "set"


def _loss_axis(ax: Axes, table: pd.DataFrame) -> None:
    """The axis of losses, with room for their bars; logarithmic if they differ much."""
    ends = [table["measured"] - table["measured_error"], table["measured"] + table["measured_error"]]
    values = pd.concat([table["predicted"], table["mean"], *ends])
    values = values[values > 0]
    if values.max() > SPREAD * values.min():
        style.log_axis(ax, values, "held-out loss")
    else:
        ax.set_ylabel("held-out loss")


def _cost_axis(ax: Axes, values: pd.Series, axis: str) -> None:
    """A logarithmic axis of passes, or of time."""
    low, high = values.min() / 1.25, values.max() * 1.25
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    if axis == "passes":
        ticks = [float(t) for t in TICKS if t <= high]
        return style.set_ticks(ax.xaxis, ticks, [f"{t:g}" for t in ticks], [], "forward passes per prediction")
    ticks = style.log_ticks(low, high, 5)
    return style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], "time per prediction [ms per sample]")


def _handles(firsts: Sequence[Training], table: pd.DataFrame) -> list[Line2D]:
    looks = run_looks(by_run(firsts)).values()
    runs = [Line2D([], [], color=look.colour, linewidth=3, label=look.words) for look in looks]
    used = {_kind(name) for name in table["average"]}
    plain = {"color": style.GREY, "linestyle": "none", "markersize": 6}
    kinds = [Line2D([], [], marker=m, label=text, **plain) for kind, (m, text) in KINDS.items() if kind in used]
    hollow = Line2D([], [], marker="o", markerfacecolor="none", label="predicted", **plain)
    limit = Line2D([], [], color=style.GREY, linestyle=DASHED, linewidth=0.8, label="all rotations")
    return [*runs, *kinds, hollow, limit]


def section(trainings: Sequence[Training]) -> Section:
    """The change by all rotations, one figure per group of runs whose losses can be compared, remarks on frames."""
    groups = measured(trainings, "weighted")
    figures = tabbed([figure(group, "weighted") for group in groups])
    remarks = [words for group in groups for training, _ in group if (words := frame_words(training))]
    told = [answer([pair for group in groups for pair in group])] if groups else []
    heading = "Averaging at test time"
    return Section(AFTERWARDS, "averaging", heading, told, figures, open_figures=1, remarks=remarks)

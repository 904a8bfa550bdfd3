"""Loss against the number of rotations averaged at test time, as figures, sentences and a table.

Every way of averaging has a row: independent rotations, sets of rotations, and the frames of the points themselves.
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
from ..figures.curves import look_of, run_handles
from ..figures.figure import Chart, Figure
from ..trainings import Training, by_run, with_term
from ..wording import labels_note, say, slug, words

TICKS = (1, 2, 4, 12, 24, 60)
APART = 1.06  # between runs, along a logarithmic axis, so that their bars do not hide each other
SPREAD = 4  # ratio of losses from which their axis is logarithmic
KINDS = {  # marker and words of a way of averaging
    "independent": ("s", "independent rotations"),
    "set": ("o", "set of rotations"),
    "frames": ("*", "frames of the points"),
}

SETS = ("D2", "T", "O", "I")
LOSSES = ("twirled_loss_predicted", "twirled_loss_predicted_low", "twirled_loss_predicted_high")

LOSSES += ("twirled_loss", "twirled_loss_error")

HEADS = ("predicted loss [1]", "predicted loss, from [1]", "predicted loss, to [1]")

HEADS += ("measured loss [1]", "standard error [1]")

PREDICTED, LOW, HIGH, MEASURED, ERROR = HEADS
WAY, AVERAGE, TIME = "passes [1]", "average over", "time of a prediction [ms]"
ONE, FRAMES = "nothing", "4 frames of the points"
CHANGE, CHANGE_ERROR = "change to one pass [%]", "its standard error [%]"
LIMIT, WHOLE = "twirled prediction error [1]", "equivariance error [1]"
WORDS = {"haar1": ONE, **{n: f"{k} independent rotations" for n, k in INDEPENDENT.items() if k > 1}}


def frontiers(trainings: Sequence[Training], term: str) -> list[Figure]:
    """A figure for all runs whose losses can be compared, the first seed of each."""
    groups = [[seeds[0] for seeds in by_run(group).values()] for group in comparable(trainings, term)]
    return [_figure(firsts, term) for firsts in groups]


def _figure(firsts: Sequence[Training], term: str) -> Figure:
    tables = [frontier(t, term) for t in firsts]
    joined = pd.concat(
        [t.assign(run=x.run, seed=x.seed) for x, t in zip(firsts, tables, strict=True)], ignore_index=True
    )
    timed = joined[TIME].notna().all()

    def draw(canvas: Canvas, columns: int) -> None:
        panels = 3 if timed else 2
        axes = canvas.subplots(-(-panels // columns), columns, squeeze=False).ravel()
        for j, table in enumerate(tables):
            aside, colour = APART**j, look_of(j)[0]
            for ax, axis in zip(axes[::2], (WAY, TIME), strict=False):
                _losses(ax, table, table[axis] * aside, colour)
            _changes(axes[1], table, table[WAY] * aside, colour)
        for ax, axis in zip(axes, (WAY, WAY, TIME), strict=False):
            _across(ax, joined[axis], axis)
        for ax in axes[::2]:
            _upwards(ax, joined)
        axes[1].set_ylabel("change of the loss [%]")
        style.legend(canvas, _handles(firsts, joined))

    wide, narrow = style.canvases(draw, 3 if timed else 2, 3.2)
    text = f"Loss of {words(term)} against forward passes. " + " ".join(
        _words(t, table) for t, table in zip(firsts, tables, strict=True)
    )
    name = f"frontier_{slug(firsts[0].run)}_{term}"
    title = f"What averaging at test time buys: {words(term)}, {firsts[0].dataset or 'one dataset'}"
    chart = Chart(WAY, {"predicted": (PREDICTED, LOW, HIGH), "measured": (MEASURED, ERROR)}, "held-out loss")
    return Figure(name, wide, narrow, title, _caption(firsts, term, joined), text, joined, chart)


def _caption(firsts: Sequence[Training], term: str, joined: pd.DataFrame) -> str:
    caption = (
        f"The last checkpoint ({words(term)}) on the samples of the panel, when a prediction is averaged over "
        "rotations of its input: loss, with standard errors by sample, and its change to that of one pass, with "
        "standard errors of the change, in which what samples have in common cancels. Hollow: predicted from the "
        "spectrum without running the model; filled: measured. Dotted: independent rotations, twirled prediction error "
        "plus equivariance error over passes. Dashed: all rotations, the twirled prediction error."
    )
    if joined[MEASURED].isna().all():
        caption += " Rotations are those of a cube: all were run, and predictions are exact."
    if joined[TIME].notna().all():
        caption += " Last panel: the loss against the time that the passes of a sample take where the run was trained."
    return caption + labels_note(firsts)


def _losses(ax: Axes, table: pd.DataFrame, x: pd.Series, colour: str) -> None:
    """The loss of one run: the line of independent rotations, what is predicted, what is measured."""
    _lines(ax, table, x, colour, lambda loss: loss)
    spread = [np.maximum(table[PREDICTED] - table[LOW], 0), np.maximum(table[HIGH] - table[PREDICTED], 0)]
    _points(ax, x, table[PREDICTED], spread, table[AVERAGE], colour, filled=False)
    _points(ax, x, table[MEASURED], [table[ERROR]] * 2, table[AVERAGE], colour, filled=True)


def _changes(ax: Axes, table: pd.DataFrame, x: pd.Series, colour: str) -> None:
    """The same as a change to the loss of one pass, in percent."""
    one = table.set_index(AVERAGE)[PREDICTED][ONE]
    _lines(ax, table, x, colour, lambda loss: 100 * (loss / one - 1))
    ends = [100 * (table[PREDICTED] - table[LOW]) / one, 100 * (table[HIGH] - table[PREDICTED]) / one]
    _points(ax, x, 100 * (table[PREDICTED] / one - 1), ends, table[AVERAGE], colour, filled=False)
    _points(ax, x, table[CHANGE], [table[CHANGE_ERROR]] * 2, table[AVERAGE], colour, filled=True)


def _lines(ax: Axes, table: pd.DataFrame, x: pd.Series, colour: str, scaled: Callable) -> None:
    """Independent rotations, and all rotations."""
    limit, equiv = table[LIMIT].iloc[0], table[WHOLE].iloc[0]
    passes = np.geomspace(1, table[WAY].max(), 60)
    ax.plot(passes * x.iloc[0], scaled(limit + equiv / passes), color=colour, linestyle=":", linewidth=1.2)
    ax.axhline(scaled(limit), color=colour, linestyle=(0, (5, 3)), linewidth=0.8, alpha=0.7)


def _points(ax: Axes, x: pd.Series, y: pd.Series, spread, names: pd.Series, colour: str, filled: bool) -> None:
    """Points with their bars, a marker a kind."""
    kinds = np.array([_kind(name) for name in names])
    for kind, (marker, _) in KINDS.items():
        rows, size = kinds == kind, (9 if kind == "frames" else 4) + (0 if filled else 3.5)
        ax.vlines(x[rows], (y - spread[0])[rows], (y + spread[1])[rows], color=colour, linewidth=0.9, alpha=0.6)
        face = colour if filled else "none"
        ax.plot(x[rows], y[rows], marker, color=colour, markerfacecolor=face, markersize=size)


def _upwards(ax: Axes, joined: pd.DataFrame) -> None:
    """The axis of losses, with room for their bars: logarithmic where they differ much."""
    ends = [joined[MEASURED] - joined[ERROR], joined[MEASURED] + joined[ERROR]]
    values = pd.concat([joined[PREDICTED], joined[LIMIT], *ends])
    values = values[values > 0]
    if values.max() > SPREAD * values.min():
        style.log_axis(ax, values, "held-out loss")
    else:
        ax.set_ylabel("held-out loss")


def _kind(name: str) -> str:
    if name == FRAMES:
        return "frames"
    return "independent" if name in WORDS.values() else "set"


def _across(ax: Axes, values: pd.Series, axis: str) -> None:
    """A logarithmic axis of passes, or of time."""
    low, high = values.min() / 1.25, values.max() * 1.25
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    if axis == WAY:
        ticks = [float(t) for t in TICKS if t <= high]
        return style.set_ticks(ax.xaxis, ticks, [f"{t:g}" for t in ticks], [], "forward passes a prediction")
    ticks = style.log_ticks(low, high, 5)
    return style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], "time of a prediction [ms a sample]")


def _handles(firsts: Sequence[Training], joined: pd.DataFrame) -> list[Line2D]:
    runs = [Line2D([], [], color=h.get_color(), linewidth=3, label=h.get_label()) for h in run_handles(by_run(firsts))]
    used = {_kind(name) for name in joined[AVERAGE]}
    plain = {"color": style.GREY, "linestyle": "none", "markersize": 6}
    kinds = [Line2D([], [], marker=m, label=text, **plain) for kind, (m, text) in KINDS.items() if kind in used]
    hollow = Line2D([], [], marker="o", markerfacecolor="none", label="predicted", **plain)
    limit = Line2D([], [], color=style.GREY, linestyle=(0, (5, 3)), linewidth=0.8, label="all rotations")
    return [*runs, *kinds, hollow, limit]


def _words(training: Training, table: pd.DataFrame) -> str:
    said = []
    for _, row in table.iterrows():
        numbers = [f"{say(row[h])} {h.split()[0]}" for h in (PREDICTED, MEASURED) if np.isfinite(row[h])]
        said.append(f"{row[AVERAGE]} ({row[WAY]} {'pass' if row[WAY] == 1 else 'passes'}) {', '.join(numbers)}")
    return f"{training.label}, averaged over {'; '.join(said)}; all rotations {say(table[LIMIT].iloc[0])}."


def comparable(trainings: Sequence[Training], term: str) -> list[list[Training]]:
    """The trainings with a panel, by what makes their losses comparable: the data, the task and its settings."""
    groups: dict[tuple, list[Training]] = {}
    for training in with_term(trainings, term):
        if "twirled_loss_predicted" in training.twirl:
            task = json.loads(training.train.attrs["run"])["task"] if training.train is not None else {}
            groups.setdefault((training.dataset, json.dumps(task, sort_keys=True)), []).append(training)
    return list(groups.values())


def frontier(training: Training, term: str) -> pd.DataFrame:
    """One row a way of averaging: passes, time, predicted and measured loss on the panel, at the last checkpoint."""
    last = training.twirl.sel(term=term).isel(step=-1)
    spectrum = "spectrum" if "spectrum" in last else "irrep_spectrum"
    seconds = training.train.get("seconds_inference") if training.train is not None else None
    rows = []
    for name in (*INDEPENDENT, *SETS):
        if name in last["rotation_set"].values:
            row = last.sel(rotation_set=name)
            values = [float(row[n]) if n in row else np.nan for n in LOSSES]
            rows.append((WORDS.get(name, name), int(row["passes"]), *values, *_change(last, row, "panel_twirled_loss")))
    if "frame_loss" in last:
        values = [np.nan] * 3 + [float(last[n]) for n in ("frame_loss", "frame_loss_error")]
        rows.append((FRAMES, FRAME_PASSES, *values, *_change(last, last, "panel_frame_loss")))
    table = pd.DataFrame(rows, columns=[AVERAGE, WAY, *HEADS, CHANGE, CHANGE_ERROR])
    table.insert(2, TIME, table[WAY] * (np.nan if seconds is None else 1e3 * float(seconds)))
    table[LIMIT], table[WHOLE] = float(last[spectrum][0]), float(last["panel_loss_equiv"])
    return table.assign(term=term)


def _change(last: xr.Dataset, row: xr.Dataset, name: str) -> tuple[float, float]:
    """The measured change of the loss to that of one pass, in percent, and its standard error, paired by sample."""
    if name not in row:
        return np.nan, np.nan
    single, averaged = last["panel_single_loss"].values, row[name].values
    ratio = averaged.mean() / single.mean()
    spread = standard_error(averaged - ratio * single)
    return 100 * (ratio - 1), 100 * spread / single.mean()


def sentences(trainings: Sequence[Training]) -> list[str]:
    """What four passes buy, a training each."""
    return [_sentence(t) for group in comparable(trainings, "weighted") for t in group]


def _sentence(training: Training) -> str:
    table = frontier(training, "weighted").set_index(AVERAGE)
    one, limit = table[PREDICTED][ONE], table[LIMIT].iloc[0]
    said = [_bought(name, table.loc[name], one) for name in (WORDS["haar4"], "D2", FRAMES) if name in table.index]
    text = (
        f"In {training.label} the loss of one pass is {say(one)}; averaged over all rotations it would change by "
        f"{say(100 * (limit / one - 1))} %. Four passes change it by {', '.join(said)}."
    )
    return text + _frame_words(training)


def _bought(name: str, row: pd.Series, one: float) -> str:
    """What a way of averaging does to the loss: as measured, or as predicted where that is exact."""
    over = {"D2": "the group D2", FRAMES: "the frames of the points"}.get(name, name)
    if not np.isfinite(row[CHANGE]):
        return f"{say(100 * (row[PREDICTED] / one - 1))} % over {over}"
    return f"{say(row[CHANGE])} ± {say(row[CHANGE_ERROR])} % over {over}"


def _frame_words(training: Training) -> str:
    """How equivariant frames leave a model, and how smooth."""
    if "frame_loss" not in training.twirl:
        return " A grid has no frames." if "irrep_spectrum" in training.twirl else ""
    last, attrs = training.twirl.sel(term="weighted").isel(step=-1), training.twirl.attrs
    gap, close, nudge = training.twirl["frame_gap"].values, 100 * attrs["frame_close"], 100 * attrs["frame_nudge"]
    ratio = (float(last["frame_change"]) / float(last["pass_change"])) ** 0.5
    return (
        f" Frames leave an equivariance error of {say(float(last['frame_loss_equiv']))}. They jump where two moments "
        f"of the points are equal: {int((100 * gap < close).sum())} of {len(gap)} samples have two closer than "
        f"{say(close)} %, and when points move by {say(nudge)} % of the size of their sample, predictions change "
        f"{say(ratio)} times as much as those of one pass."
    )

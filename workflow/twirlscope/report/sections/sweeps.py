"""The figure of a sweep: what each key that varies does to the equivariance error, the other keys pooled."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ..._typing import Mapping, Sequence
from ...settings.report import ReportSettings
from ..figures import style
from ..figures.curves import look_of
from ..figures.figure import Chart, Figure
from ..section import Section
from ..trainings import Training, with_term
from ..wording import say, words

PERCENT, LOW, HIGH = (f"equivariance error{end} [%]" for end in ("", ", from", ", to"))
STEP, LOSS = "step [1]", "total loss [1]"
INNER = (0.1, 0.9)  # the band holds the middle of the trainings
FEW = 8  # values that are told apart in one panel of courses

Members = Mapping[str, Mapping[str, str]]  # of a sweep: by run, the name of its value on every axis


def sweep_frame(trainings: Sequence[Training], members: Members, term: str) -> pd.DataFrame:
    """One row a training of the sweep and checkpoint; a column for every key that varies."""
    parts = []
    for training in with_term(trainings, term):
        if training.run in members:
            data = training.twirl.sel(term=term)
            first = {"run": training.run, "seed": training.seed, **members[training.run], STEP: data["step"].values}
            names = {PERCENT: "percent_equiv", LOW: "percent_equiv_low", HIGH: "percent_equiv_high", LOSS: "loss_total"}
            values = {head: data[name].values for head, name in names.items()}
            parts.append(pd.DataFrame(first | values | {"trivial": data["trivial"].values}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def sweep(trainings: Sequence[Training], name: str, members: Members, term: str, threshold: float) -> Figure | None:
    """Courses (left) and last checkpoints (right) by the values of every key that varies, a row of panels each; None
    where no training of the sweep is there."""
    frame = sweep_frame(trainings, members, term)
    if frame.empty:
        return None
    axes = list(next(iter(members.values())))
    last = frame.loc[frame.groupby(["run", "seed"], sort=False)[STEP].idxmax()]

    def draw(canvas: Canvas, columns: int) -> None:
        panels = canvas.subplots(math.ceil(2 * len(axes) / columns), columns, squeeze=False).ravel()
        for axis, left, right in zip(axes, panels[::2], panels[1::2], strict=True):
            values = list(dict.fromkeys(members[run][axis] for run in members if run in set(frame["run"])))
            _courses(left, frame, axis, values)
            _ends(right, last, axis, values)
            for ax in (left, right):
                style.log_axis(ax, [*frame[PERCENT], threshold], "equivariance error\n[% of held-out loss]")
                ax.axhline(threshold, color=style.BLACK, linestyle=(0, (2, 2)), linewidth=1)
                ax.set_title(axis)

    wide, narrow = style.canvases(draw, 2 * len(axes), 2.6, most=2)
    caption = (
        f"The sweep {name}, {len(last)} trainings ({words(term)}). Left: equivariance error over training by the value "
        "of one key, the median of all trainings with that value whatever their other keys, and a band from the 10th "
        "to the 90th percentile of trainings. Right: the last checkpoint of each training; hollow points are trivial, "
        f"nothing is learned there; bars are medians. Dashed: {threshold:g} %."
    )
    text = f"Equivariance error at the last checkpoint of the sweep {name}, medians: "
    text += "; ".join(f"{axis} {_medians(last, axis)}" for axis in axes) + "."
    ends = {"equivariance error": (PERCENT, LOW, HIGH)}
    chart = Chart(STEP, ends, "equivariance error [% of held-out loss]", by=tuple(axes), rule=threshold)
    return Figure(f"sweep_{name}_{term}", wide, narrow, f"Sweep {name}: {words(term)}", caption, text, frame, chart)


def _courses(ax: Axes, frame: pd.DataFrame, axis: str, values: Sequence[str]) -> None:
    """A median line and a band for each value; of many values the first, the last and those between at equal paces."""
    if len(values) > FEW:
        values = [values[i] for i in np.unique(np.linspace(0, len(values) - 1, FEW).round().astype(int))]
    for i, value in enumerate(values):
        colour, line, marker = look_of(i)
        grouped = frame[frame[axis] == value].groupby(STEP)[PERCENT]
        middle = grouped.median()
        steps, shown = middle.index.to_numpy(), np.where(middle > 0, middle, np.nan)
        low, high = (np.maximum(grouped.quantile(q).to_numpy(), 1e-30) for q in INNER)
        after = steps > 0
        ax.fill_between(steps[after], low[after], high[after], color=colour, alpha=0.14, linewidth=0)
        ax.plot(steps[after], shown[after], color=colour, linestyle=line, marker=marker, markersize=3, label=value)
        ax.plot(steps[~after], shown[~after], marker, color=colour, markersize=3)
    style.step_axis(ax, frame[STEP].to_numpy())
    ax.legend(loc="lower left")  # where no course is: all begin high


def _ends(ax: Axes, last: pd.DataFrame, axis: str, values: Sequence[str]) -> None:
    """A point a training, side by side in the order of the trainings, and a bar at the median."""
    for i, value in enumerate(values):
        rows = last[last[axis] == value]
        place = i + np.linspace(-0.3, 0.3, len(rows)) if len(rows) > 1 else np.array([float(i)])
        percent, trivial = rows[PERCENT].to_numpy(), rows["trivial"].to_numpy(bool)
        for hollow, face in ((False, style.BLUE), (True, "white")):
            at = (trivial == hollow) & (percent > 0)
            ax.plot(place[at], percent[at], "o", color=style.BLUE, markerfacecolor=face, markersize=3)
        ax.hlines(rows[PERCENT].median(), i - 0.35, i + 0.35, color=style.RED, linewidth=1.8)
    long = sum(len(v) for v in values) > 40
    ax.set_xticks(range(len(values)), values, rotation=60 if long else 0, ha="right" if long else "center")
    ax.set_xlim(-0.6, len(values) - 0.4)


def _medians(last: pd.DataFrame, axis: str) -> str:
    found = last.groupby(axis, sort=False)[PERCENT].agg(["median", "size"])
    return ", ".join(f"{v}: {say(float(row['median']))} % of {int(row['size'])}" for v, row in found.iterrows())


def section(trainings: Sequence[Training], sweeps: Mapping[str, Members], settings: ReportSettings) -> Section:
    """The section."""
    shown = [sweep(trainings, name, members, settings.term, settings.threshold) for name, members in sweeps.items()]
    return Section("sweeps", "Sweeps", figures=[figure for figure in shown if figure])

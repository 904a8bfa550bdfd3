"""Sweeps: the equivariance error by the value of every swept key, all other keys pooled.

Question: which of the swept keys change the equivariance error?
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ..._typing import Array, Mapping, Sequence
from ...settings.report import ReportSettings
from ...settings.steps import evenly_spaced
from ..figures import style
from ..figures.figure import Figure
from ..numbers import Column, Numbers, numbers, percentage
from ..questions import SYMMETRY
from ..section import Section
from ..trainings import Training, with_term
from ..wording import extremes, plural, term_words

STEP = "training_step"  # `step` might be the name of a swept key
COLUMNS = (
    Column(STEP, "step", "1"),
    *percentage("percent_equiv", "equivariance error"),
    Column("loss_total", "total loss", "1"),
)
STORED = ("percent_equiv", "percent_equiv_low", "percent_equiv_high", "loss_total", "trivial")
INNER = (0.1, 0.9)  # quantiles of the trainings at the ends of a band
LINES = 8  # most values with a line of their own in one panel

Members = Mapping[str, Mapping[str, str]]  # of a sweep: by run, the name of its value of every swept key


# numbers


def sweep_numbers(trainings: Sequence[Training], members: Members, term: str) -> Numbers | None:
    """Percentage and loss, one row per training of the sweep and checkpoint; one column per swept key.

    None if no training of the sweep is among them.
    """
    parts = []
    for training in with_term(trainings, term):
        if training.run in members:
            data = training.of_term(term)
            rows = {**members[training.run], STEP: data["step"].values} | {name: data[name].values for name in STORED}
            parts.append(training.labelled(pd.DataFrame(rows)))
    return numbers(pd.concat(parts, ignore_index=True), COLUMNS) if parts else None


def ends(found: Numbers) -> pd.DataFrame:
    """The last checkpoint of every training."""
    rows = found.data
    return rows.loc[rows.groupby(["run", "seed"], sort=False)[STEP].idxmax()]


def medians(last: pd.DataFrame, key: str) -> pd.DataFrame:
    """Median percentage at the last checkpoint, and number of trainings, by the value of a key."""
    return last.groupby(key, sort=False)["percent_equiv"].agg(["median", "size"])


def courses(found: Numbers, key: str, values: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Median and inner quantiles of the percentage by step, by value of a key; of many values only some."""
    chosen, rows = evenly_spaced(range(len(values)), LINES), {}
    for value in (values[i] for i in chosen):
        grouped = found.data[found.data[key] == value].groupby(STEP)["percent_equiv"]
        rows[value] = pd.DataFrame({"median": grouped.median()} | {q: grouped.quantile(q) for q in INNER})
    return rows


# figures


def sweep(trainings: Sequence[Training], name: str, members: Members, term: str, threshold: float) -> Figure | None:
    """Percentage over training (left) and at the last checkpoints (right), one row of panels per swept key.

    None if no training of the sweep is among them.
    """
    found = sweep_numbers(trainings, members, term)
    if found is None:
        return None
    keys, last = list(next(iter(members.values()))), ends(found)
    known = set(found.data["run"])
    values = {key: list(dict.fromkeys(members[run][key] for run in members if run in known)) for key in keys}
    middle = {key: medians(last, key) for key in keys}
    seen = [*found.data["percent_equiv"], threshold]
    lines, steps = {key: courses(found, key, values[key]) for key in keys}, found.data[STEP].to_numpy()

    def draw(canvas: Canvas, columns: int) -> None:
        panels = [p.ax for p in style.panels(canvas, 2 * len(keys), columns, sharex=False, sharey=False)]
        for key, left, right in zip(keys, panels[::2], panels[1::2], strict=True):
            _courses(left, lines[key], steps)
            _ends(right, last, key, values[key], middle[key]["median"])
            for ax in (left, right):
                style.log_axis(ax, seen, "equivariance error\n[% of held-out loss]")
                ax.axhline(threshold, color=style.BLACK, linestyle=style.DASHED, linewidth=1)
                ax.set_title(key)

    wide, narrow = style.canvases(draw, 2 * len(keys), 2.6, most=2)
    caption = (
        f"Sweep {name}, {len(last)} trainings ({term_words(term)}). Left: medians over all trainings with a value of "
        "one key, with 10th to 90th percentile. Right: the last checkpoint of each training, with medians."
    )
    found_medians = {f"{key} {value}": row["median"] for key, rows in middle.items() for value, row in rows.iterrows()}
    small = int((last["percent_equiv"] < threshold).sum())
    text = (
        f"{small} of {plural(len(last), 'training')} end below {threshold:g} %. Medians are "
        f"{extremes(found_medians, ' %')}."
    )
    title = f"Sweep {name}: {term_words(term)}"
    return Figure(f"sweep_{name}_{term}", wide, narrow, title, caption, text, found)


def _courses(ax: Axes, lines: Mapping[str, pd.DataFrame], steps: Array) -> None:
    """A median line and a band for each value."""
    for look, (value, rows) in zip(style.shades(lines), lines.items(), strict=True):
        colour, line, marker, _ = look
        at, middle = rows.index.to_numpy(), np.where(rows["median"] > 0, rows["median"], np.nan)
        low, high = (np.maximum(rows[q].to_numpy(), 1e-30) for q in INNER)
        after = at > 0
        ax.fill_between(at[after], low[after], high[after], color=colour, alpha=0.14, linewidth=0)
        ax.plot(at[after], middle[after], color=colour, linestyle=line, marker=marker, markersize=3, label=value)
        ax.plot(at[~after], middle[~after], marker, color=colour, markersize=3)
    style.step_axis(ax, steps)
    ax.legend(loc="lower left")  # curves begin high


def _ends(ax: Axes, last: pd.DataFrame, key: str, values: Sequence[str], middle: pd.Series) -> None:
    """One point per training, side by side in the order of the trainings, and a bar at the median."""
    for i, value in enumerate(values):
        rows = last[last[key] == value]
        place = i + np.linspace(-0.3, 0.3, len(rows)) if len(rows) > 1 else np.array([float(i)])
        percent, trivial = rows["percent_equiv"].to_numpy(), rows["trivial"].to_numpy(bool)
        for hollow, face in ((False, style.GREY), (True, "white")):
            at = (trivial == hollow) & (percent > 0)
            ax.plot(place[at], percent[at], "o", color=style.GREY, markerfacecolor=face, markersize=3)
        ax.hlines(middle[value], i - 0.35, i + 0.35, color=style.BLACK, linewidth=1.8)
    long = sum(len(v) for v in values) > 40
    ax.set_xticks(range(len(values)), values, rotation=60 if long else 0, ha="right" if long else "center")
    ax.set_xlim(-0.6, len(values) - 0.4)


def section(trainings: Sequence[Training], sweeps: Mapping[str, Members], settings: ReportSettings) -> Section:
    """One figure per sweep."""
    figures = [sweep(trainings, name, members, settings.term, settings.threshold) for name, members in sweeps.items()]
    return Section(SYMMETRY, "sweeps", "Sweeps", figures=[figure for figure in figures if figure], open_figures=2)

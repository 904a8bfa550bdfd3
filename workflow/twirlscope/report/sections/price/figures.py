"""Figures of the price of symmetry: held-out loss against every cost, and losses within a budget."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Array, Sequence
from ...figures import style
from ...figures.figure import Figure
from ...figures.style import Look
from ...wording import labels_note, say, slug
from .comparison import BUILT_IN, LEARNED, TWIRLED, Comparison
from .results import LOSS, Result

LOOKS = {
    LEARNED: Look(style.FAMILIES["learned"], "-", "o", LEARNED),
    BUILT_IN: Look(style.FAMILIES["built in"], style.LINES[3], "^", BUILT_IN),
    TWIRLED: Look(style.FAMILIES["twirled"], style.LINES[1], "s", TWIRLED),
}
LABELS = {"time": "training time [s]", "FLOPs": "FLOPs of training", "updates": "updates"}
BUDGETS = {"time": "s", "FLOPs": "FLOPs"}


def figures(result: Result) -> list[Figure]:
    """The curves of a comparison, and the losses within a budget where an inference has a cost."""
    found = [curves(result)] if result.axes else []
    return found + ([budgets(result)] if result.budgets else [])


def curves(result: Result) -> Figure:
    """Best held-out loss so far against every cost of training, one line per run; the crossing with its interval."""
    rows, names = result.curves.data, list(result.axes)
    comparison = result.comparison

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, name in zip(style.panels(canvas, len(names), columns, sharex=False), names, strict=True):
            mine = rows[rows["axis"] == name]
            _curves(panel.ax, mine)
            _crossing(panel.ax, result, name)
            _log_x(panel.ax, mine["cost"], LABELS[name])
            style.log_axis(panel.ax, rows[list(LOSS)].to_numpy(), panel.y("best held-out loss"))
        line = Line2D([], [], color=style.GREY, linewidth=1, label="crossing, with its interval")
        style.legend(canvas, [*_handles(comparison, list(comparison.runs)), line])

    wide, narrow = style.canvases(draw, len(names), 3.0)
    seeds = [t for runs in comparison.runs.values() for trainings in runs.values() for t in trainings]
    caption = (
        "The lowest held-out loss of any checkpoint so far against the cost of training up to it, geometric means over "
        "seeds; FLOPs as torch counts them. Lines of one colour are runs of one family. Bands: 95 % intervals, "
        "bootstrap over held-out samples, the same for all runs, and Student's t over seeds. Grey: the cost at which "
        "the family that is ahead at the end gets ahead, and its 95 % interval."
    )
    caption += _alone_note(comparison) + labels_note(seeds)
    text = f"Held-out loss against the cost of training on {comparison.dataset}. " + " ".join(
        f"By {axis}, {family}, {run}: from {say(part['loss'].iloc[0])} at {say(part['cost'].iloc[0])} to "
        f"{say(part['loss'].iloc[-1])} at {say(part['cost'].iloc[-1])}."
        for (axis, family, run), part in rows.groupby(["axis", "family", "run"], sort=False)
    )
    title = f"Loss against cost on {comparison.dataset}"
    return Figure(f"price_{_name(result)}", wide, narrow, title, caption, text, result.curves)


def _name(result: Result) -> str:
    """The end of the names of files: the dataset and a run, since a dataset may serve several tasks."""
    return slug(f"{result.comparison.dataset}_{next(iter(result.comparison.runs[BUILT_IN]))}")


def _log_x(ax: Axes, values: pd.Series | Array, label: str) -> None:
    """A logarithmic axis of costs, with plain numbers on its ticks."""
    low, high = float(values.min()), float(values.max())
    ax.set_xscale("log")
    ticks = style.log_ticks(low, high, 4)
    style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], label)


def _curves(ax: Axes, rows: pd.DataFrame) -> None:
    """All runs against one cost."""
    for (family, _), part in rows.groupby(["family", "run"], sort=False):
        look = LOOKS[family]
        cost, loss, low, high = (part[n].to_numpy() for n in ("cost", *LOSS))
        ax.fill_between(cost, low, high, color=look.colour, alpha=0.16, linewidth=0)
        ax.plot(cost, loss, color=look.colour, linestyle=look.line, marker=look.marker, markersize=3)


def _crossing(ax: Axes, result: Result, name: str) -> None:
    """The crossing of the curves, with its interval within the measured range."""
    found = result.crossovers[name][0.0].get(LEARNED)
    if found is None or found.cost is None:
        return
    ax.axvline(found.cost, color=style.GREY, linewidth=1)
    if not result.comparison.alone:
        ax.axvspan(max(found.low, found.start), min(found.high, found.end), color=style.GREY, alpha=0.13, linewidth=0)


def _handles(comparison: Comparison, families: Sequence[str]) -> list[Line2D]:
    """Legend of the families; a family with a run of one seed says so."""
    alone = [f for f in families if any(run in comparison.alone for run in comparison.runs.get(f, ()))]
    words = {f: f"{LOOKS[f].words} (one seed)" if f in alone else LOOKS[f].words for f in families}
    return style.handles([LOOKS[f]._replace(words=words[f]) for f in families], markersize=3)


def _alone_note(comparison: Comparison) -> str:
    """A remark for captions on runs of one seed; empty if there are none."""
    alone = comparison.alone
    return f" One seed of {', '.join(alone)}: variation between seeds is unknown, no interval." if alone else ""


def budgets(result: Result) -> Figure:
    """Loss within one total budget against the number of inferences, one line per family."""
    rows = result.served.data

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(result.budgets), columns, sharex=False)
        for panel, (name, curve) in zip(panels, result.budgets.items(), strict=True):
            for family, part in rows[rows["axis"] == name].groupby("family", sort=False):
                look = LOOKS[family]
                inferences, loss, low, high = (part[n].to_numpy() for n in ("inferences", *LOSS))
                panel.ax.fill_between(inferences, low, high, color=look.colour, alpha=0.16, linewidth=0)
                panel.ax.plot(inferences, loss, color=look.colour, linestyle=look.line)
            _log_x(panel.ax, curve.inferences, "inferences")
            panel.ax.set_title(f"a budget of {say(curve.budget)} {BUDGETS[name]}")
            style.log_axis(panel.ax, rows[list(LOSS)].to_numpy(), panel.y("held-out loss within the budget"))
        style.legend(canvas, _handles(result.comparison, list(next(iter(result.budgets.values())).loss)))

    wide, narrow = style.canvases(draw, len(result.budgets), 3.0)
    caption = (
        "One budget for training and inferences together, the largest that both families were trained for: the lowest "
        "loss that it allows against the number of inferences, one sample each. Inferences are paid first, the rest is "
        "for training; a line ends where nothing is left. Twirled at test time: the best of 2, 4 and 8 independent "
        "rotations, of D2, T, O and I as predicted from the spectrum of every checkpoint, and of all rotations of a "
        "finite group. Bands: 95 % intervals, bootstrap over held-out samples and Student's t over seeds."
    ) + _alone_note(result.comparison)
    text = f"Loss within a total budget on {result.comparison.dataset}. " + " ".join(
        f"By {axis}, {family}: {say(part['loss'].iloc[0])} with {say(part['inferences'].iloc[0])} inferences, "
        f"{say(part['loss'].iloc[-1])} with {say(part['inferences'].iloc[-1])}."
        for (axis, family), part in rows.groupby(["axis", "family"], sort=False)
    )
    title = f"Which is cheaper when you run it N times? {result.comparison.dataset}"
    return Figure(f"serving_{_name(result)}", wide, narrow, title, caption, text, result.served)

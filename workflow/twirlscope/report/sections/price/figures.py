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
from ...wording import extremes, say, slug
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
    caption = (
        "Lowest held-out loss so far against the cost of training, means over seeds. Lines of one colour are one "
        "family. Grey: the cost at which the family that is ahead at the end gets ahead."
    ) + _alone_note(comparison)
    ends = rows.groupby(["axis", "family", "run"], sort=False)["loss"].last()
    text = f"At the end of training {ends.idxmin()[1]} symmetry has the lowest loss on {comparison.dataset}. The last "
    text += f"losses are {extremes({run: loss for (_, _, run), loss in ends.items()})}."
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
    return f" One seed of {', '.join(alone)}: no interval." if alone else ""


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
        "Lowest loss that one budget for training and inferences together allows, against the number of inferences. A "
        "line ends where nothing is left for training. Twirled: the best way of averaging over rotations at test time."
    ) + _alone_note(result.comparison)
    first, last = (rows.groupby(["axis", "family"], sort=False)["loss"].agg(end) for end in ("first", "last"))
    text = f"With few inferences {first.idxmin()[1]} symmetry has the lowest loss on {result.comparison.dataset}: "
    text += f"{say(first.min())}. The more inferences, the less training: losses reach {say(last.max())}."
    title = f"Which is cheaper when you run it N times? {result.comparison.dataset}"
    return Figure(f"serving_{_name(result)}", wide, narrow, title, caption, text, result.served)

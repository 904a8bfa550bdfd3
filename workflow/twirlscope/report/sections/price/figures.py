"""The figures of the price of symmetry: held-out loss against every cost, and what a total budget buys."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Sequence
from ...figures import style
from ...figures.figure import Chart, Figure
from ...wording import labels_note, say, slug
from .comparison import BUILT_IN, LEARNED, TWIRLED
from .crossover import Curves
from .serving import Reach
from .verdict import Verdict

COLOURS = {LEARNED: style.BLUE, BUILT_IN: style.RED, TWIRLED: style.GREEN}
LOOKS = {LEARNED: ("-", "o"), BUILT_IN: (style.LINES[3], "^"), TWIRLED: (style.LINES[1], "s")}
HEADS = ("loss [1]", "loss, from [1]", "loss, to [1]")
LABELS = {"time": "training time [s]", "FLOPs": "FLOPs of training", "updates": "updates"}
BUDGETS = {"time": "s", "FLOPs": "FLOPs"}


def price_figures(verdict: Verdict) -> list[Figure]:
    """The curves of a comparison, and what a total budget buys where serving has a cost."""
    found = [curves(verdict)] if verdict.axes else []
    return found + ([serving(verdict)] if verdict.reaches else [])


def curves_table(verdict: Verdict) -> pd.DataFrame:
    """One row a cost, run and checkpoint after step 0: cost and best loss so far, with its 95 % interval."""
    parts = []
    for name, axis in verdict.axes.items():
        for family, runs in verdict.comparison.runs.items():
            for run, each in zip(runs, axis.families[family], strict=True):
                parts.append(pd.DataFrame({"cost axis": name, "family": family, "run": run} | _ends(each)))
    return pd.concat(parts, ignore_index=True)


def _ends(each: Curves) -> dict[str, np.ndarray]:
    low, high = np.quantile(each.loss[1:], [0.025, 0.975], axis=0, method="inverted_cdf")
    return dict(zip(("cost [1]", *HEADS), np.exp([each.cost[0], each.loss[0], low, high]), strict=True))


def curves(verdict: Verdict) -> Figure:
    """Best held-out loss reached against every cost of training, a line a run; the crossing with its interval."""
    table, names = curves_table(verdict), list(verdict.axes)
    families = verdict.comparison.runs

    def draw(canvas: Canvas, columns: int) -> None:
        axes = canvas.subplots(math.ceil(len(names) / columns), columns, squeeze=False, sharey=True).ravel()
        for i, (ax, name) in enumerate(zip(axes, names, strict=False)):
            _panel(ax, table[table["cost axis"] == name])
            _crossing(ax, verdict, name)
            _log_x(ax, table[table["cost axis"] == name]["cost [1]"], LABELS[name])
            style.log_axis(ax, table[list(HEADS)].to_numpy(), "best held-out loss" if i % columns == 0 else "")
        for spare in axes[len(names) :]:
            spare.remove()
        style.legend(canvas, [*_handles(list(families)), _crossing_handle()])

    wide, narrow = style.canvases(draw, len(names), 3.0)
    seeds = [t for runs in families.values() for each in runs.values() for t in each]
    caption = (
        "The lowest held-out loss of any checkpoint so far against what training had cost by then, geometric means "
        "over seeds; FLOPs as torch counts them. Several lines of one colour are several runs of one family. Bands: 95 "
        "% intervals, bootstrap over seeds and held-out samples, the same samples for all. Grey: where the family that "
        "is ahead at the end gets ahead, and the 95 % interval of that cost."
    ) + labels_note(seeds)
    text = f"Held-out loss against the cost of training on {verdict.comparison.dataset}. " + " ".join(
        f"By {axis}, {family}, {run}: from {say(part[HEADS[0]].iloc[0])} at {say(part['cost [1]'].iloc[0])} to "
        f"{say(part[HEADS[0]].iloc[-1])} at {say(part['cost [1]'].iloc[-1])}."
        for (axis, family, run), part in table.groupby(["cost axis", "family", "run"], sort=False)
    )
    title = f"Loss against cost on {verdict.comparison.dataset}"
    best = {"best held-out loss": HEADS}
    chart = Chart("cost [1]", best, "best held-out loss", by=("family", "run"), panel=("cost axis",))
    return Figure(f"price_{_name(verdict)}", wide, narrow, title, caption, text, table, chart)


def _name(verdict: Verdict) -> str:
    """For files: the dataset and a run, since a dataset may serve several tasks."""
    return slug(f"{verdict.comparison.dataset}_{next(iter(verdict.comparison.runs[BUILT_IN]))}")


def _log_x(ax: Axes, values: pd.Series | np.ndarray, label: str) -> None:
    """A logarithmic axis of costs, with plain words on its ticks."""
    low, high = float(values.min()), float(values.max())
    ax.set_xscale("log")
    ticks = style.log_ticks(low, high, 4)
    style.set_ticks(ax.xaxis, ticks, [style.power(t) for t in ticks], [], label)


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    """All runs against one cost."""
    for (family, _), part in table.groupby(["family", "run"], sort=False):
        colour, (line, marker) = COLOURS[family], LOOKS[family]
        cost, loss, low, high = (part[h].to_numpy() for h in ("cost [1]", *HEADS))
        ax.fill_between(cost, low, high, color=colour, alpha=0.16, linewidth=0)
        ax.plot(cost, loss, color=colour, linestyle=line, marker=marker, markersize=3)


def _crossing(ax: Axes, verdict: Verdict, name: str) -> None:
    """Where the curves cross, with the interval within the measured range."""
    found = verdict.crossovers[name][0.0].get(LEARNED)
    if found is None or found.cost is None:
        return
    ax.axvline(found.cost, color=style.GREY, linewidth=1)
    ax.axvspan(max(found.low, found.start), min(found.high, found.end), color=style.GREY, alpha=0.13, linewidth=0)


def _crossing_handle() -> Line2D:
    return Line2D([], [], color=style.GREY, linewidth=1, label="crossing, with its interval")


def _handles(families: Sequence[str]) -> list[Line2D]:
    return [
        Line2D([], [], color=COLOURS[f], linestyle=LOOKS[f][0], marker=LOOKS[f][1], markersize=3, label=f)
        for f in families
    ]


def serving(verdict: Verdict) -> Figure:
    """Loss within reach at one total budget against the number of inferences, a line a family."""
    reaches = verdict.reaches
    table = pd.concat([_reach_table(each) for each in reaches.values()], ignore_index=True)

    def draw(canvas: Canvas, columns: int) -> None:
        axes = canvas.subplots(math.ceil(len(reaches) / columns), columns, squeeze=False, sharey=True).ravel()
        for i, (ax, (name, each)) in enumerate(zip(axes, reaches.items(), strict=True)):
            for family, part in table[table["cost axis"] == name].groupby("family", sort=False):
                number, loss, low, high = (part[h].to_numpy() for h in ("inferences [1]", *HEADS))
                ax.fill_between(number, low, high, color=COLOURS[family], alpha=0.16, linewidth=0)
                ax.plot(number, loss, color=COLOURS[family], linestyle=LOOKS[family][0])
            _log_x(ax, each.inferences, "inferences")
            ax.set_title(f"a budget of {say(each.budget)} {BUDGETS[name]}")
            style.log_axis(ax, table[list(HEADS)].to_numpy(), "held-out loss within reach" if i % columns == 0 else "")
        style.legend(canvas, _handles(list(next(iter(reaches.values())).loss)))

    wide, narrow = style.canvases(draw, len(reaches), 3.0)
    caption = (
        "One budget for training and inferences together, the largest that both families were trained for: the lowest "
        "loss within reach against the number of inferences, one sample each. What inferences do not use is trained "
        "with; a line ends where nothing is left. Twirled at test time: the best of 2, 4 and 8 independent rotations, "
        "of D2, T, O and I as their spectrum predicts at every checkpoint, and of the whole group where it is finite. "
        "Bands: 95 % intervals, bootstrap over seeds and held-out samples."
    )
    text = f"Loss within reach at a total budget on {verdict.comparison.dataset}. " + " ".join(
        f"By {axis}, {family}: {say(part[HEADS[0]].iloc[0])} with {say(part['inferences [1]'].iloc[0])} inferences, "
        f"{say(part[HEADS[0]].iloc[-1])} with {say(part['inferences [1]'].iloc[-1])}."
        for (axis, family), part in table.groupby(["cost axis", "family"], sort=False)
    )
    title = f"Training and serving on {verdict.comparison.dataset}, within one budget"
    label = "held-out loss within reach"
    chart = Chart("inferences [1]", {label: HEADS}, label, by=("family",), panel=("cost axis",))
    return Figure(f"serving_{_name(verdict)}", wide, narrow, title, caption, text, table, chart)


def _reach_table(each: Reach) -> pd.DataFrame:
    """One row a family and number of inferences at which it can be had in every draw."""
    parts = []
    for family, loss in each.loss.items():
        known = np.isfinite(loss).all(0)
        low, high = np.quantile(loss[1:, known], [0.025, 0.975], axis=0)
        columns = dict(
            zip(("inferences [1]", *HEADS), (each.inferences[known], loss[0, known], low, high), strict=True)
        )
        parts.append(pd.DataFrame({"cost axis": each.axis, "family": family} | columns))
    return pd.concat(parts, ignore_index=True)

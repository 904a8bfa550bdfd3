"""The figures of learning curves: what the last checkpoint owes to the number of training samples."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from . import style
from .charts import Chart
from .figures import look_of
from .hints import Sequence
from .learning import EPOCHS, ERROR, LOSS, PERCENT, SAMPLES
from .style import Figure
from .trainings import say, words

SHARE, LOW, HIGH = (f"{PERCENT}{end} [%]" for end in ("", ", from", ", to"))


def learning_curves(frame: pd.DataFrame, labels: str) -> list[Figure]:
    """A figure a dataset and term: what is held out is the same on all curves of one.

    Args:
        frame: what `learning.learning_frame` gives.
        labels: what the targets are, for the caption.
    """
    parts = frame.groupby(["dataset", "term"], sort=False)
    return [_figure(part, dataset, term, labels) for (dataset, term), part in parts]


def means(frame: pd.DataFrame, heads: Sequence[str]) -> pd.DataFrame:
    """Means over the seeds of one curve, by number of samples; not a number where any seed has none."""
    return frame.groupby(SAMPLES)[list(heads)].agg(lambda values: values.mean(skipna=False))


def _figure(frame: pd.DataFrame, dataset: str, term: str, labels: str) -> Figure:
    errors = [h for h in frame if h.startswith(ERROR) and frame[h].notna().any()]
    frame = frame[[h for h in frame if not h.startswith(ERROR) or h in errors]].reset_index(drop=True)
    panels = {LOSS: "held-out loss", **{h: h.replace(" [", "\n[") for h in errors}}
    panels[SHARE] = "equivariance error\n[% of held-out loss]"
    curves = dict(list(frame.groupby("curve", sort=False)))
    looks = {name: look_of(i) for i, name in enumerate(curves)}

    def draw(canvas: Canvas, columns: int) -> None:
        rows = math.ceil(len(panels) / columns)
        axes = canvas.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for i, (ax, (head, label)) in enumerate(zip(axes, panels.items(), strict=True)):
            for name, part in curves.items():
                _curve(ax, part, head, looks[name])
            ends = frame[[LOW, HIGH]].to_numpy().ravel() if head == SHARE else []
            style.log_axis(ax, [*frame[head], *ends], label)
            style.step_axis(ax, frame[SAMPLES].to_numpy(), "training samples" if i >= len(panels) - columns else "")
        handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=n) for n, (c, ls, m) in looks.items()]
        trivial = {"color": style.GREY, "marker": "o", "linestyle": "none", "markerfacecolor": "white"}
        hollow = [Line2D([], [], label="trivial: nothing learned", **trivial)] if frame["trivial"].any() else []
        style.legend(canvas, handles + hollow)

    wide, narrow = style.canvases(draw, len(panels), 2.8)
    text = f"Learning curves of {words(term)} on {dataset}, means over seeds. " + " ".join(
        _text(name, part, list(panels)) for name, part in curves.items()
    )
    title = f"Learning curve on {dataset}: {words(term)}"
    chart = Chart(SAMPLES, {"held-out loss": (LOSS,)}, "held-out loss", by=("curve",))
    return Figure(f"learning_{dataset}_{term}", wide, narrow, title, _caption(frame, term) + labels, text, frame, chart)


def _caption(frame: pd.DataFrame, term: str) -> str:
    low, high = frame[EPOCHS].min(), frame[EPOCHS].max()
    error = "root mean square error of a component, " if any(h.startswith(ERROR) for h in frame) else ""
    caption = (
        f"The last checkpoint ({words(term)}) against the number of training samples: held-out loss in units of the "
        f"loss, {error}and the share of the loss that is equivariance error, with 95 % intervals by held-out sample. "
        "A point a seed, lines through their means. All else is the same on a curve: smaller training sets lie within "
        "larger ones, what the preparation learns from the train split (such as scales) comes from all of it, and the "
        "number of updates is the same, so that each of fewer samples is seen more often: "
        f"{say(high)} times at most, {say(low)} times at least."
    )
    hidden = int((frame[SHARE] <= 0).sum())
    if hidden:
        caption += f" {hidden} estimates at or below zero do not fit a logarithmic axis; they are in the table."
    return caption


def _curve(ax: Axes, frame: pd.DataFrame, head: str, look: tuple) -> None:
    """One quantity of one curve; with intervals where it has them."""
    colour, line, marker = look
    mean = means(frame, [head])[head]
    ax.plot(mean.index, np.where(mean > 0, mean, np.nan), color=colour, linestyle=line)
    shown = frame[frame[head] > 0]
    for hollow, face in ((False, colour), (True, "white")):
        rows = shown[shown["trivial"] == hollow]
        value, low, high = (rows[h].to_numpy() for h in (head, LOW, HIGH))
        bars = [np.maximum(value - low, 0), np.maximum(high - value, 0)] if head == SHARE else None
        marks = {"color": colour, "markerfacecolor": face, "markersize": 3.2, "markeredgewidth": 0.8}
        ax.errorbar(rows[SAMPLES], value, yerr=bars, fmt=marker, elinewidth=0.8, **marks)


def _text(name: str, frame: pd.DataFrame, heads: Sequence[str]) -> str:
    said = []
    for samples, row in means(frame, heads).iterrows():
        numbers = [f"{say(row[h])} {h[h.index('[') + 1 : -1]}" for h in heads if h != LOSS]
        said.append(f"{samples} samples: loss {say(row[LOSS])}, {', '.join(numbers)}")
    return f"{name}: {'; '.join(said)}."

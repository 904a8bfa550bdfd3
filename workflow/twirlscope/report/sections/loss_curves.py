"""The two parts of the held-out loss over training, beside published curves.

Published losses are in the authors' units. They are scaled so that the first total loss of the curve is the loss of
predicting zero here: slopes and ratios of the parts can be compared, not the losses themselves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Array, Sequence
from ..figures import published, style
from ..figures.curves import curve, floored, steps_of, twirl_numbers
from ..figures.figure import Figure
from ..figures.marks import of_seed
from ..numbers import ENDS, Column, Numbers, numbers
from ..published.curves import PublishedCurve
from ..trainings import PRIMARY, Training, by_run, primary_term, with_term
from ..wording import extremes, plural, term_words

FLOOR = "loss_equiv_floor"
PARTS = ("mean", "equiv")  # that published curves show; the total is close to their sum
TIME = 0.8  # of a flow, of the published curves
NAMES = {part: tuple(f"loss_{part}{end}" for end in ENDS) for part in style.PARTS}


# published


def published_losses(training: Training, term: str) -> dict[str, PublishedCurve]:
    """The published curves of the task by part of the loss, for the primary term; else none."""
    if term not in (PRIMARY, primary_term(training)):
        return {}
    curves = {part: published.references([training], f"loss_{part}") for part in PARTS}
    chosen = {part: [c for c in found if c.time in (None, TIME)] for part, found in curves.items()}
    return {part: found[0] for part, found in chosen.items()} if all(chosen.values()) else {}


def scale_of(training: Training, term: str, curves: dict[str, PublishedCurve]) -> float:
    """Loss of predicting zero over the first published loss."""
    return float(training.of_term(term)["loss_zero"]) / sum(float(c.value[0]) for c in curves.values())


def _with_published(table: Numbers, trainings: Sequence[Training], term: str) -> Numbers:
    """The numbers of the figure with the scaled published curves, in columns of their own."""
    parts = [table.data]
    for training in (seeds[0] for seeds in by_run(trainings).values()):
        curves = published_losses(training, term)
        for part, one in curves.items():
            rows = {"run": training.run, "seed": training.seed, "term": term, "step": one.step.astype(int)}
            parts.append(pd.DataFrame(rows | {f"published_{part}": scale_of(training, term, curves) * one.value}))
    more = [Column(f"published_{part}", f"published {style.PARTS[part].words}, scaled", "1") for part in PARTS]
    return numbers(pd.concat(parts, ignore_index=True), [*table.columns, *more]) if len(parts) > 1 else table


# sentences


def _words(chosen: Sequence[Training], term: str) -> str:
    """The smaller part of the loss at the end, and the range of both parts."""
    parts = [{t.label: float(t.last(term)[f"loss_{part}"]) for t in chosen} for part in PARTS]
    smaller = sum(parts[1][name] < parts[0][name] for name in parts[0])
    mean, equiv = map(extremes, parts)
    text = f"The equivariance error is the smaller part at the end of {smaller} of {plural(len(chosen), 'training')}. "
    return f"{text}It ends at {equiv}, the twirled prediction error at {mean}."


# figures


def losses(trainings: Sequence[Training], term: str) -> Figure:
    """Total loss and its two parts over training, one panel per run, with the loss of predicting zero."""
    chosen = with_term(trainings, term)
    groups = by_run(chosen)
    table = twirl_numbers(trainings, term, [n for names in NAMES.values() for n in names] + ["loss_zero", FLOOR])
    values = table.data[[f"loss_{p}" for p in style.PARTS] + ["loss_zero"]].to_numpy()
    equiv = np.arange(4) == list(style.PARTS).index("equiv")
    seen = np.where(floored(chosen, term)[:, None] & equiv, np.nan, values)
    grey = any(published_losses(t, term) for t in chosen)

    def draw(canvas: Canvas, columns: int, behind: bool = False) -> None:
        for panel, (run, seeds) in zip(style.panels(canvas, len(groups), columns), groups.items(), strict=True):
            steps = _panel(panel.ax, seeds, term, behind)
            style.log_axis(panel.ax, seen, panel.y("held-out loss"))
            style.step_axis(panel.ax, np.concatenate([steps_of(chosen), steps]), panel.x("training step"))
            panel.ax.set_title(run)
        zero = Line2D([], [], color=style.GREY, linestyle=":", linewidth=1.2, label="loss of predicting zero")
        found = [*style.handles(style.PARTS.values()), zero, style.band()]
        style.legend(canvas, [*found, *([published.handle("published, scaled")] if behind else [])])

    wide, narrow = style.canvases(lambda *a: draw(*a, grey), len(groups), 2.6)
    plain = style.canvases(draw, len(groups), 2.6) if grey else None
    text = _words(chosen, term)
    caption = (
        f"Held-out loss ({term_words(term)}), split exactly into the twirled prediction error and the equivariance "
        "error."
    )
    caption += " Grey: published losses, scaled to begin at the loss of predicting zero." if grey else ""
    title = f"The two parts of the loss: {term_words(term)}"
    table = _with_published(table, chosen, term)
    return Figure(f"losses_{term}", wide, narrow, title, caption, text, table, plain, term_words(term))


def _panel(ax: Axes, seeds: Sequence[Training], term: str, behind: bool) -> Array:
    """The curves of one run; returns the steps of the published ones."""
    curves = published_losses(seeds[0], term) if behind else {}
    for part, one in curves.items():
        published.draw(ax, [one], scale_of(seeds[0], term, curves), style.PARTS[part].line)
    for training in reversed(seeds):
        data = training.of_term(term)
        for part, look in style.PARTS.items():
            lines = [data[name].values for name in NAMES[part]]
            with of_seed(ax, training.seed):
                curve(ax, data["step"].values, lines, look, main=training is seeds[0])
    ax.axhline(float(seeds[0].of_term(term)["loss_zero"]), color=style.GREY, linestyle=":", linewidth=1.2)
    return np.array(published.steps(list(curves.values())))

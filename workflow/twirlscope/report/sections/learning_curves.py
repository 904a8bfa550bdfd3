"""Section on learning curves: last checkpoints of runs that differ only in the number of training samples.

A curve needs two sizes. Runs that differ in anything else that the config can say, seeds aside, or that were measured
in another way, are never on one curve.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Sequence
from ..figures import style
from ..figures.curves import look_of
from ..figures.figure import Chart, Figure
from ..headline import physical_error, with_scale
from ..section import Section
from ..tables import Table, interval, with_intervals
from ..trainings import Training
from ..wording import labels_note, say, words

PERCENT = "equivariance error"
SHARE, LOW, HIGH = (f"{PERCENT}{end} [%]" for end in ("", ", from", ", to"))
SAMPLES, EPOCHS, ERROR = "training samples [1]", "epochs [1]", "root mean square error"
LOSSES = {"total loss [1]": "total", "twirled prediction error [1]": "mean", "equivariance error [1]": "equiv"}
LOSS = "total loss [1]"


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


def curves(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    """The trainings of each curve, fewest samples first, by the names of its first and its last run."""
    groups: dict[tuple[str, str], list[Training]] = {}
    for training in trainings:
        if training.train is not None and "training_samples" in training.train.attrs:
            groups.setdefault(_all_but_size(training), []).append(training)
    ordered = [sorted(group, key=_size) for group in groups.values()]
    return {f"{g[0].run} to {g[-1].run}": g for g in ordered if _size(g[0]) < _size(g[-1])}


def _size(training: Training) -> int:
    """The number of training samples: those that were used, also where the config says 0 for all."""
    return int(training.train.attrs["training_samples"])


def _all_but_size(training: Training) -> tuple[str, str]:
    """What the trainings of a curve share: the run but for samples and seed, and how its checkpoints were measured."""
    run = json.loads(training.train.attrs["run"])
    settings = {k: v for k, v in run["train"].items() if k != "samples"}
    rest = {k: v for k, v in run.items() if k != "seed"} | {"train": settings}
    return json.dumps(rest, sort_keys=True), training.twirl.attrs.get("settings", "")


def learning_frame(trainings: Sequence[Training]) -> pd.DataFrame | None:
    """One row a training of a curve and term at the last checkpoint; None where there is no curve.

    The weighted sum of the terms is left out where there is one term alone.
    """
    rows = [
        _row(name, training, str(term))
        for name, group in curves(trainings).items()
        for training in group
        for term in training.twirl["term"].values
        if term != "weighted" or training.twirl.sizes["term"] > 2
    ]
    return pd.DataFrame(rows) if rows else None


def _row(curve: str, training: Training, term: str) -> dict:
    last, size = training.twirl.sel(term=term).isel(step=-1), _size(training)
    step, batch = int(last["step"]), json.loads(training.train.attrs["run"])["train"]["batch"]
    value, unit = physical_error(training, term) if term in with_scale(training) else (None, "1")
    return {
        "run": training.run,
        "seed": training.seed,
        "curve": curve,
        "dataset": training.dataset,
        "term": term,
        SAMPLES: size,
        EPOCHS: step * batch / size,
        "step [1]": step,
        **{name: float(last[f"loss_{part}"]) for name, part in LOSSES.items()},
        **interval(last, "percent_equiv", PERCENT),
        "trivial": bool(last["trivial"]),
        **({f"{ERROR} [{unit}]": value} if unit != "1" else {}),
    }


def learning_table(frame: pd.DataFrame) -> Table:
    """What `learning_frame` gives, for the page."""
    caption = (
        "The last checkpoint of runs that differ in the number of training samples alone: total held-out loss in units "
        "of the loss, equivariance error with its 95 % interval, whether nothing was learned (trivial), and the root "
        "mean square error of a component. Epochs: how often each training sample was seen."
    )
    extra = ["curve", "dataset", "step [1]", *(name for name in LOSSES if name != LOSS)]
    brief = with_intervals(frame, [PERCENT]).drop(columns=extra)
    return Table("learning", caption, frame, brief)


def section(trainings: Sequence[Training]) -> Section:
    """The section."""
    frame = learning_frame(trainings)
    if frame is None:
        return Section("learning", "Learning curve")
    shown = learning_curves(frame, labels_note(trainings))
    return Section("learning", "Learning curve", figures=shown, tables=[("Learning curve", learning_table(frame))])

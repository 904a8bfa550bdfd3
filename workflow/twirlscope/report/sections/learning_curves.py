"""Learning curves: last checkpoints of runs that differ only in the number of training samples.

Question: does the equivariance error fall with more data?

A curve needs two sizes. Runs on one curve have the same settings but for samples and seed, and the same measurement.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Mapping, Sequence
from ..figures import style
from ..figures.figure import Figure, tabbed
from ..headline import physical_error, with_scale
from ..numbers import Column, Numbers, numbers, percentage
from ..questions import QUALITY
from ..section import Section
from ..tables import Table, interval, with_intervals
from ..trainings import Training
from ..wording import extremes, not_learned, plural, say, term_words

RMSE = "rmse_"  # beginning of the names of columns, one per unit
LOSSES = ("total", "mean", "equiv")
COLUMNS = (
    Column("samples", "training samples", "1"),
    Column("epochs", "epochs", "1"),
    Column("step", "step", "1"),
    Column("total", "total loss", "1"),
    Column("mean", "twirled prediction error", "1"),
    Column("equiv", "equivariance error", "1"),
    Column("trivial", "not yet learned"),
    *percentage("percent", "equivariance error"),
)
NOT_SHOWN = ("curve", "dataset", "step", "mean", "equiv")  # on the page


# numbers


def curves(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    """The trainings of each curve, fewest samples first, by the names of its first and its last run."""
    groups: dict[tuple[str, str], list[Training]] = {}
    for training in trainings:
        if "training_samples" in training.attrs:
            groups.setdefault(_all_but_samples(training), []).append(training)
    ordered = [sorted(group, key=_samples) for group in groups.values()]
    return {f"{g[0].run} to {g[-1].run}": g for g in ordered if _samples(g[0]) < _samples(g[-1])}


def _samples(training: Training) -> int:
    """The number of training samples that were used, also where the config says 0 for all."""
    return int(training.attrs["training_samples"])


def _all_but_samples(training: Training) -> tuple[str, str]:
    """The settings that trainings on one curve share: of the run but for samples and seed, and of the measurement."""
    settings = {k: v for k, v in training.spec["train"].items() if k != "samples"}
    rest = {k: v for k, v in training.spec.items() if k != "seed"} | {"train": settings}
    return json.dumps(rest, sort_keys=True), training.twirl.attrs.get("settings", "")


def last_checkpoints(trainings: Sequence[Training]) -> Numbers | None:
    """Losses at the last checkpoint, one row per training of a curve and term; None if there is no curve.

    The weighted sum of the terms is left out if there is only one term.
    """
    rows = [
        _row(name, training, str(term))
        for name, group in curves(trainings).items()
        for training in group
        for term in training.twirl["term"].values
        if term != "weighted" or training.twirl.sizes["term"] > 2
    ]
    units = dict.fromkeys(name.removeprefix(RMSE) for row in rows for name in row if name.startswith(RMSE))
    errors = [Column(f"{RMSE}{unit}", "root mean square error by sample", unit) for unit in units]
    return numbers(pd.DataFrame(rows), [*COLUMNS, *errors]) if rows else None


def _row(curve: str, training: Training, term: str) -> dict:
    last, samples = training.last(term), _samples(training)
    step, batch = int(last["step"]), training.spec["train"]["batch"]
    value, unit = physical_error(training, term) if term in with_scale(training) else (None, "1")
    return {
        "run": training.run,
        "seed": training.seed,
        "curve": curve,
        "dataset": training.dataset,
        "term": term,
        "samples": samples,
        "epochs": step * batch / samples,
        "step": step,
        **{part: float(last[f"loss_{part}"]) for part in LOSSES},
        **interval(last, "percent_equiv", "percent"),
        "trivial": bool(last["trivial"]),
        **({f"{RMSE}{unit}": value} if unit != "1" else {}),
    }


def of_term(found: Numbers) -> list[tuple[str, str, Numbers]]:
    """The rows of each dataset and term, with both names, without errors in units that the term does not have."""
    parts = []
    for (dataset, term), rows in found.data.groupby(["dataset", "term"], sort=False):
        absent = [name for name in rows if name.startswith(RMSE) and not rows[name].notna().any()]
        parts.append((dataset, term, Numbers(rows.reset_index(drop=True), found.columns).without(absent)))
    return parts


def means(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Means over the seeds of one curve, by number of samples; NaN where the value of any seed is NaN."""
    return rows.groupby("samples")[list(names)].agg(lambda values: values.mean(skipna=False))


# sentences


def _words(mean: Mapping[str, pd.DataFrame]) -> str:
    """The number of curves on which the loss falls with more samples, and the range of the loss."""
    fell = sum(float(rows["total"].iloc[-1]) < float(rows["total"].iloc[0]) for rows in mean.values())
    losses = {f"{name}, {n} samples": row["total"] for name, rows in mean.items() for n, row in rows.iterrows()}
    return f"The loss falls with more samples on {fell} of {plural(len(mean), 'curve')}. Losses are {extremes(losses)}."


# figures


def figure(found: Numbers, dataset: str, term: str, trainings: Sequence[Training]) -> Figure:
    """Loss, error in the unit of the data, and percentage against the number of samples, one line per curve."""
    rows = found.data
    shown = [c for c in found.columns if c.name == "total" or c.name.startswith(RMSE) or c.name == "percent"]
    shown.sort(key=lambda c: (c.name != "total", c.name == "percent"))
    labels = {c.name: f"{c.words}\n[{c.unit}]" for c in shown}
    labels |= {"total": "held-out loss", "percent": "equivariance error\n[% of held-out loss]"}
    parts = dict(list(rows.groupby("curve", sort=False)))
    mean = {name: means(part, list(labels)) for name, part in parts.items()}
    looks = dict(zip(parts, style.shades(parts), strict=True))

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(labels), columns, sharey=False)
        for panel, (name, label) in zip(panels, labels.items(), strict=True):
            for curve, part in parts.items():
                _curve(panel.ax, part, mean[curve][name], looks[curve])
            ends = rows[["percent_low", "percent_high"]].to_numpy().ravel() if name == "percent" else []
            style.log_axis(panel.ax, [*rows[name], *ends], label)
            style.step_axis(panel.ax, rows["samples"].to_numpy(), panel.x("training samples"))
        white = {"color": style.GREY, "marker": "o", "linestyle": "none", "markerfacecolor": "white"}
        hollow = [Line2D([], [], label=not_learned(trainings), **white)] if rows["trivial"].any() else []
        style.legend(canvas, [*style.handles(looks.values()), *hollow])

    wide, narrow = style.canvases(draw, len(labels), 2.8)
    text = _words(mean)
    title = f"Learning curve on {dataset}: {term_words(term)}"
    caption = (
        f"Last checkpoint ({term_words(term)}) against the number of training samples, lines through means over seeds. "
        f"The number of updates is the same: samples are seen {say(rows['epochs'].min())} to "
        f"{say(rows['epochs'].max())} times."
    )
    name = f"learning_{dataset}_{term}"
    return Figure(name, wide, narrow, title, caption, text, found, tab=f"{dataset}, {term_words(term)}")


def _curve(ax: Axes, rows: pd.DataFrame, mean: pd.Series, look: style.Look) -> None:
    """One quantity of one curve; the percentage with its intervals."""
    colour, line, marker, _ = look
    name = mean.name
    ax.plot(mean.index, np.where(mean > 0, mean, np.nan), color=colour, linestyle=line)
    positive = rows[rows[name] > 0]
    for hollow, face in ((False, colour), (True, "white")):
        part = positive[positive["trivial"] == hollow]
        value, low, high = (part[n].to_numpy() for n in (name, "percent_low", "percent_high"))
        bars = [np.maximum(value - low, 0), np.maximum(high - value, 0)] if name == "percent" else None
        settings = {"color": colour, "markerfacecolor": face, "markersize": 3.2, "markeredgewidth": 0.8}
        ax.errorbar(part["samples"], value, yerr=bars, fmt=marker, elinewidth=0.8, **settings)


# tables


def learning_table(found: Numbers, trainings: Sequence[Training]) -> Table:
    """The last checkpoints of all curves; on the page with fewer columns."""
    caption = (
        "The last checkpoint of runs that differ only in the number of training samples: total held-out loss in units "
        f"of the loss, equivariance error with its 95 % interval, whether the run is {not_learned(trainings)}, and the "
        "root mean square error of a component. Epochs: passes over the training samples."
    )
    return Table("learning", caption, found, with_intervals(found, ["percent"]).without(NOT_SHOWN))


def section(trainings: Sequence[Training]) -> Section:
    """One figure per dataset and term, and a table of all curves; empty if there is no curve."""
    found = last_checkpoints(trainings)
    if found is None:
        return Section(QUALITY, "learning", "Learning curve")
    figures = [figure(part, dataset, term, trainings) for dataset, term, part in of_term(found)]
    tables = [("Learning curve", learning_table(found, trainings))]
    return Section(QUALITY, "learning", "Learning curve", (), tabbed(figures), tables, open_figures=1)

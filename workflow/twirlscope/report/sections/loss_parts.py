"""The two parts of the held-out loss: over training, by a covariate of the sample, in other losses, as excess loss.

Question: how do the twirled prediction error and the equivariance error fall?

If the target is noisy the loss does not fall to 0, so that a percentage of it flatters every model. The excess over the
best loss of any other run then shows how much of the loss that can still be learned is equivariance error.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from ..._typing import Sequence
from ...estimators.bootstrap import standard_error
from ..figures import style
from ..figures.figure import Figure, tabbed
from ..numbers import Column, Numbers, numbers, percentage, stored
from ..questions import SYMMETRY
from ..section import Section
from ..tables import Table, interval, present_tables, with_intervals
from ..trainings import PRIMARY, Training, by_run, first_seeds, other_terms, terms_of, with_term
from ..wording import extremes, say, term_words
from . import loss_curves

BINS = 8  # of equally many samples
PARTS = ("mean", "equiv")
ERRORS = tuple(f"loss_{part}_error" for part in ("total", *PARTS))

EXCESS = (
    Column("step", "step", "1"),
    *stored("loss_total", "loss_equiv", "percent_equiv"),
    Column("excess", "excess over the best loss", "1"),
    Column("percent_of_excess", "equivariance error", "% of the excess"),
    Column("remark", "why no excess"),
)
COVARIATE = (
    *(Column(name, name, "1") for name in ("samples", "low", "high", "middle", *ERRORS)),
    *stored("loss_total", "loss_mean", "loss_equiv", "percent_equiv"),
)
CONVEX = (
    Column("total", "total loss", "1"),
    Column("mean", "twirled prediction error", "1"),
    Column("equiv", "equivariance error", "1"),
    *percentage("percent", "equivariance error"),
    Column("learned", "learned fraction", "1"),
)


# numbers


def excess_numbers(trainings: Sequence[Training]) -> Numbers | None:
    """Losses and their excess, one row per training and checkpoint at which it has learned; None without any.

    Runs are compared that have the same dataset, task settings, split and held-out samples, and with these the same
    noise and times. The run with the lowest loss is the best of them, and has no excess at any checkpoint.
    """
    groups: dict[tuple, list[Training]] = {}
    for training in trainings:
        groups.setdefault(_held_out(training), []).append(training)
    rows = [row for group in groups.values() for row in _excess_rows(group)]
    return numbers(pd.DataFrame(rows), EXCESS) if rows else None


def _held_out(training: Training) -> tuple:
    """Everything that the loss of two trainings must share to be compared."""
    task = json.dumps(training.spec.get("task", {}), sort_keys=True)
    split = training.twirl.attrs.get("split", "")
    return training.dataset, task, split, training.twirl["sample"].values.tobytes()


def _excess_rows(group: Sequence[Training]) -> list[dict]:
    """The checkpoints of trainings that can be compared."""
    lowest = [np.nanmin(t.twirl["loss_total"].sel(term="weighted").values, initial=np.inf) for t in group]
    best, baseline, rows = group[int(np.argmin(lowest))].run, float(np.min(lowest)), []
    alone = len(by_run(group)) == 1
    for training in group:
        data = training.twirl.sel(term="weighted")
        remark = "" if training.run != best else "the only run" if alone else "the best run"
        for k in np.flatnonzero(~data["trivial"].values):
            total, equiv, percent = (float(data[n][k]) for n in ("loss_total", "loss_equiv", "percent_equiv"))
            excess = None if remark else total - baseline
            rows.append(
                {
                    "run": training.run,
                    "seed": training.seed,
                    "step": int(data["step"][k]),
                    "loss_total": total,
                    "excess": excess,
                    "loss_equiv": equiv,
                    "percent_equiv": percent,
                    "percent_of_excess": 100 * equiv / excess if excess else None,
                    "remark": remark,
                }
            )
    return rows


def binned(training: Training, term: str, step: int = -1) -> pd.DataFrame:
    """Parts of the loss in bins of equally many samples, with standard errors; the percentage is a ratio of means."""
    data = training.of_term(term).isel(step=step)
    covariate = data["sample_covariate"].values
    order = np.argsort(covariate, kind="stable")
    rows = []
    for chosen in np.array_split(order, min(BINS, max(len(order) // 4, 1))):
        at = covariate[chosen]
        row = {"run": training.run, "seed": training.seed, "samples": len(chosen)}
        row |= {"low": at.min(), "high": at.max(), "middle": at.mean()}
        for part in ("total", *PARTS):
            values = data[f"sample_loss_{part}"].values[chosen]
            row[f"loss_{part}"] = values.mean()
            row[f"loss_{part}_error"] = standard_error(values, data["cluster"].values[chosen])
        row["percent_equiv"] = 100 * row["loss_equiv"] / row["loss_total"]
        rows.append(row)
    return pd.DataFrame(rows)


def convex_numbers(trainings: Sequence[Training]) -> Numbers | None:
    """Other losses at the last checkpoint, one row per training, loss and term; None if none was measured."""
    rows = [
        _convex_row(training, str(loss), str(term))
        for training in trainings
        if "convex_loss_total" in training.twirl
        for loss in training.twirl["convex"].values
        for term in training.twirl["term"].values
    ]
    return numbers(pd.DataFrame(rows), CONVEX) if rows else None


def _convex_row(training: Training, loss: str, term: str) -> dict:
    last = training.last(term)
    last = last[[name for name in last if str(name).startswith("convex_")]].sel(convex=loss)
    return {
        "run": training.run,
        "seed": training.seed,
        "loss": loss,
        "term": term,
        **{part: float(last[f"convex_loss_{part}"]) for part in ("total", "mean", "equiv")},
        **interval(last, "convex_percent_equiv", "percent"),
        "learned": float(last["convex_learned_fraction"]),
    }


# figures


def by_covariate(trainings: Sequence[Training], term: str) -> Figure | None:
    """Both parts of the loss at the last checkpoint against the covariate, one panel per run; None without one."""
    chosen = [t for t in with_term(trainings, term) if "sample_covariate" in t.twirl]
    if not chosen:
        return None
    name, firsts = str(chosen[0].twirl.attrs["covariate"]), first_seeds(chosen)
    bins = [binned(t, term) for t in firsts]
    table = numbers(pd.concat(bins, ignore_index=True), COVARIATE)
    looks = {part: style.PARTS[part] for part in PARTS}

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(firsts), columns)
        for panel, training, rows in zip(panels, firsts, bins, strict=True):
            for part, (colour, line, marker, _) in looks.items():
                settings = {"color": colour, "linestyle": line, "marker": marker, "elinewidth": 0.9, "capsize": 2}
                error = rows[f"loss_{part}_error"]
                panel.ax.errorbar(rows["middle"], rows[f"loss_{part}"], yerr=error, **settings)
            style.log_axis(panel.ax, table.data[[f"loss_{p}" for p in PARTS]], panel.y("loss"))
            panel.ax.set_xlabel(panel.x(name))
            panel.ax.set_title(training.label)
        style.legend(canvas, style.handles(looks.values()))

    wide, narrow = style.canvases(draw, len(firsts), 2.7)
    caption = (
        f"Both parts of the held-out loss ({term_words(term)}) of the last checkpoint against the {name}, in bins of "
        "equally many samples, with standard errors. Part of the twirled prediction error is noise of the target."
    )
    shares = {
        f"{t.label}, {say(row.middle)}": row.percent_equiv
        for t, b in zip(firsts, bins, strict=True)
        for row in b.itertuples()
    }
    text = f"The share of the loss that is equivariance error depends on the {name}. It is {extremes(shares, ' %')}."
    title = f"Loss by {name}: {term_words(term)}"
    return Figure(f"covariate_{term}", wide, narrow, title, caption, text, table)


# tables


def excess_table(trainings: Sequence[Training]) -> Table | None:
    """The equivariance error as percent of the excess loss, on the page at the last checkpoint; None without any."""
    table = excess_numbers(trainings)
    caption = (
        "Equivariance error at the last checkpoint as percent of the loss, and of its excess over the lowest loss that "
        "any run with the same dataset, task settings, split and held-out samples has at any checkpoint. Where the "
        "target holds noise that no network can predict, as in denoising and flow matching, the loss does not fall to "
        "0, and a percentage of it flatters every network. The lowest loss is no lower bound, only the lowest one "
        "measured. The best run has no excess, and the only run on a task has nothing to be compared with. The CSV "
        "file has all checkpoints."
    )
    if table is None:
        return None
    words = {"loss_total": "total loss", "loss_equiv": "equivariance error", "percent_equiv": "equivariance error"}
    units = {"percent_equiv": "% of the loss"}
    plain = [Column(name, text, units.get(name, "1")) for name, text in words.items()]
    last = table.data.groupby(["run", "seed"], sort=False).tail(1).reset_index(drop=True)
    return Table("excess", caption, table, numbers(last, [*EXCESS, *plain]))


def convex_table(trainings: Sequence[Training]) -> Table | None:
    """Other losses at the last checkpoint; None if none was measured."""
    table = convex_numbers(trainings)
    caption = (
        "Other losses at the last checkpoint, split by jackknife. The split has a bias of order one over the square of "
        "the number of rotations, where that of the squared error has none; do not compare the two. l2: mean length "
        "of the error vectors; l1: mean absolute component; huber: squares up to a length of 1; training: every term "
        "with the loss it was trained on. In units of the loss, with 95 % intervals."
    )
    return None if table is None else Table("other_losses", caption, table, with_intervals(table, ["percent"]))


def section(trainings: Sequence[Training], every: Sequence[Training]) -> Section:
    """Losses of `trainings` as figures; other losses and excess losses of `every` training as tables."""
    terms = (PRIMARY, *other_terms(trainings)) if trainings else ()
    figures = tabbed([loss_curves.losses(trainings, term) for term in terms])
    figures += [f for t in terms_of(trainings) if t != "weighted" and (f := by_covariate(trainings, t))]
    tables = {"Other losses": convex_table(every), "Excess loss": excess_table(every)}
    return Section(
        SYMMETRY, "losses", "The two parts of the loss", figures=figures, tables=present_tables(tables), open_figures=1
    )

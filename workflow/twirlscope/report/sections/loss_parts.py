"""Section on the two parts of the loss: over training, by a number of the sample, in other losses, as excess loss.

The loss of a task whose target is itself noisy does not fall to 0, so a percent of it flatters every model. The excess
over the best loss of any run says better how much of what could still be learned is symmetry.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Sequence
from ..figures import style
from ..figures.curves import ENDS, band_handle, curve, floored, seeds_note, steps_of, twirl_table
from ..figures.figure import Chart, Figure
from ..section import Section
from ..tables import Table, interval, present_tables, with_intervals
from ..trainings import Training, by_run, distinct_terms, terms_of, with_term
from ..wording import EDGE, column, floor_note, labels_note, say, words

BINS = 8  # of equally many samples
PARTS = ("mean", "equiv")


def excess_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training and checkpoint at which something is learned; None where no target is noisy.

    Runs on one dataset are compared with each other: they have the same held-out samples, noise and times.
    """
    noisy = [t for t in trainings if "sample_covariate" in t.twirl]
    rows = [row for training in noisy for row in _rows(training, _best(training, noisy))]
    if not rows:
        return None
    caption = (
        "Equivariance error as percent of the loss and of its excess over the best loss that any run on the same "
        "dataset reached, at any checkpoint. The target holds noise that nothing can predict, so that the loss does "
        "not fall to 0. The best loss is no lower bound, only the lowest that was seen; where a run is itself the "
        "best, it has no excess."
    )
    return Table("excess", caption, pd.DataFrame(rows))


def _best(training: Training, trainings: Sequence[Training]) -> float:
    """The lowest loss of all trainings on the same dataset."""
    return min(
        float(t.twirl["loss_total"].sel(term="weighted").min()) for t in trainings if t.dataset == training.dataset
    )


def _rows(training: Training, best: float) -> list[dict]:
    """The checkpoints of one training."""
    data, rows = training.twirl.sel(term="weighted"), []
    for k in np.flatnonzero(~data["trivial"].values):
        total, equiv, percent = (float(data[n][k]) for n in ("loss_total", "loss_equiv", "percent_equiv"))
        rows.append(
            {
                "run": training.run,
                "seed": training.seed,
                "step [1]": int(data["step"][k]),
                column("loss_total"): total,
                "excess over the best loss [1]": total - best,
                column("loss_equiv"): equiv,
                column("percent_equiv"): percent,
                "equivariance error [% of the excess]": 100 * equiv / (total - best) if total > best else None,
            }
        )
    return rows


def binned(training: Training, term: str, step: int = -1) -> pd.DataFrame:
    """The parts of the loss in bins of equally many samples, with standard errors; the percent is a ratio of means."""
    data = training.twirl.sel(term=term).isel(step=step)
    order = np.argsort(data["sample_covariate"].values, kind="stable")
    rows = []
    for chosen in np.array_split(order, min(BINS, max(len(order) // 4, 1))):
        at = data["sample_covariate"].values[chosen]
        row = {"run": training.run, "seed": training.seed, "samples [1]": len(chosen)}
        row |= {"low [1]": at.min(), "high [1]": at.max(), "middle [1]": at.mean()}
        for part in ("total", *PARTS):
            values = data[f"sample_loss_{part}"].values[chosen]
            row[column(f"loss_{part}")] = values.mean()
            row[f"loss_{part}_error [1]"] = values.std(ddof=1) / np.sqrt(len(chosen)) if len(chosen) > 1 else np.nan
        row[column("percent_equiv")] = 100 * row[column("loss_equiv")] / row[column("loss_total")]
        rows.append(row)
    return pd.DataFrame(rows)


def by_covariate(trainings: Sequence[Training], term: str) -> Figure | None:
    """Both parts of the loss over the number, at the last checkpoint, a panel a run; None where there is none."""
    chosen = [t for t in with_term(trainings, term) if "sample_covariate" in t.twirl]
    if not chosen:
        return None
    name = str(chosen[0].twirl.attrs["covariate"])
    firsts = [seeds[0] for seeds in by_run(chosen).values()]
    tables = [binned(t, term) for t in firsts]
    joined = pd.concat(tables, ignore_index=True)

    def draw(canvas: Canvas, columns: int) -> None:
        axes = style.grid(canvas, len(firsts), columns)
        for i, (ax, training, table) in enumerate(zip(axes, firsts, tables, strict=True)):
            for part in PARTS:
                colour, line, marker, _ = style.PARTS[part]
                values, error = table[column(f"loss_{part}")], table[f"loss_{part}_error [1]"]
                look = {"color": colour, "linestyle": line, "marker": marker, "elinewidth": 0.9, "capsize": 2}
                ax.errorbar(table["middle [1]"], values, yerr=error, **look)
            style.log_axis(ax, joined[[column(f"loss_{p}") for p in PARTS]], "loss" if i % columns == 0 else "")
            ax.set_xlabel(name if i >= len(firsts) - columns else "")
            ax.set_title(training.label)
        looks = [style.PARTS[p] for p in PARTS]
        style.legend(canvas, [Line2D([], [], color=c, linestyle=ls, marker=m, label=t) for c, ls, m, t in looks])

    wide, narrow = style.canvases(draw, len(firsts), 2.7)
    caption = (
        f"The two parts of the held-out loss ({words(term)}) at the last checkpoint against the {name}. Each point is "
        "the mean of a bin of equally many samples, with its standard error. Part of the twirled prediction error is "
        "noise that nothing can predict, and how much depends on the same number."
    ) + labels_note(chosen)
    text = f"Loss of {words(term)} by {name}. " + " ".join(
        _text(t, table) for t, table in zip(firsts, tables, strict=True)
    )
    series = {style.PARTS[p][3]: (column(f"loss_{p}"), f"loss_{p}_error [1]") for p in PARTS}
    chart = Chart("middle [1]", series, "loss", x_log=False)
    return Figure(f"covariate_{term}", wide, narrow, f"Loss by {name}: {words(term)}", caption, text, joined, chart)


def _text(training: Training, table: pd.DataFrame) -> str:
    said = [
        f"{say(row['low [1]'])} to {say(row['high [1]'])}: {say(row[column('percent_equiv')])} % of "
        f"{say(row[column('loss_total')])}"
        for _, row in table.iterrows()
    ]
    return f"{training.label}, equivariance error as percent of the loss: {'; '.join(said)}."


def convex_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training, loss and term at the last checkpoint; None where no other loss was measured."""
    rows = [
        _convex_row(training, str(loss), str(term))
        for training in trainings
        if "convex_loss_total" in training.twirl
        for loss in training.twirl["convex"].values
        for term in training.twirl["term"].values
    ]
    if not rows:
        return None
    caption = (
        "Other losses at the last checkpoint, split by jackknife: exact only up to a bias of order one over the square "
        "of the number of rotations, where the split of the squared error has none, and not to be compared with it. "
        "l2: mean length of the error vectors; l1: mean absolute component; huber: squares up to a length of 1; "
        "training: every term with the loss it was trained on. In units of the loss, with 95 % intervals."
    )
    frame = pd.DataFrame(rows)
    return Table("other_losses", caption, frame, with_intervals(frame, ["equivariance error"]))


def _convex_row(training: Training, loss: str, term: str) -> dict:
    last = training.twirl.sel(term=term, convex=loss).isel(step=-1)
    named = {"total loss": "convex_loss_total", "twirled prediction error": "convex_loss_mean"}
    return {
        "run": training.run,
        "seed": training.seed,
        "loss": loss,
        "term": term,
        **{f"{words} [1]": float(last[name]) for words, name in named.items()},
        "equivariance error [1]": float(last["convex_loss_equiv"]),
        **interval(last, "convex_percent_equiv", "equivariance error"),
        "learned fraction [1]": float(last["convex_learned_fraction"]),
    }


def losses(trainings: Sequence[Training], term: str) -> Figure:
    """Total loss and its two parts over steps, one panel a run, with the loss of predicting zero."""
    chosen = with_term(trainings, term)
    groups, steps = by_run(chosen), steps_of(chosen)
    table = twirl_table(
        trainings, term, [f"loss_{p}{e}" for p in style.PARTS for e in ENDS] + ["loss_zero", "loss_equiv_floor"]
    )
    drawn = table[[column(f"loss_{p}") for p in style.PARTS] + [column("loss_zero")]].to_numpy()
    seen = np.where(floored(chosen, term)[:, None] & (np.arange(4) == list(style.PARTS).index("equiv")), np.nan, drawn)

    def draw(canvas: Canvas, columns: int) -> None:
        axes = style.grid(canvas, len(groups), columns)
        for i, (ax, run, seeds) in enumerate(zip(axes, groups, groups.values(), strict=True)):
            for training in reversed(seeds):
                data = training.twirl.sel(term=term)
                for part, look in style.PARTS.items():
                    values = [data[f"loss_{part}{end}"].values for end in ENDS]
                    curve(ax, data["step"].values, *values, look, main=training is seeds[0])
            ax.axhline(float(data["loss_zero"]), color=style.GREY, linestyle=":", linewidth=1.2)
            style.log_axis(ax, seen, "held-out loss" if i % columns == 0 else "")
            style.step_axis(ax, steps, "training step" if i >= len(groups) - columns else "")
            ax.set_title(run)
        style.legend(canvas, _losses_handles())

    wide, narrow = style.canvases(draw, len(groups), 2.6)
    caption = (
        f"Held-out loss ({words(term)}) over training, split exactly into the twirled prediction error and "
        "the equivariance error; mean squared error in units of the loss. Bands: 95 % intervals, bootstrap by sample. "
        "Step 0 stands left of the break."
    )
    caption += seeds_note(groups) + floor_note(chosen, term, EDGE) + labels_note(chosen)
    if hidden := int((drawn[:, :3] <= 0).sum()):
        caption += f" {hidden} estimates at or below zero do not fit a logarithmic axis; they are in the table."
    text = f"Held-out loss of {words(term)} over training steps. " + " ".join(
        f"{t.label}: {_losses_text(t, term)}" for t in chosen
    )
    title = f"The two parts of the loss: {words(term)}"
    return Figure(f"losses_{term}", wide, narrow, title, caption, text, table, _losses_chart())


def _losses_handles() -> list:
    looks = style.PARTS.values()
    handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=text) for c, ls, m, text in looks]
    zero = Line2D([], [], color=style.GREY, linestyle=":", linewidth=1.2, label="loss of predicting zero")
    return [*handles, zero, band_handle()]


def _losses_chart() -> Chart:
    series = {look[3]: tuple(column(f"loss_{part}{end}") for end in ENDS) for part, look in style.PARTS.items()}
    return Chart(column("step"), series, "held-out loss")


def _losses_text(training: Training, term: str) -> str:
    data = training.twirl.sel(term=term)
    first, last = data.isel(step=0), data.isel(step=-1)
    parts = (
        f"{look[3]} from {say(float(first[f'loss_{p}']))} to {say(float(last[f'loss_{p}']))}"
        for p, look in style.PARTS.items()
    )
    at = f"from step {int(first['step'])} to step {int(last['step'])}"
    return f"{at}, {', '.join(parts)}; predicting zero costs {say(float(data['loss_zero']))}."


def section(trainings: Sequence[Training], every: Sequence[Training]) -> Section:
    """The section."""
    shown = [losses(trainings, term) for term in distinct_terms(trainings)] + _by_covariate(trainings)
    tables = present_tables({"Other losses": convex_table(every), "Excess loss": excess_table(every)})
    return Section("losses", "The two parts of the loss", figures=shown, tables=tables)


def _by_covariate(trainings: Sequence[Training]) -> list[Figure]:
    """One figure a term that is no sum of others, where the loss depends on a number of the sample."""
    terms = [t for t in terms_of(trainings) if t != "weighted"]
    return [f for t in terms if (f := by_covariate(trainings, t)) is not None]

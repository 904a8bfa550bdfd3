"""The percentage of flow matching over training by time on the path, beside published curves of the same times."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from ...._typing import Sequence
from ....estimators import loss_split
from ...figures import published, style
from ...figures.curves import curve, run_handles, run_looks, steps_of
from ...figures.figure import Figure
from ...figures.marks import of_seed
from ...numbers import ENDS, Column, numbers, stored
from ...published.curves import PublishedCurve
from ...trainings import Training, by_run, primary_term
from ...wording import extremes
from .courses import RESAMPLES, TimeBin, bin_of, time_bins

NAMES = [f"percent_equiv{end}" for end in ENDS]
LABEL = "equivariance error\n[% of held-out loss]"


def bin_rows(training: Training, part: TimeBin) -> pd.DataFrame:
    """Percentage with its interval in a bin of times, one row per checkpoint."""
    data = training.of_term(primary_term(training))
    equiv, mean = (data[f"sample_loss_{name}"].values[:, part.chosen] for name in ("equiv", "mean"))
    cluster = data["cluster"].values[part.chosen] if "cluster" in data else None
    total = equiv + mean
    ends = loss_split.percent_interval(total, equiv, RESAMPLES, 0, cluster)
    values = (loss_split.percent(total.mean(-1), equiv.mean(-1)), *ends)
    columns = {"time": part.words, "samples": int(part.chosen.sum()), "step": data["step"].values}
    columns |= dict(zip(NAMES, values, strict=True)) | {"trivial": data["trivial"].values}
    return training.labelled(pd.DataFrame(columns))


def _published_rows(curves: Sequence[PublishedCurve]) -> pd.DataFrame:
    parts = [published.rows([c], "percent_equiv", "").assign(time=bin_of(c.time), samples=0) for c in curves]
    return pd.concat(parts, ignore_index=True).drop(columns="term")


def by_time(trainings: Sequence[Training], threshold: float) -> Figure | None:
    """One panel per bin of times, with a line per training and the published curves; None without such a task."""
    chosen = [t for t in trainings if time_bins(t)]
    if not chosen:
        return None
    rows = pd.concat([bin_rows(t, part) for t in chosen for part in time_bins(t)], ignore_index=True)
    bins = sorted(rows["time"].unique())
    curves = [c for c in published.references(chosen, "percent_equiv") if bin_of(c.time) in bins]
    groups, steps = by_run(chosen), steps_of(chosen)
    looks, seen, beyond = run_looks(groups), [*rows["percent_equiv"], threshold], [v for c in curves for v in c.value]

    def draw(with_published: bool):
        def panels(canvas: Canvas, columns: int) -> None:
            for panel, words in zip(style.panels(canvas, len(bins), columns), bins, strict=True):
                mine = [c for c in curves if bin_of(c.time) == words] if with_published else []
                published.draw(panel.ax, mine)
                for (run, seed), part in rows[rows["time"] == words].groupby(["run", "seed"], sort=False):
                    ends = [part[name].to_numpy() for name in NAMES]
                    main = seed == groups[run][0].seed
                    with of_seed(panel.ax, seed):
                        curve(panel.ax, part["step"].to_numpy(), ends, looks[run], part["trivial"].to_numpy(), main)
                panel.ax.axhline(threshold, color=style.BLACK, linestyle=style.DASHED, linewidth=1)
                style.log_axis(panel.ax, [*seen, *(beyond if with_published else [])], panel.y(LABEL))
                axis = [*steps, *(published.steps(curves) if with_published else [])]
                style.step_axis(panel.ax, np.array(axis), panel.x("training step"))
                panel.ax.set_title(words)
            more = [published.handle("published")] if with_published and curves else []
            style.legend(canvas, [*run_handles(groups), style.band(), *more])

        return panels

    every = pd.concat([rows, _published_rows(curves)], ignore_index=True) if curves else rows
    table = numbers(every, [*stored("step", *NAMES), Column("samples", "samples")])
    text = _words(rows, threshold)
    wide, narrow = style.canvases(draw(True), len(bins), 2.3)
    plain = style.canvases(draw(False), len(bins), 2.3) if curves else None
    title = "Equivariance error by time on the path"
    return Figure(
        "percent_by_time", wide, narrow, title, _caption(threshold) + published.note(curves), text, table, plain
    )


def _caption(threshold: float) -> str:
    return (
        "Share of the held-out loss that is equivariance error, by the time of the samples on the path of the flow, 0 "
        f"noise and 1 chain. Dashed: {threshold:g} %."
    )


def _words(rows: pd.DataFrame, threshold: float) -> str:
    """The number of bins that end below the threshold, and the range of their last percentages."""
    last = rows.groupby(["run", "seed", "time"], sort=False).tail(1)
    ends = {f"{row.time}, {row.run}, seed {row.seed}": row.percent_equiv for row in last.itertuples()}
    small = sum(value < threshold for value in ends.values())
    return (
        f"The error ends below {threshold:g} % in {small} of {len(ends)} ranges of times. It ends at "
        f"{extremes(ends, ' %')}."
    )

"""The figure of the loss against a number of the sample that it depends on, such as the time of a flow."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from . import style
from .charts import Chart
from .hints import Sequence
from .style import Figure
from .trainings import Training, by_run, column, labels_note, say, with_term, words

BINS = 8  # of equally many samples
PARTS = ("mean", "equiv")


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

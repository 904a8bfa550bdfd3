"""Features that an equivariant network uses: variance of its activations by degree, and its loss without a degree.

Question: which degrees of features does the equivariant network use?
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ..._typing import Mapping, Sequence
from ..figures import style
from ..figures.figure import Figure
from ..numbers import Column, Numbers, numbers, stored
from ..questions import WHY
from ..section import Section
from ..tables import Table, present_tables
from ..trainings import Training, first_seeds
from ..wording import extremes, say, slug

COLUMNS = (
    *stored("step", "degree_share", "degree_full_loss", "degree_removed_loss"),
    Column("degree", "degree", "1"),
    Column("ratio", "loss without the degree over the loss", "1"),
    Column("ratio_error", "its standard error", "1"),
)
NOT_SHOWN = ["seed", "step", "degree_full_loss", "degree_removed_loss"]  # on the page
LABELS = {"degree_share": "share of variance", "ratio": "loss without the\ndegree, over the loss"}
HEADING = "Which features the equivariant network uses"


# numbers


def with_degrees(trainings: Sequence[Training]) -> list[Training]:
    """The first seed of every run whose degrees were measured."""
    return first_seeds([t for t in trainings if "degree_share" in t.twirl])


def degrees_of(training: Training) -> Numbers:
    """Variance and loss, of the weighted sum of the terms: one row per checkpoint, layer, and degree of the layer."""
    data = training.twirl[["degree_share", "degree_removed_loss", "degree_removed_loss_error", "degree_full_loss"]]
    rows = data.sel(term="weighted").drop_vars("term").to_dataframe().reset_index().dropna(subset="degree_share")
    full = rows["degree_full_loss"]
    columns = {
        "run": training.run,
        "seed": training.seed,
        "step": rows["step"],
        "layer": rows["activation"],
        "degree": rows["activation_degree"],
        "degree_share": rows["degree_share"],
        "degree_full_loss": full,
        "degree_removed_loss": rows["degree_removed_loss"],
        "ratio": rows["degree_removed_loss"] / full,
        "ratio_error": rows["degree_removed_loss_error"] / full,
    }
    return numbers(pd.DataFrame(columns).reset_index(drop=True), COLUMNS)


def at_end(found: Numbers) -> pd.DataFrame:
    """The rows of the last checkpoint."""
    return found.data[found.data["step"] == found.data["step"].max()]


# sentences


def sentence(training: Training, found: Numbers) -> str:
    """Shares of the degrees at the last checkpoint, and the loss without the most and the least useful degree."""
    last = at_end(found)
    text = f"{training.label}, step {int(last['step'].iloc[0])}, variance of the activations by degree: "
    text += "; ".join(f"{layer} has {_shares(rows)}" for layer, rows in last.groupby("layer", sort=False))
    if int(last["degree"].max()) == 0:
        return f"{text}. It has no degree but 0."
    above = last[last["degree"] > 0]
    if above["ratio"].isna().any():
        return f"{text}."
    least, most = (above.loc[above["ratio"].agg(end)] for end in ("idxmin", "idxmax"))
    text += f". Without {_place(most)} the loss is {_times(most)}, the most of any degree above 0"
    if len(above) > 1:
        text += f"; without {_place(least)} it is {_times(least)}, the least"
        if abs(least["ratio"] - 1) < 2 * least["ratio_error"]:
            text += ", which is no significant change"
    return f"{text}."


def _shares(rows: pd.DataFrame) -> str:
    pairs = zip(rows["degree"], rows["degree_share"], strict=True)
    return ", ".join(f"{say(100 * share)} % in degree {degree}" for degree, share in pairs)


def _place(row: pd.Series) -> str:
    return f"degree {int(row['degree'])} of {row['layer']}"


def _times(row: pd.Series) -> str:
    return f"{say(row['ratio'])} ± {row['ratio_error']:.2g} times as large"


# figures


def figure(training: Training, found: Numbers) -> Figure:
    """Share of the variance by degree above, loss without the degree below; one column per layer."""
    rows = found.data
    layers = list(dict.fromkeys(rows["layer"]))
    contents = [(name, layer) for name in LABELS for layer in layers]
    degrees = sorted(map(int, set(rows["degree"])))
    looks = dict(zip(degrees, style.shades(f"degree {degree}" for degree in degrees), strict=True))

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(contents), columns, sharey=False)
        for panel, (name, layer) in zip(panels, contents, strict=True):
            _panel(panel.ax, rows[rows["layer"] == layer], name, looks)
            seen = [*rows[name], *([1.0] if name == "ratio" else [])]
            style.log_axis(panel.ax, seen, panel.y(LABELS[name]))
            style.step_axis(panel.ax, rows["step"].to_numpy(), panel.x("training step"))
            panel.ax.set_title(layer)
        style.legend(canvas, style.handles(looks.values(), markersize=3))

    wide, narrow = style.canvases(draw, len(contents), 2.4, most=min(len(layers), 3))
    caption = (
        f"{training.label}. Above: share of the variance of a layer's output in each degree. Below: held-out loss with "
        "that degree of that output set to 0, over the loss with it; dotted: no change. Bars: standard errors. "
        "Triangles: a share of 0."
    )
    name = f"degrees_{slug(training.run)}_seed{training.seed}"
    title = f"Degrees of features: {training.label}"
    return Figure(name, wide, narrow, title, caption, _alternative(found), found)


def _alternative(found: Numbers) -> str:
    """The degree that matters most, and the range of the shares of variance."""
    last = at_end(found)
    above = last[(last["degree"] > 0) & last["ratio"].notna()]
    shares = {f"degree {row.degree} of {row.layer}": 100 * row.degree_share for row in last.itertuples()}
    text = f"Shares of variance at the last checkpoint are {extremes(shares, ' %')}."
    if above.empty:
        return text
    most = above.loc[above["ratio"].idxmax()]
    return f"Without {_place(most)} the loss is {_times(most)}, the most of any degree above 0. {text}"


def _panel(ax: Axes, rows: pd.DataFrame, name: str, looks: Mapping[int, style.Look]) -> None:
    """One quantity of one layer, one line per degree."""
    if name == "ratio":
        ax.axhline(1, color=style.GREY, linestyle=":", linewidth=1.2)
    for degree, part in rows.groupby("degree"):
        look = looks[int(degree)]
        step, value = part["step"].to_numpy(), part[name].to_numpy()
        after = step > 0
        ax.plot(step[after], np.where(value > 0, value, np.nan)[after], color=look.colour, linestyle=look.line)
        bars = part["ratio_error"].to_numpy() if name == "ratio" else None
        ax.errorbar(step, value, yerr=bars, fmt=look.marker, color=look.colour, markersize=3, elinewidth=0.8)


# tables


def table(found: Sequence[Numbers]) -> Table | None:
    """The last checkpoint of every run whose degrees were measured; None if there is none."""
    if not found:
        return None
    rows = numbers(pd.concat([at_end(f) for f in found], ignore_index=True), COLUMNS)
    caption = (
        "The last checkpoint of networks whose features have known degrees: the share of the variance of a layer's "
        "output in each degree (over atoms, samples and orientations, summed over features), and the held-out loss of "
        "a few samples with that degree of that output set to 0, over their loss with it, with its standard error over "
        "clusters of samples."
    )
    shown = numbers(rows.data, [*COLUMNS, Column("degree_share", "share of variance", "1")]).without(NOT_SHOWN)
    return Table("degrees", caption, rows, shown)


def section(trainings: Sequence[Training]) -> Section:
    """Degrees of the first seed of every run whose degrees were measured."""
    chosen = with_degrees(trainings)
    found = [degrees_of(t) for t in chosen]
    pairs = list(zip(chosen, found, strict=True))
    sentences, figures = [sentence(*pair) for pair in pairs], [figure(*pair) for pair in pairs]
    tables = present_tables({"Degrees of features at the last checkpoint": table(found)})
    return Section(WHY, "degrees", HEADING, sentences, figures, tables)

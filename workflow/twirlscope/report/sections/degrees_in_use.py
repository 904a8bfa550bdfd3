"""Features that an equivariant network uses: variance of its activations by degree, and the loss without a degree."""

from __future__ import annotations

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
from ..tables import Table
from ..trainings import Training, by_run
from ..wording import column, labels_note, say, slug

SHARE, RATIO = column("degree_share"), "loss without the degree over the loss [1]"
STEP, DEGREE = column("step"), "degree [1]"


def with_degrees(trainings: Sequence[Training]) -> list[Training]:
    """The first seed of every run whose degrees were measured."""
    return [seeds[0] for seeds in by_run([t for t in trainings if "degree_share" in t.twirl]).values()]


def degree_frame(training: Training) -> pd.DataFrame:
    """One row a checkpoint, layer and degree that the layer has; losses are of the weighted sum of the terms."""
    data = training.twirl[["degree_share", "degree_removed_loss", "degree_removed_loss_error", "degree_full_loss"]]
    data = data.sel(term="weighted").drop_vars("term")
    frame = data.to_dataframe().reset_index().dropna(subset="degree_share")
    full = frame["degree_full_loss"]
    return pd.DataFrame(
        {
            "run": training.run,
            "seed": training.seed,
            column("step"): frame["step"],
            "layer": frame["activation"],
            "degree [1]": frame["activation_degree"],
            SHARE: frame["degree_share"],
            column("degree_full_loss"): full,
            column("degree_removed_loss"): frame["degree_removed_loss"],
            RATIO: frame["degree_removed_loss"] / full,
            "its standard error [1]": frame["degree_removed_loss_error"] / full,
        }
    ).reset_index(drop=True)


def degree_sentence(training: Training) -> str:
    """What the last checkpoint has in its highest degree, and what the loss owes to each, in words."""
    frame = degree_frame(training)
    last = frame[frame[column("step")] == frame[column("step")].max()]
    highest = int(last["degree [1]"].max())
    text = f"{training.label}, step {int(last[column('step')].iloc[0])}: of the variance of its activations "
    text += "; ".join(
        f"{layer} holds "
        + ", ".join(f"{say(100 * r[SHARE])} % in degree {int(r['degree [1]'])}" for _, r in part.iterrows())
        for layer, part in last.groupby("layer", sort=False)
    )
    if highest == 0:
        return f"{text}. It has no degree but 0."
    above = last[last["degree [1]"] > 0]
    least, most = (above.loc[above[RATIO].agg(end)] for end in ("idxmin", "idxmax"))
    if above[RATIO].isna().any():
        return f"{text}."
    text += f". Without {_place(most)} the loss is {_times(most)}, the most that any degree above 0 is worth"
    if len(above) > 1:
        text += f"; without {_place(least)} it is {_times(least)}, the least"
        if abs(least[RATIO] - 1) < 2 * least["its standard error [1]"]:
            text += ", which cannot be told from none at all"
    return f"{text}."


def _place(row: pd.Series) -> str:
    return f"degree {int(row['degree [1]'])} of {row['layer']}"


def _times(row: pd.Series) -> str:
    return f"{say(row[RATIO])} ± {row['its standard error [1]']:.2g} times as large"


def degree_table(trainings: Sequence[Training]) -> Table | None:
    """The last checkpoint of every run whose degrees were measured; None where there is none."""
    frames = [degree_frame(t) for t in with_degrees(trainings)]
    if not frames:
        return None
    frame = pd.concat([f[f[column("step")] == f[column("step")].max()] for f in frames], ignore_index=True)
    caption = (
        "The last checkpoint of networks of features of known degree: the share of the variance of a layer's output in "
        "each degree (over atoms, samples and orientations, summed over features), and the held-out loss of a few "
        "samples with that degree of that output set to 0, over their loss with it, with its standard error by sample."
    )
    brief = frame[["run", "layer", "degree [1]", SHARE, RATIO, "its standard error [1]"]]
    return Table("degrees", caption, frame, brief)


def degrees(training: Training) -> Figure:
    """Share of activation variance by degree above, loss without the degree below; one column a layer."""
    frame = degree_frame(training)
    layers = list(dict.fromkeys(frame["layer"]))
    panels = [(head, layer) for head in (SHARE, RATIO) for layer in layers]

    def draw(canvas: Canvas, columns: int) -> None:
        axes = canvas.subplots(math.ceil(len(panels) / columns), columns, squeeze=False, sharex=True).ravel()
        for i, (ax, (head, layer)) in enumerate(zip(axes, panels, strict=False)):
            _panel(ax, frame[frame["layer"] == layer], head)
            label = "share of variance" if head == SHARE else "loss without the\ndegree, over the loss"
            style.log_axis(ax, [*frame[head], *([1.0] if head == RATIO else [])], label if i % columns == 0 else "")
            style.step_axis(ax, frame[STEP].to_numpy(), "training step" if i >= len(panels) - columns else "")
            ax.set_title(layer)
        for spare in axes[len(panels) :]:
            spare.remove()
        style.legend(canvas, [_handle(degree) for degree in sorted(set(frame[DEGREE]))])

    wide, narrow = style.canvases(draw, len(panels), 2.4, most=min(len(layers), 3))
    caption = (
        f"Degrees that {training.label} uses. Above: the share of the variance of a layer's output (over atoms, "
        "samples and orientations, summed over features) in each degree. Below: the held-out loss of a few samples "
        "with that degree of that output set to 0, over their loss with it; bars: standard error over samples; dotted: "
        "nothing lost. Triangles at the lower edge: none at all."
    ) + labels_note([training])
    name = f"degrees_{slug(training.run)}_seed{training.seed}"
    label, title = "loss without the degree, over the loss", f"Degrees in use: {training.label}"
    chart = Chart(STEP, {label: (RATIO, "its standard error [1]")}, label, by=(DEGREE,), panel=("layer",))
    return Figure(name, wide, narrow, title, caption, degree_sentence(training), frame, chart)


def _panel(ax: Axes, frame: pd.DataFrame, head: str) -> None:
    """One quantity of one layer, a line a degree."""
    if head == RATIO:
        ax.axhline(1, color=style.GREY, linestyle=":", linewidth=1.2)
    for degree, part in frame.groupby(DEGREE):
        colour, line, marker = look_of(int(degree))
        step, value = part[STEP].to_numpy(), part[head].to_numpy()
        after = step > 0
        ax.plot(step[after], np.where(value > 0, value, np.nan)[after], color=colour, linestyle=line)
        bars = part["its standard error [1]"].to_numpy() if head == RATIO else None
        ax.errorbar(step, value, yerr=bars, fmt=marker, color=colour, markersize=3, elinewidth=0.8)


def _handle(degree: int) -> Line2D:
    colour, line, marker = look_of(int(degree))
    return Line2D([], [], color=colour, linestyle=line, marker=marker, markersize=3, label=f"degree {degree}")

"""The figures of gradients: how large those of the two parts are, how they lie to each other, what an update spent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from . import style
from .figures import look_of, run_handles, seeds_note
from .hints import Array, Bool, Float, Int, Sequence
from .style import PARTS, Figure
from .trainings import Training, by_run, column, labels_note, say

WHOLE = "whole"
RESOLVED = 2.0  # standard errors that a squared norm or a change must be away from zero before it is divided by
BARS = " Bars: one standard error, jackknife over batches; hollow points divide by something within two of zero."
RATIO = (style.RED, style.LINES[0], "^", "squared gradients, equivariance over twirled prediction error")
RELATIVE = (style.BLACK, style.LINES[1], "o", "relative equivariance error, of the total loss")


def whole(training: Training) -> xr.Dataset:
    """The gradients of a training, all layers together."""
    return training.gradient.sel(layer=WHOLE)


def resolved(data: xr.Dataset, name: str, *parts: str) -> Bool[Array, "*b"]:
    """Where all these parts of a variable are above their noise."""
    value, error = (data[n].sel(part=list(parts)) for n in (name, f"{name}_error"))
    return (np.abs(value) > RESOLVED * error).all("part").values


def gradient_table(trainings: Sequence[Training], names: Sequence[str]) -> pd.DataFrame:
    """Run, seed, step and the variables named with their errors, one row a checkpoint (and part)."""
    both, parts = [n for name in names for n in (name, f"{name}_error")], []
    for training in trainings:
        table = whole(training)[both].reset_coords(drop=True).to_dataframe().reset_index()
        table.insert(0, "run", training.run)
        table.insert(1, "seed", training.seed)
        parts.append(table.rename(columns={n: column(n) for n in [*both, "step"]}))
    return pd.concat(parts, ignore_index=True)


def points(
    ax: Axes,
    steps: Int[Array, " step"],
    value: Float[Array, " step"],
    error: Float[Array, " step"],
    look: tuple,
    solid: Bool[Array, " step"],
    main: bool = True,
    positive: bool = True,
) -> None:
    """A line with markers and error bars; step 0, left of the break, is not joined. Hollow where not `solid`.

    Args:
        positive: for a logarithmic axis: nothing is drawn at or below zero, and no bar reaches it.
    """
    colour, line, marker = look[:3]
    solid = solid & np.isfinite(error)
    low = error = np.nan_to_num(error)
    if positive:
        value = np.where(value > 0, value, np.nan)
        low = np.minimum(error, np.nan_to_num(value) * (1 - 1e-9))
    after = steps > 0
    ax.plot(steps[after], value[after], color=colour, linestyle=line, linewidth=1.3 if main else 0.7)
    ax.errorbar(steps, value, [low, error], fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.45)
    for mask, face in ((solid, colour), (~solid, "white")):
        ax.plot(
            steps[mask],
            value[mask],
            marker,
            color=colour,
            markerfacecolor=face,
            markersize=4 if main else 2.6,
            linestyle="none",
        )


def samples_note(trainings: Sequence[Training]) -> str:
    """On how many samples and at which weights the gradients were taken, for captions."""
    said = dict.fromkeys(
        f"{a['batches']} independent batches of {a['samples'] // a['batches']} samples of the split {a['split']}, "
        f"{a['rotations']} rotations a sample, the same at every checkpoint; weights: {a['weights']}"
        for a in (t.gradient.attrs for t in trainings)
    )
    return f" Measured on {'; or '.join(said)}." + labels_note(trainings)


def _panels(trainings: Sequence[Training], draw_one, values: pd.DataFrame, label: str, handles: Sequence):
    """One panel a run on logarithmic axes, filled by `draw_one(ax, training, main)`."""
    groups = by_run(trainings)
    steps = np.unique(np.concatenate([t.gradient["step"].values for t in trainings]))

    def draw(canvas: Canvas, columns: int) -> None:
        axes = style.grid(canvas, len(groups), columns)
        for i, (ax, run, seeds) in enumerate(zip(axes, groups, groups.values(), strict=True)):
            for training in reversed(seeds):
                draw_one(ax, training, training is seeds[0])
            style.log_axis(ax, values, label if i % columns == 0 else "")
            style.step_axis(ax, steps, "training step" if i >= len(groups) - columns else "")
            ax.set_title(run)
        style.legend(canvas, handles)

    return style.canvases(draw, len(groups), 2.8, most=2)


def ratio(trainings: Sequence[Training]) -> Figure:
    """Squared norm of grad L_equiv over that of grad L_mean, beside the relative equivariance error."""
    names = ("gradient_square_ratio", "relative_equiv")
    table = gradient_table(trainings, [*names, "gradient_norm_ratio"])
    handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=text) for c, ls, m, text in (RATIO, RELATIVE)]

    def draw(ax: Axes, training: Training, main: bool) -> None:
        data = whole(training)
        solid = resolved(data, "gradient_square", "mean")
        for name, look, full in zip(names, (RATIO, RELATIVE), (solid, np.ones_like(solid)), strict=True):
            points(ax, data["step"].values, data[name].values, data[f"{name}_error"].values, look, full, main)
        ax.axhline(1, color=style.GREY, linestyle=":", linewidth=1)

    wide, narrow = _panels(trainings, draw, table[[column(n) for n in names]], "ratio", handles)
    hidden = int((~(table[column(names[0])] > 0)).sum())
    caption = (
        "Squared norm of the gradient of the equivariance error over that of the twirled prediction error, "
        "|∇L_equiv|² / |∇L_mean|², both unbiased (products of independent batches), beside the relative equivariance "
        "error L_equiv / L_total of the same samples; no units. Where the first lies above the second, the optimiser "
        "is pulled towards symmetry by more than its share of the loss." + BARS
    )
    if hidden:
        caption += f" At {hidden} checkpoints a squared norm is not above zero for noise; they are in the table only."
    caption += seeds_note(by_run(trainings)) + samples_note(trainings)
    text = "Ratio of squared gradients and relative equivariance error. " + " ".join(
        f"{t.label}: {_ends(t, names[0])}; relative equivariance error {_ends(t, names[1])}." for t in trainings
    )
    return Figure("gradient_ratio", wide, narrow, "Gradients of the two parts", caption, text, table)


def _ends(training: Training, name: str) -> str:
    """A variable at the first and the last checkpoint, in words."""
    data = whole(training)[name]
    first, last = (f"{say(float(data[i]))} at step {int(data['step'][i])}" for i in (0, -1))
    return f"{first}, {last}"


def by_part(trainings: Sequence[Training], name: str, label: str, title: str, meaning: str, parts: Sequence[str]):
    """A variable of each part of the loss over steps, one panel a run."""
    table = gradient_table(trainings, [name])
    handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=x) for c, ls, m, x in (PARTS[p] for p in parts)]

    def draw(ax: Axes, training: Training, main: bool) -> None:
        data = whole(training)
        for part in parts:
            one = data.sel(part=part)
            solid = resolved(data, "gradient_square", part)
            points(ax, one["step"].values, one[name].values, one[f"{name}_error"].values, PARTS[part], solid, main)

    shown = table[table["part"].isin(parts)][column(name)]
    wide, narrow = _panels(trainings, draw, shown, label, handles)
    hidden = int((~(shown > 0)).sum())
    caption = meaning + " Bars: one standard error, jackknife over batches; hollow points: the squared norm of that "
    caption += "gradient is within two of zero."
    if hidden:
        caption += f" {hidden} estimates that are not above zero, by noise, are in the table only."
    caption += seeds_note(by_run(trainings)) + samples_note(trainings)
    each = (f"{PARTS[p][3]} {_ends_of_part(t, name, p)}" for t in trainings for p in parts)
    text = f"{title}. " + "; ".join(each) + "."
    return Figure(name, wide, narrow, title, caption, text, table)


def _ends_of_part(training: Training, name: str, part: str) -> str:
    data = whole(training)[name].sel(part=part)
    first, last = (f"{say(float(data[i]))} at step {int(data['step'][i])}" for i in (0, -1))
    return f"({training.label}) {first}, {last}"


def norms(trainings: Sequence[Training]) -> Figure:
    """Squared norms of both gradients and of their sum."""
    meaning = (
        "Squared norms of the gradients with respect to all parameters, of the total loss and its two parts, unbiased, "
        "in units of the loss squared; the square of a single batch's gradient would be mostly noise late in training."
    )
    return by_part(trainings, "gradient_square", "squared norm", "Squared norms of the gradients", meaning, list(PARTS))


def noise(trainings: Sequence[Training]) -> Figure:
    """Gradient noise scale of both parts."""
    meaning = (
        "Gradient noise scale tr(Σ) / |∇L|²: the number of samples at which the noise of a gradient is as large as the "
        "gradient itself; Σ is the covariance of the gradient of one sample, seen in all its rotations."
    )
    return by_part(
        trainings, "noise_scale", "noise scale [samples]", "Gradient noise scale", meaning, ["mean", "equiv"]
    )


def course(trainings: Sequence[Training], name: str, label: str, ends: tuple[float, float], solid, reference) -> tuple:
    """A variable of all trainings over steps on a linear axis.

    Args:
        ends: of the axis; what lies outside is not drawn.
        solid: says of the dataset of a training where its points are full.
        reference: draws what else belongs into the axes.

    Returns:
        Both drawings, the table, and how many values lie outside.
    """
    groups, table = by_run(trainings), gradient_table(trainings, [name])
    steps = np.unique(np.concatenate([t.gradient["step"].values for t in trainings]))

    def draw(canvas: Canvas, _: int) -> None:
        ax = canvas.subplots()
        for i, seeds in enumerate(groups.values()):
            for training in reversed(seeds):
                data = whole(training)
                value, error = data[name].values, data[f"{name}_error"].values
                shown = np.where((value >= ends[0]) & (value <= ends[1]), value, np.nan)
                main = training is seeds[0]
                points(ax, data["step"].values, shown, error, look_of(i), solid(data), main, positive=False)
        ax.set_ylim(*ends)
        style.step_axis(ax, steps)
        ax.set_ylabel(label)
        style.legend(canvas, [*run_handles(groups), *reference(ax)])

    values = table[column(name)]
    outside = int(((values < ends[0]) | (values > ends[1])).sum())
    return (*style.canvases(draw, 1, 2.9), table, outside)


def cosine(trainings: Sequence[Training]) -> Figure:
    """Cosine of the angle between the gradients of the two parts."""

    def zero(ax: Axes) -> list:
        ax.axhline(0, color=style.GREY, linestyle=":", linewidth=1)
        return []

    *drawn, table, outside = course(
        trainings,
        "gradient_cosine",
        "cosine",
        (-1.05, 1.05),
        lambda data: resolved(data, "gradient_square", "mean", "equiv"),
        zero,
    )
    caption = (
        "Cosine of the gradients of the two parts of the loss, from unbiased products. Above zero a step that lowers "
        "one part lowers the other, below zero they are in each other's way." + BARS
    )
    caption += f" {outside} values beyond -1 or 1, by noise, are in the table only." if outside else ""
    caption += seeds_note(by_run(trainings)) + samples_note(trainings)
    text = "Cosine of the two gradients. " + " ".join(f"{t.label}: {_ends(t, 'gradient_cosine')}." for t in trainings)
    return Figure("gradient_cosine", *drawn, "Angle between the two gradients", caption, text, table)


def share(trainings: Sequence[Training]) -> Figure:
    """Share of the first-order gain of an update that is gain in the equivariance error."""
    line = {"color": style.BLACK, "linestyle": (0, (2, 2)), "linewidth": 1}

    def relative(ax: Axes) -> list:
        for training in trainings:
            data = whole(training)
            after = data["step"].values > 0
            ax.plot(data["step"].values[after], data["relative_equiv"].values[after], **line)
        return [Line2D([], [], label="relative equivariance error", **line)]

    *drawn, table, outside = course(
        trainings,
        "update_share",
        "share of the update",
        (-0.5, 1.5),
        lambda data: resolved(data, "update_change", "total"),
        relative,
    )
    caption = (
        "Share of an optimiser update that is spent on symmetry: ⟨u, ∇L_equiv⟩ / ⟨u, ∇L_total⟩, the first-order change "
        "of the equivariance error over that of the total loss along u, the one update (weight decay included) that "
        "led to the checkpoint. Below 0 or above 1 one part rises while the other falls." + BARS
    )
    caption += f" {outside} values outside the axis are in the table only." if outside else ""
    caption += seeds_note(by_run(trainings)) + samples_note(trainings)
    text = "Share of an update spent on symmetry. " + " ".join(
        f"{t.label}: {_ends(t, 'update_share')}." for t in trainings
    )
    return Figure("update_share", *drawn, "Share of an update spent on symmetry", caption, text, table)

"""The figures of gradients: how large those of the two parts are, how they lie to each other, what an update spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Array, Bool, Float, Int, Sequence
from ....estimators.gradient_statistics import RESOLVED, above_noise
from ...figures import style
from ...figures.curves import seeds_note
from ...figures.figure import Chart, Figure
from ...figures.style import PARTS
from ...trainings import Training, by_run
from ...wording import column, labels_note, say

WHOLE = "whole"
BARS = " Bars: one standard error, jackknife over batches."
ARROWS = " Arrows: the squared norm below is within two standard errors of zero, and this is the least that it can be."
RATIO = (style.RED, style.LINES[0], "^", "ratio of the squared gradients")
RELATIVE = (style.BLACK, style.LINES[1], "o", "relative equivariance error")


@dataclass(frozen=True)
class Course:
    """A line of a figure: a variable at every checkpoint, with its error.

    solid: where it is above its noise, or what it divides by.
    bound: on a logarithmic axis drawn in place of the others, as an arrow; NaN draws nothing.
    upwards: whether the bound is a lower one.
    """

    look: tuple
    step: Int[Array, " step"]
    value: Float[Array, " step"]
    error: Float[Array, " step"]
    solid: Bool[Array, " step"]
    bound: Float[Array, " step"]
    upwards: bool = True

    @property
    def arrow(self) -> tuple[Float[Array, " step"], Float[Array, " step"]]:
        """Where the arrows start and end, NaN where there is none."""
        start = np.where(~self.solid & (self.bound > 0), self.bound, np.nan)
        return start, start * (1.9 if self.upwards else 0.5)


def whole(training: Training) -> xr.Dataset:
    """The gradients of a training, all layers together."""
    return training.gradient.sel(layer=WHOLE)


def gradient_table(trainings: Sequence[Training], names: Sequence[str]) -> pd.DataFrame:
    """Run, seed, step and the variables named with their errors, one row a checkpoint (and part)."""
    both, parts = [n for name in names for n in (name, f"{name}_error")], []
    for training in trainings:
        table = whole(training)[both].reset_coords(drop=True).to_dataframe().reset_index()
        table.insert(0, "run", training.run)
        table.insert(1, "seed", training.seed)
        parts.append(table.rename(columns={n: column(n) for n in [*both, "step"]}))
    return pd.concat(parts, ignore_index=True)


def divided(data: xr.Dataset, name: str, look: tuple, part: str, above: Float[Array, " step"]) -> Course:
    """The course of a variable that is `above` over the squared norm of the gradient of a part."""
    one = data.sel(part=part)
    square, error = one["gradient_square"].values, one["gradient_square_error"].values
    bound = above / np.where(square + RESOLVED * error > 0, square + RESOLVED * error, np.nan)
    return Course(look, *(one[n].values for n in ("step", name, f"{name}_error")), above_noise(square, error), bound)


def plotted(ax: Axes, course: Course, main: bool, logarithmic: bool) -> None:
    """Markers with error bars, solid neighbours joined; step 0, left of the break, is not joined.

    On a logarithmic axis nothing is drawn at or below zero, and of what is not solid only its bound.
    """
    colour, line, marker = course.look[:3]
    steps, value, error = course.step, course.value, np.nan_to_num(course.error)
    solid = course.solid & np.isfinite(course.error)
    low, hollow = error, ~solid
    if logarithmic:
        value, hollow = np.where(solid & (value > 0), value, np.nan), hollow & False
        low = np.minimum(error, np.nan_to_num(value) * (1 - 1e-9))
        start, end = course.arrow
        bars = {"yerr": np.abs(end - start), "lolims": course.upwards, "uplims": not course.upwards}
        ax.errorbar(steps, start, **bars, fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.7)
    joined = np.where(solid & (steps > 0), value, np.nan)
    size = 4 if main else 2.6
    ax.plot(steps, joined, color=colour, linestyle=line, linewidth=1.3 if main else 0.7)
    ax.errorbar(steps, value, [low, error], fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.45)
    for mask, face in ((solid, colour), (hollow, "white")):
        looks = {"color": colour, "markerfacecolor": face, "markersize": size, "linestyle": "none"}
        ax.plot(steps[mask], value[mask], marker, **looks)


def samples_note(trainings: Sequence[Training]) -> str:
    """On how many samples and at which weights the gradients were taken, for captions."""
    said = dict.fromkeys(
        f"{a['batches']} independent batches of {a['samples'] // a['batches']} samples of the split {a['split']}, "
        f"{a['rotations']} rotations a sample, the same at every checkpoint; weights: {a['weights']}"
        for a in (t.gradient.attrs for t in trainings)
    )
    return f" Measured on {'; or '.join(said)}." + labels_note(trainings)


def _panels(trainings: Sequence[Training], courses, label: str):
    """Courses on logarithmic axes, one panel a run; `courses` gives those of a training."""
    groups = by_run(trainings)
    found = {t.label: courses(t) for t in trainings}
    every = [course for each in found.values() for course in each]
    steps = np.unique(np.concatenate([c.step for c in every]))
    shown = np.concatenate([np.where(c.solid, c.value, end) for c in every for end in c.arrow])
    looks = dict.fromkeys(c.look for c in every)
    handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=text) for c, ls, m, text in looks]

    def draw(canvas: Canvas, columns: int) -> None:
        axes = style.grid(canvas, len(groups), columns)
        for i, (ax, run, seeds) in enumerate(zip(axes, groups, groups.values(), strict=True)):
            for training in reversed(seeds):
                for course in found[training.label]:
                    plotted(ax, course, training is seeds[0], logarithmic=True)
            style.log_axis(ax, shown, label if i % columns == 0 else "")
            style.step_axis(ax, steps, "training step" if i >= len(groups) - columns else "")
            ax.set_title(run)
        style.legend(canvas, handles)

    return style.canvases(draw, len(groups), 2.8, most=2)


def _ratio_courses(training: Training) -> list[Course]:
    data = whole(training)
    equiv = data["gradient_square"].sel(part="equiv").values
    relative = (data[n].values for n in ("step", "relative_equiv", "relative_equiv_error"))
    size = data.sizes["step"]
    return [
        divided(data, "gradient_square_ratio", RATIO, "mean", equiv),
        Course(RELATIVE, *relative, np.ones(size, bool), np.full(size, np.nan)),
    ]


def ratio(trainings: Sequence[Training]) -> Figure:
    """Squared norm of grad L_equiv over that of grad L_mean, beside the relative equivariance error."""
    table = gradient_table(trainings, ["gradient_square_ratio", "relative_equiv", "gradient_norm_ratio"])
    wide, narrow = _panels(trainings, _ratio_courses, "ratio")
    caption = (
        "Squared norm of the gradient of the equivariance error over that of the twirled prediction error, "
        "|∇L_equiv|² / |∇L_mean|², both unbiased (products of independent batches), beside the relative equivariance "
        "error L_equiv / L_total of the same samples; no units. Where the first lies above the second, the optimiser "
        "is pulled towards symmetry by more than its share of the loss." + BARS + ARROWS
    )
    caption += seeds_note(by_run(trainings)) + samples_note(trainings)
    text = "Ratio of squared gradients and relative equivariance error. " + " ".join(
        f"{t.label}: ratio {ends_of(t, 'gradient_square_ratio')}; relative error {ends_of(t, 'relative_equiv')}."
        for t in trainings
    )
    drawn = {RATIO[3]: "gradient_square_ratio", RELATIVE[3]: "relative_equiv"}
    series = {said: (column(name), column(f"{name}_error")) for said, name in drawn.items()}
    chart = Chart(column("step"), series, "ratio")
    return Figure("gradient_ratio", wide, narrow, "Gradients of the two parts", caption, text, table, chart)


def ends_of(training: Training, name: str, part: str | None = None) -> str:
    """A variable at the first and the last checkpoint, in words."""
    data = whole(training)[name]
    data = data if part is None else data.sel(part=part)
    first, last = (f"{say(float(data[i]))} at step {int(data['step'][i])}" for i in (0, -1))
    return f"{first}, {last}"


def _parts_text(trainings: Sequence[Training], name: str, parts: Sequence[str]) -> str:
    each = ("; ".join(f"{PARTS[p][3]} {ends_of(t, name, p)}" for p in parts) for t in trainings)
    return " ".join(f"{t.label}: {words}." for t, words in zip(trainings, each, strict=True))


def norms(trainings: Sequence[Training]) -> Figure:
    """Squared norms of both gradients and of their sum."""
    name = "gradient_square"

    def courses(training: Training) -> list[Course]:
        data = whole(training)
        each = []
        for part, look in PARTS.items():
            step, value, error = (data.sel(part=part)[n].values for n in ("step", name, f"{name}_error"))
            solid = above_noise(value, error)
            each.append(Course(look, step, value, error, solid, value + RESOLVED * error, upwards=False))
        return each

    wide, narrow = _panels(trainings, courses, "squared norm")
    caption = (
        "Squared norms of the gradients with respect to all parameters, of the total loss and its two parts, unbiased, "
        "in units of the loss squared; the square of the gradient of one batch would be mostly noise late in training."
        + BARS
        + " Arrows: within two standard errors of zero, and this is the most that it can be."
        + seeds_note(by_run(trainings))
        + samples_note(trainings)
    )
    title = "Squared norms of the gradients"
    text = f"{title}. {_parts_text(trainings, name, list(PARTS))}"
    chart = _chart_by_part(name, "squared norm")
    return Figure(name, wide, narrow, title, caption, text, gradient_table(trainings, [name]), chart)


def noise(trainings: Sequence[Training]) -> Figure:
    """Gradient noise scale of both parts."""
    name, parts = "noise_scale", ("mean", "equiv")

    def courses(training: Training) -> list[Course]:
        data = whole(training)
        return [divided(data, name, PARTS[p], p, data["gradient_variance"].sel(part=p).values) for p in parts]

    wide, narrow = _panels(trainings, courses, "noise scale [samples]")
    caption = (
        "Gradient noise scale tr(Σ) / |∇L|² of both parts: the number of samples at which the noise of a gradient is "
        "as large as the gradient itself; Σ is the covariance of the gradient of one sample in all its rotations."
    )
    caption += BARS + ARROWS + seeds_note(by_run(trainings)) + samples_note(trainings)
    text = f"Gradient noise scale. {_parts_text(trainings, name, parts)}"
    table, chart = gradient_table(trainings, [name]), _chart_by_part(name, "noise scale [samples]")
    return Figure(name, wide, narrow, "Gradient noise scale", caption, text, table, chart)


def _chart_by_part(name: str, label: str) -> Chart:
    """The parts of the loss as lines, one run at a time."""
    series = {label: (column(name), column(f"{name}_error"))}
    return Chart(column("step"), series, label, by=("part",), panel=("run",))

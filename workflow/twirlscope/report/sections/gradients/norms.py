"""Norms of the gradients of the two parts of the loss: their ratio, their squares, their noise scale."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from ...._typing import Callable, Mapping, Sequence
from ....estimators.gradient_statistics import RESOLVED, above_noise
from ...figures import style
from ...figures.figure import Figure
from ...figures.marks import of_seed
from ...figures.style import PARTS, Look
from ...trainings import Training, by_run
from ...wording import extremes, plural
from .lines import Line, divided, draw_line, gradient_numbers, last_values, whole

LEAST = " Arrows: lower bounds where the divisor is within its noise."
MOST = " Arrows: upper bounds within the noise."
RATIO = Look(style.BLACK, style.LINES[0], "^", "ratio of the squared gradients")
RELATIVE = Look(style.GREY, style.LINES[1], "o", "relative equivariance error")

Lines = Callable[[Training], Sequence[Line]]


# numbers


def ratio_lines(training: Training) -> list[Line]:
    """The ratio of the squared gradients, and the relative equivariance error."""
    data = whole(training)
    equiv, size = data["gradient_square"].sel(part="equiv").values, data.sizes["step"]
    relative = (data[n].values for n in ("step", "relative_equiv", "relative_equiv_error"))
    return [
        divided(data, "gradient_square_ratio", RATIO, "mean", equiv),
        Line(RELATIVE, *relative, np.ones(size, bool), np.full(size, np.nan)),
    ]


def norm_lines(training: Training) -> list[Line]:
    """The squared norms of the gradients of the loss and of both parts."""
    data, lines = whole(training), []
    for part, look in PARTS.items():
        names = ("step", "gradient_square", "gradient_square_error")
        step, value, error = (data.sel(part=part)[n].values for n in names)
        solid = above_noise(value, error)
        lines.append(Line(look, step, value, error, solid, value + RESOLVED * error, upwards=False))
    return lines


def noise_lines(training: Training) -> list[Line]:
    """The gradient noise scales of both parts."""
    data = whole(training)
    variance = {p: data["gradient_variance"].sel(part=p).values for p in ("mean", "equiv")}
    return [divided(data, "noise_scale", PARTS[p], p, values) for p, values in variance.items()]


# sentences


def _part_words(trainings: Sequence[Training], name: str, words: str) -> str:
    """The part with the larger value at the end, and the range of both."""
    mean, equiv = (last_values(trainings, name, part) for part in ("mean", "equiv"))
    larger = sum(equiv[label] > mean[label] for label in mean)
    text = f"The {words} of the equivariance error is the larger one at the end of {larger} of "
    text += f"{plural(len(mean), 'training')}. "
    return f"{text}It is {extremes(equiv)}, that of the twirled prediction error {extremes(mean)}."


# figures


def _canvases(trainings: Sequence[Training], lines: Mapping[str, Sequence[Line]], label: str):
    """Lines on logarithmic axes, one panel per run."""
    groups = by_run(trainings)
    every = [line for each in lines.values() for line in each]
    steps = np.unique(np.concatenate([line.step for line in every]))
    seen = np.concatenate([np.where(line.solid, line.value, end) for line in every for end in line.arrow])
    looks = dict.fromkeys(line.look for line in every)

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, (run, seeds) in zip(style.panels(canvas, len(groups), columns), groups.items(), strict=True):
            for training in reversed(seeds):
                with of_seed(panel.ax, training.seed):
                    for line in lines[training.label]:
                        draw_line(panel.ax, line, training is seeds[0], logarithmic=True)
            style.log_axis(panel.ax, seen, panel.y(label))
            style.step_axis(panel.ax, steps, panel.x("training step"))
            panel.ax.set_title(run)
        style.legend(canvas, style.handles(looks))

    return style.canvases(draw, len(groups), 2.8, most=2)


def ratio(trainings: Sequence[Training]) -> Figure:
    """Squared norm of grad L_equiv over that of grad L_mean, beside the relative equivariance error."""
    table = gradient_numbers(trainings, ["gradient_square_ratio", "relative_equiv", "gradient_norm_ratio"])
    wide, narrow = _canvases(trainings, {t.label: ratio_lines(t) for t in trainings}, "ratio")
    caption = (
        "Squared norm of the gradient of the equivariance error over that of the twirled prediction error, "
        "|∇L_equiv|² / |∇L_mean|², beside L_equiv / L_total of the same samples." + LEAST
    )
    last, relative = last_values(trainings, "gradient_square_ratio"), last_values(trainings, "relative_equiv")
    above = sum(last[name] > relative[name] for name in last)
    text = f"At the end the ratio of squared gradients is above the share of the loss in {above} of "
    text += f"{plural(len(last), 'training')}. Ratios are {extremes(last)}, shares {extremes(relative)}."
    return Figure("gradient_ratio", wide, narrow, "Gradients of the two parts", caption, text, table)


def norms(trainings: Sequence[Training]) -> Figure:
    """Squared norms of both gradients and of their sum."""
    name, title = "gradient_square", "Squared norms of the gradients"
    wide, narrow = _canvases(trainings, {t.label: norm_lines(t) for t in trainings}, "squared norm")
    caption = (
        "Squared norms of the gradients of the total loss and its two parts with respect to all parameters, from "
        "products of independent batches: the square of one batch would be mostly noise late in training." + MOST
    )
    text = _part_words(trainings, name, "squared norm")
    return Figure(name, wide, narrow, title, caption, text, gradient_numbers(trainings, [name]))


def noise(trainings: Sequence[Training]) -> Figure:
    """Gradient noise scale of both parts."""
    name, label = "noise_scale", "noise scale [samples]"
    wide, narrow = _canvases(trainings, {t.label: noise_lines(t) for t in trainings}, label)
    caption = (
        "Gradient noise scale tr(Σ) / |∇L|²: the number of samples at which the noise of a gradient is as large as the "
        "gradient itself. Σ is the covariance over samples." + LEAST
    )
    text = _part_words(trainings, name, "noise scale")
    table = gradient_numbers(trainings, [name])
    return Figure(name, wide, narrow, "Gradient noise scale", caption, text, table)

"""The spectrum of the equivariance error by degree, and its effective degree over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ...._typing import Array, Sequence
from ....settings.steps import evenly_spaced
from ...figures import style
from ...figures.curves import curve, run_handles, run_looks, twirl_numbers
from ...figures.figure import Figure
from ...figures.marks import of_seed
from ...numbers import Numbers, numbers, stored
from ...trainings import Training, by_run, first_seeds, off_floor, with_term
from ...wording import extremes, listed, plural, term_words

ORDINALS = ("first", "second", "third", "fourth", "fifth")  # of steps, if panels have different ones
SHOWN = len(ORDINALS)  # most checkpoints in a panel
DEGREE = ("effective_degree", "effective_degree_low", "effective_degree_high")


# numbers


def measured(trainings: Sequence[Training], term: str) -> list[Training]:
    """The trainings with a spectrum of this term that is more than rounding error at some checkpoint."""
    return [t for t in off_floor(with_term(trainings, term), term) if "spectrum" in t.twirl]


def spectrum_numbers(trainings: Sequence[Training], term: str) -> Numbers:
    """The spectrum with its error, one row per training, checkpoint and degree."""
    names, parts = ["spectrum", "spectrum_error"], []
    for training in trainings:
        data = training.panel(term)[names].drop_vars("term")
        parts.append(training.labelled(data.to_dataframe().reset_index()))
    return numbers(pd.concat(parts, ignore_index=True), stored("step", "degree", *names))


def shown_steps(steps: Array) -> list[int]:
    """A few checkpoints, evenly spaced, first and last included."""
    return [int(step) for step in evenly_spaced(steps.tolist(), SHOWN)]


# sentences


def _words(chosen: Sequence[Training], term: str) -> str:
    """The degrees with the largest share of the error at the last checkpoint, and the range of these shares."""
    top, shares = {}, {}
    for training in chosen:
        data = training.of_term(term).isel(step=-1)
        value = data["spectrum"].values[1:]
        top.setdefault(int(np.argmax(value)) + 1, []).append(training.label)
        shares[training.label] = 100 * float(value.max()) / max(float(data["loss_equiv"]), 1e-300)
    degrees = "; ".join(f"degree {degree} in {listed(names)}" for degree, names in sorted(top.items()))
    return (
        f"The largest part of the error at the last checkpoint is of {degrees}. Its share is {extremes(shares, ' %')}."
    )


# figures


def spectrum(trainings: Sequence[Training], term: str) -> Figure:
    """Equivariance error by degree at a few checkpoints, one panel per run (its first seed)."""
    chosen = measured(trainings, term)
    firsts, table = first_seeds(chosen), spectrum_numbers(chosen, term)
    seen = table.data["spectrum"][table.data["degree"] > 0]
    steps = [shown_steps(t.panel(term)["step"].values) for t in firsts]
    same = all(one == steps[0] for one in steps)

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(firsts), columns)
        for panel, training, shown in zip(panels, firsts, steps, strict=True):
            for look, step in zip(style.shades(shown), shown, strict=True):
                _points(panel.ax, training.twirl.sel(term=term, step=step), look)
            style.log_axis(panel.ax, seen, panel.y("equivariance error\nof the degree"))
            degrees = [float(d) for d in training.twirl["degree"].values[1:]]
            style.set_ticks(panel.ax.xaxis, degrees, [f"{d:g}" for d in degrees], [], panel.x("degree"))
            panel.ax.set_title(training.label + ("" if same else f"\nsteps {', '.join(map(str, shown))}"))
        names = [f"step {s}" for s in steps[0]] if same else [f"{o} step" for o in ORDINALS[: max(map(len, steps))]]
        style.legend(canvas, style.handles(style.shades(names), markersize=4))

    wide, narrow = style.canvases(draw, len(firsts), 2.9)
    caption = (
        f"The part of the equivariance error ({term_words(term)}) that changes with the orientation like a Wigner "
        "matrix of a degree, first seeds. The sum over degrees is the equivariance error. Bars: standard errors."
    )
    text = _words(chosen, term)
    title = f"Spectrum of the equivariance error: {term_words(term)}"
    return Figure(f"spectrum_{term}", wide, narrow, title, caption, text, table, tab=term_words(term))


def _points(ax: Axes, data: xr.Dataset, look: style.Look) -> None:
    """The spectrum at one checkpoint, with bars."""
    degree, value, error = (data[n].values[1:] for n in ("degree", "spectrum", "spectrum_error"))
    positive = np.where(value > 0, value, np.nan)
    below = np.minimum(error, np.nan_to_num(positive) * (1 - 1e-9))
    settings = {"color": look.colour, "linestyle": look.line, "marker": look.marker, "markersize": 4, "linewidth": 1.2}
    settings |= {"yerr": np.nan_to_num([below, error]), "elinewidth": 0.9, "capsize": 2}
    ax.errorbar(degree, positive, **settings)


def effective_degree(trainings: Sequence[Training], term: str) -> Figure:
    """Effective degree of the equivariance error over training, all trainings."""
    chosen = measured(trainings, term)
    groups, table = by_run(chosen), twirl_numbers(chosen, term, DEGREE)
    looks = run_looks(groups)

    def draw(canvas: Canvas, columns: int) -> None:
        ax = canvas.subplots()
        for run, seeds in groups.items():
            for training in reversed(seeds):
                data = training.panel(term)
                ends, hollow = [data[n].values for n in DEGREE], data["trivial"].values
                with of_seed(ax, training.seed):
                    curve(ax, data["step"].values, ends, looks[run], hollow, main=training is seeds[0])
        style.step_axis(ax, np.unique(table.data["step"]))
        ax.set_ylabel("effective degree")
        ax.set_ylim(bottom=1)
        style.legend(canvas, run_handles(groups))

    wide, narrow = style.canvases(draw, 1, 2.6)
    caption = (
        f"The degree l that the equivariance error ({term_words(term)}) would have if all of it had one: l (l + 1) = "
        "Lie-derivative error / equivariance error. A constant bias has 1."
    )
    ends = [{t.label: float(t.panel(term)["effective_degree"].values[k]) for t in chosen} for k in (0, -1)]
    larger = sum(ends[1][name] > ends[0][name] for name in ends[0])
    text = f"The effective degree rises over training in {larger} of {plural(len(chosen), 'training')}. "
    text += f"It ends at {extremes(ends[1])}."
    title = f"Effective degree: {term_words(term)}"
    return Figure(f"degree_{term}", wide, narrow, title, caption, text, table)

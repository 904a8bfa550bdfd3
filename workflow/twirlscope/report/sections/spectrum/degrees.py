"""The figures of the spectrum of the equivariance error: of which degrees it is made, and how that changes."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Array, Sequence
from ...figures import style
from ...figures.curves import curve, look_of, run_handles, seeds_note, twirl_table
from ...figures.figure import Chart, Figure
from ...trainings import Training, by_run, off_floor, with_term
from ...wording import LEFT_OUT, column, floor_note, labels_note, say, words

ORDINALS = ("first", "second", "third", "fourth", "fifth")  # steps, where every panel has its own, in its title
SHOWN = len(ORDINALS)  # checkpoints of which the spectrum is drawn
DEGREE = ("effective_degree", "effective_degree_low", "effective_degree_high")


def measured(trainings: Sequence[Training], term: str) -> list[Training]:
    """The trainings whose spectrum was measured for this term, and is more than rounding at some checkpoint."""
    return [t for t in off_floor(with_term(trainings, term), term) if "spectrum" in t.twirl]


def spectrum(trainings: Sequence[Training], term: str) -> Figure:
    """Equivariance error by degree at a few checkpoints, one panel a run (its first seed)."""
    chosen = measured(trainings, term)
    firsts = [seeds[0] for seeds in by_run(chosen).values()]
    table = _table(chosen, term)
    drawn = table[column("spectrum")][table[column("degree")] > 0]
    every = [shown_steps(t.twirl["step"].values) for t in firsts]
    same = all(steps == every[0] for steps in every)

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, training) in enumerate(zip(style.grid(canvas, len(firsts), columns), firsts, strict=True)):
            steps = every[i]
            for colour, marker, step in zip(_colours(len(steps)), style.MARKERS, steps, strict=False):
                _points(ax, training.twirl.sel(term=term, step=step), colour, marker)
            style.log_axis(ax, drawn, "equivariance error\nof the degree" if i % columns == 0 else "")
            degrees = [float(d) for d in training.twirl["degree"].values[1:]]
            style.set_ticks(
                ax.xaxis, degrees, [f"{d:g}" for d in degrees], [], "degree" if i >= len(firsts) - columns else ""
            )
            ax.set_title(training.label + ("" if same else f"\nsteps {', '.join(map(str, steps))}"))
        names = [f"step {s}" for s in every[0]] if same else [f"{o} step" for o in ORDINALS[: max(map(len, every))]]
        style.legend(canvas, _handles(names))

    wide, narrow = style.canvases(draw, len(firsts), 2.9)
    caption = (
        f"Spectrum of the equivariance error ({words(term)}): the part of the error that changes with the orientation "
        "like a Wigner matrix of that degree; the sum over all degrees is the equivariance error. Bars: one standard "
        "error over samples. Estimates at or below zero are in the table only."
    )
    caption += floor_note(with_term(trainings, term), term, LEFT_OUT) + labels_note(chosen)
    text = f"Equivariance error of {words(term)} by degree. " + " ".join(_words(t, term) for t in chosen)
    series = {"equivariance error of the degree": (column("spectrum"), column("spectrum_error"))}
    label, title = "equivariance error of the degree", f"Spectrum of the equivariance error: {words(term)}"
    chart = Chart(column("degree"), series, label, by=(column("step"),), panel=("run", "seed"), x_log=False)
    return Figure(f"spectrum_{term}", wide, narrow, title, caption, text, table, chart)


def effective_degree(trainings: Sequence[Training], term: str) -> Figure:
    """Effective degree of the equivariance error over training, all trainings."""
    chosen = measured(trainings, term)
    groups = by_run(chosen)
    table = twirl_table(chosen, term, list(DEGREE))

    def draw(canvas: Canvas, columns: int) -> None:
        ax = canvas.subplots()
        for i, seeds in enumerate(groups.values()):
            for training in reversed(seeds):
                data = training.twirl.sel(term=term)
                values = [data[n].values for n in DEGREE]
                hollow = data["trivial"].values
                curve(ax, data["step"].values, *values, look_of(i), hollow=hollow, main=training is seeds[0])
        style.step_axis(ax, np.unique(table[column("step")]))
        ax.set_ylabel("effective degree")
        ax.set_ylim(bottom=1)
        style.legend(canvas, run_handles(groups))

    wide, narrow = style.canvases(draw, 1, 2.6)
    caption = (
        f"Effective degree of the equivariance error ({words(term)}): the degree l at which all of it would lie to "
        "have its Lie derivative, l (l + 1) = Lie-derivative error / equivariance error. A constant bias has 1. Bands: "
        "95 % intervals, bootstrap by sample; hollow points: nothing learned." + seeds_note(groups)
    ) + floor_note(with_term(trainings, term), term, LEFT_OUT)
    ends = (f"{t.label}: {_degree_words(t, term)}" for t in chosen)
    text = f"Effective degree of the equivariance error of {words(term)}. " + " ".join(ends)
    chart = Chart(column("step"), {"effective degree": tuple(map(column, DEGREE))}, "effective degree", y_log=False)
    return Figure(f"degree_{term}", wide, narrow, f"Effective degree: {words(term)}", caption, text, table, chart)


def shown_steps(steps: Array) -> list[int]:
    """A few checkpoints, evenly spread over those there are, first and last included."""
    places = np.unique(np.rint(np.linspace(0, len(steps) - 1, min(SHOWN, len(steps)))).astype(int))
    return [int(steps[i]) for i in places]


def _colours(count: int) -> list:
    """From early to late, dark to light, told apart in grey too."""
    return [mpl.colormaps["viridis"](x) for x in np.linspace(0.0, 0.85, count)]


def _points(ax: Axes, data, colour, marker: str) -> None:
    degree, value, error = (data[n].values[1:] for n in ("degree", "spectrum", "spectrum_error"))
    shown = np.where(value > 0, value, np.nan)
    below = np.minimum(error, np.nan_to_num(shown) * (1 - 1e-9))
    bars = {"yerr": np.nan_to_num([below, error]), "elinewidth": 0.9, "capsize": 2}
    ax.errorbar(degree, shown, color=colour, marker=marker, markersize=4, linewidth=1.2, **bars)


def _handles(labels: Sequence[str]) -> list[Line2D]:
    """Checkpoints, in the order of training."""
    looks = zip(_colours(len(labels)), style.MARKERS, labels, strict=False)
    return [Line2D([], [], color=c, marker=m, markersize=4, label=label) for c, m, label in looks]


def _table(chosen: Sequence[Training], term: str) -> pd.DataFrame:
    """Every checkpoint and degree."""
    parts = []
    for training in chosen:
        data = training.twirl[["spectrum", "spectrum_error"]].sel(term=term, drop=True)
        table = data.to_dataframe().reset_index().rename(columns={n: column(n) for n in ("step", "degree", *data)})
        table.insert(0, "run", training.run)
        table.insert(1, "seed", training.seed)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _words(training: Training, term: str) -> str:
    """The largest degrees at both ends of the training."""
    found = []
    for place in (0, -1):
        data = training.twirl.sel(term=term).isel(step=place)
        value = data["spectrum"].values[1:]
        top = int(np.argmax(value)) + 1
        share = 100 * value[top - 1] / max(float(data["loss_equiv"]), 1e-300)
        found.append(f"at step {int(data['step'])} degree {top} is the largest, {say(share)} % of the error")
    return f"{training.label}: {', '.join(found)}."


def _degree_words(training: Training, term: str) -> str:
    values = training.twirl.sel(term=term)["effective_degree"].values
    return f"from {say(float(values[0]))} to {say(float(values[-1]))}."

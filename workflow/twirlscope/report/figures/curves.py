"""Curves of stored numbers over training steps, with bands, markers and legends."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..._typing import Array, Bool, Mapping, Sequence
from ..numbers import Numbers, numbers, stored
from ..trainings import PRIMARY, Training, at_floor, primary_term, with_term
from . import style

MARKED = 40  # a line of more checkpoints than this has fewer markers


def twirl_numbers(trainings: Sequence[Training], term: str, names: Sequence[str]) -> Numbers:
    """Run, seed, term, step and the stored variables `names`, one row per checkpoint at which any was measured."""
    parts = []
    for training in with_term(trainings, term):
        data = training.of_term(term)
        values = {n: np.broadcast_to(data[n].values, data["step"].shape) for n in names if n in data}
        name = primary_term(training) if term == PRIMARY else term
        parts.append(training.labelled(pd.DataFrame({"term": name, "step": data["step"].values} | values)))
    rows = pd.concat(parts, ignore_index=True)
    there = rows[[n for n in names if n in rows]].notna().any(axis=1)
    return numbers(rows[there].reset_index(drop=True), stored("step", *names))


def steps_of(trainings: Sequence[Training]) -> Array:
    """Every step at which a checkpoint was measured."""
    return np.unique(np.concatenate([t.twirl["step"].values for t in trainings]))


def curve(ax: Axes, steps: Array, ends: Sequence[Array], look: style.Look, hollow=None, main: bool = True) -> None:
    """A line with its band and markers. Values at or below zero are not drawn; step 0 is not connected.

    Args:
        ends: value, and the low and the high end of its interval, at every step.
        hollow: True at points with a white face.
        main: False for further seeds, which are thinner.
    """
    value, low, high = ends
    shown = np.where(value > 0, value, np.nan)
    hollow = np.zeros(len(steps), bool) if hollow is None else hollow
    every = 1 if len(steps) <= MARKED else len(steps) // MARKED + 1
    marked = np.arange(len(steps)) % every == 0
    for part in (steps > 0, steps == 0):
        ax.fill_between(
            steps[part], np.maximum(low, 1e-30)[part], high[part], color=look.colour, alpha=0.16, linewidth=0
        )
    ax.plot(steps[steps > 0], shown[steps > 0], color=look.colour, linestyle=look.line, linewidth=1.5 if main else 0.8)
    if (steps == 0).any():
        bars = [np.maximum(low[steps == 0], 1e-30), high[steps == 0]]
        ax.vlines(steps[steps == 0], *bars, color=look.colour, alpha=0.4, linewidth=2.5)
    points(ax, steps, shown, look, marked & ~hollow, hollow, main)


def points(
    ax: Axes, x: Array, y: Array, look: style.Look, solid: Bool[Array, " x"], hollow: Bool[Array, " x"], main: bool
) -> None:
    """Solid markers and markers with a white face; smaller ones for further seeds."""
    for mask, face in ((solid, look.colour), (hollow, "white")):
        settings = {"color": look.colour, "markerfacecolor": face, "markersize": 4 if main else 2.6}
        ax.plot(x[mask], y[mask], look.marker, linestyle="none", **settings)


def floored(trainings: Sequence[Training], term: str) -> Bool[Array, " row"]:
    """True for rows of `twirl_numbers` that axes need not reach: rounding error, unless all of it is."""
    found = np.concatenate([at_floor(t, term) for t in trainings])
    return found & ~found.all()


def run_looks(groups: Mapping[str, Sequence[Training]]) -> dict[str, style.Look]:
    """The look of every run, the same in all figures."""
    places = enumerate((run, seeds[0].number) for run, seeds in groups.items())
    return {run: style.look_of(i if number is None else number, run) for i, (run, number) in places}


def run_handles(groups: Mapping[str, Sequence[Training]]) -> list[Line2D]:
    """Entries of a legend, one per run."""
    return style.handles(run_looks(groups).values())

"""The figures of twirling: pure functions from datasets to `Figure`s."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..._typing import Array, Bool, Sequence
from ..trainings import Training, at_floor, with_term
from ..wording import column
from . import style

ENDS = ("", "_low", "_high")
MARKED = 40  # a line of more checkpoints than this gets fewer markers


def twirl_table(trainings: Sequence[Training], term: str, names: Sequence[str]) -> pd.DataFrame:
    """Run, seed, term, step and the variables named, one row a checkpoint."""
    parts = []
    for training in with_term(trainings, term):
        data = training.twirl.sel(term=term)
        first = {"run": training.run, "seed": training.seed, "term": term, column("step"): data["step"].values}
        values = {column(n): np.broadcast_to(data[n].values, data["step"].shape) for n in names if n in data}
        parts.append(pd.DataFrame(first | values))
    return pd.concat(parts, ignore_index=True)


def steps_of(trainings: Sequence[Training]) -> Array:
    """Every step at which a checkpoint was measured."""
    return np.unique(np.concatenate([t.twirl["step"].values for t in trainings]))


def curve(ax: Axes, steps: Array, value: Array, low: Array, high: Array, look: tuple, hollow=None, main: bool = True):
    """A line with its band and markers; step 0, left of the break, is not joined. Nothing is drawn where value <= 0."""
    colour, line, marker = look[:3]
    shown = np.where(value > 0, value, np.nan)
    hollow = np.zeros(len(steps), bool) if hollow is None else hollow
    every = 1 if len(steps) <= MARKED else len(steps) // MARKED + 1
    seen = np.arange(len(steps)) % every == 0
    for part in (steps > 0, steps == 0):
        ax.fill_between(steps[part], np.maximum(low, 1e-30)[part], high[part], color=colour, alpha=0.16, linewidth=0)
    ax.plot(steps[steps > 0], shown[steps > 0], color=colour, linestyle=line, linewidth=1.5 if main else 0.8)
    if (steps == 0).any():
        ends = [low[steps == 0], high[steps == 0]]
        ax.vlines(steps[steps == 0], np.maximum(ends[0], 1e-30), ends[1], color=colour, alpha=0.4, linewidth=2.5)
    for mask, face in ((seen & ~hollow, colour), (hollow, "white")):
        size = 4 if main else 2.6
        ax.plot(steps[mask], shown[mask], marker, color=colour, markerfacecolor=face, markersize=size, linestyle="none")


def band_handle() -> Patch:
    """Legend entry of a band."""
    return Patch(facecolor=style.GREY, alpha=0.3, linewidth=0, label="95 % interval")


def seeds_note(groups: dict[str, list[Training]]) -> str:
    """What thin lines mean, if there are any."""
    return " Thin lines: further seeds of the same run." if any(len(s) > 1 for s in groups.values()) else ""


def look_of(index: int) -> tuple:
    """Colour, line and marker of run number `index`."""
    return tuple(kinds[index % len(kinds)] for kinds in (style.RUNS, style.LINES, style.MARKERS))


def floored(trainings: Sequence[Training], term: str) -> Bool[Array, " row"]:
    """Which rows of `twirl_table` are at the floor, as long as others are not: axes need not reach there."""
    found = np.concatenate([at_floor(t, term) for t in trainings])
    return found & ~found.all()


def run_handles(groups: dict[str, list[Training]]) -> list[Line2D]:
    """Entries of a legend, one a run."""
    looks = [look_of(i) for i in range(len(groups))]
    return [
        Line2D([], [], color=c, linestyle=ls, marker=m, label=r) for (c, ls, m), r in zip(looks, groups, strict=True)
    ]

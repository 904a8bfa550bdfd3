"""The equivariance error on grids by irrep of the octahedral group."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Canvas

from ...._typing import Sequence
from ...figures import style
from ...figures.curves import steps_of
from ...figures.figure import Figure
from ...numbers import Numbers, numbers, stored
from ...trainings import Training, first_seeds, with_term
from ...wording import labels_note, say, term_words

INVARIANT = "A1"  # the irrep of the twirled prediction: no equivariance error


# numbers


def irrep_numbers(trainings: Sequence[Training], term: str) -> Numbers:
    """The error by irrep, one row per training, checkpoint and irrep but A1."""
    names, parts = ["irrep_spectrum", "irrep_spectrum_error"], []
    for training in trainings:
        rows = training.twirl[names].sel(term=term, drop=True).to_dataframe().reset_index()
        parts.append(rows.assign(run=training.run, seed=training.seed))
    rows = pd.concat(parts, ignore_index=True)
    return numbers(rows[rows["irrep"] != INVARIANT], stored("step", *names))


# sentences


def _words(training: Training, term: str) -> str:
    """The share of every irrep at the last checkpoint; empty if there is no error."""
    last = training.last(term)
    total = float(last["panel_loss_equiv"])
    shares = [
        f"{n} {say(100 * float(last['irrep_spectrum'].sel(irrep=n)) / total)} %" for n in last["irrep"].values[1:]
    ]
    return f"{training.label}, step {int(last['step'])}: {', '.join(shares)} of the error." if total > 0 else ""


# figures


def irreps(trainings: Sequence[Training], term: str) -> Figure | None:
    """Equivariance error by irrep of the octahedral group over training; None if it was not measured."""
    chosen = [t for t in with_term(trainings, term) if "irrep_spectrum" in t.twirl]
    if not chosen:
        return None
    table, firsts = irrep_numbers(chosen, term), first_seeds(chosen)
    names = [str(n) for n in firsts[0].twirl["irrep"].values][1:]
    looks = style.shades(names)

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, training in zip(style.panels(canvas, len(firsts), columns), firsts, strict=True):
            data = training.of_term(term)
            for colour, line, marker, name in looks:
                values = data["irrep_spectrum"].sel(irrep=name).values
                panel.ax.plot(data["step"].values, values, color=colour, linestyle=line, marker=marker)
            style.log_axis(panel.ax, table.data["irrep_spectrum"], panel.y("equivariance error\nof the irrep"))
            style.step_axis(panel.ax, steps_of(firsts), panel.x("training step"))
            panel.ax.set_title(training.label)
        style.legend(canvas, style.handles(looks))

    wide, narrow = style.canvases(draw, len(firsts), 2.7)
    caption = (
        f"Equivariance error ({term_words(term)}) by irreducible representation of the 24 rotations of a cube, the "
        "only ones that turn a grid exactly. T1 holds errors that point along an axis, E and T2 hold degree 2, and A2 "
        "begins at degree 3. Errors that only other rotations show are not included: the sum is a lower bound of the "
        "error under all rotations."
    ) + labels_note(chosen)
    text = f"Equivariance error of {term_words(term)} by irrep. " + " ".join(_words(t, term) for t in chosen)
    return Figure(f"irreps_{term}", wide, narrow, f"Error by irrep: {term_words(term)}", caption, text, table)

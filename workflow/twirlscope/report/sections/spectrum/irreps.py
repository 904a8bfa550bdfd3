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
from ...wording import extremes, term_words

INVARIANT = "A1"  # the irrep of the twirled prediction: no equivariance error


# numbers


def irrep_numbers(trainings: Sequence[Training], term: str) -> Numbers:
    """The error by irrep, one row per training, checkpoint and irrep but A1."""
    names, parts = ["irrep_spectrum", "irrep_spectrum_error"], []
    for training in trainings:
        rows = training.panel(term)[names].drop_vars("term").to_dataframe().reset_index()
        parts.append(rows.assign(run=training.run, seed=training.seed))
    rows = pd.concat(parts, ignore_index=True)
    return numbers(rows[rows["irrep"] != INVARIANT], stored("step", *names))


# sentences


def _words(chosen: Sequence[Training], term: str) -> str:
    """The irrep with the largest share of the error at the last checkpoint, and the range of all shares."""
    shares = {}
    for training in chosen:
        last = training.last(term)
        total = max(float(last["panel_loss_equiv"]), 1e-300)
        for name in last["irrep"].values[1:]:
            shares[f"{name}, {training.label}"] = 100 * float(last["irrep_spectrum"].sel(irrep=name)) / total
    text = f"At the last checkpoint {max(shares, key=shares.get).split(',')[0]} is the largest part of the error. "
    return f"{text}Shares are {extremes(shares, ' %')}."


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
            data = training.panel(term)
            for colour, line, marker, name in looks:
                values = data["irrep_spectrum"].sel(irrep=name).values
                panel.ax.plot(data["step"].values, values, color=colour, linestyle=line, marker=marker)
            style.log_axis(panel.ax, table.data["irrep_spectrum"], panel.y("equivariance error\nof the irrep"))
            style.step_axis(panel.ax, steps_of(firsts), panel.x("training step"))
            panel.ax.set_title(training.label)
        style.legend(canvas, style.handles(looks))

    wide, narrow = style.canvases(draw, len(firsts), 2.7)
    caption = (
        f"Equivariance error ({term_words(term)}) by irreducible representation of the 24 rotations of a cube, which "
        "turn a grid exactly. T1: errors along an axis; E and T2: degree 2; A2: degree 3 and above."
    )
    text = _words(chosen, term)
    title = f"Error by irrep: {term_words(term)}"
    return Figure(f"irreps_{term}", wide, narrow, title, caption, text, table, tab=term_words(term))

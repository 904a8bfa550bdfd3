"""Figure of the equivariance error on grids by irrep of the octahedral group."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ...._typing import Sequence
from ...figures import style
from ...figures.curves import steps_of
from ...figures.figure import Chart, Figure
from ...trainings import Training, by_run, with_term
from ...wording import column, labels_note, say, words


def irreps(trainings: Sequence[Training], term: str) -> Figure | None:
    """Equivariance error by irrep of the octahedral group over training; None where it was not measured."""
    chosen = [t for t in with_term(trainings, term) if "irrep_spectrum" in t.twirl]
    if not chosen:
        return None
    table = pd.concat([_irreps_table(t, term) for t in chosen], ignore_index=True)
    firsts = [seeds[0] for seeds in by_run(chosen).values()]
    names = [str(n) for n in firsts[0].twirl["irrep"].values][1:]
    looks = dict(zip(names, zip(style.RUNS, style.LINES, style.MARKERS, strict=False), strict=False))

    def draw(canvas: Canvas, columns: int) -> None:
        drawn = table[table["irrep"] != "A1"][column("irrep_spectrum")]
        for i, (ax, training) in enumerate(zip(style.grid(canvas, len(firsts), columns), firsts, strict=True)):
            data = training.twirl.sel(term=term)
            for name, (colour, line, marker) in looks.items():
                values = data["irrep_spectrum"].sel(irrep=name).values
                ax.plot(data["step"].values, values, color=colour, linestyle=line, marker=marker)
            style.log_axis(ax, drawn, "equivariance error\nof the irrep" if i % columns == 0 else "")
            style.step_axis(ax, steps_of(firsts), "training step" if i >= len(firsts) - columns else "")
            ax.set_title(training.label)
        handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=n) for n, (c, ls, m) in looks.items()]
        style.legend(canvas, handles)

    wide, narrow = style.canvases(draw, len(firsts), 2.7)
    caption = (
        f"Equivariance error ({words(term)}) by irreducible representation of the 24 rotations of a cube, which alone "
        "turn a grid exactly. T1 holds what points along an axis, E and T2 what has degree 2, A2 begins at degree 3. "
        "What only other rotations would show is not in it: the sum is a lower bound of the error under all rotations."
    ) + labels_note(chosen)
    text = f"Equivariance error of {words(term)} by irrep. " + " ".join(_irreps_words(t, term) for t in chosen)
    series = {"equivariance error of the irrep": (column("irrep_spectrum"), column("irrep_spectrum_error"))}
    shown = table[table["irrep"] != "A1"]
    chart = Chart(column("step"), series, "equivariance error of the irrep", by=("irrep",), panel=("run",))
    return Figure(f"irreps_{term}", wide, narrow, f"Error by irrep: {words(term)}", caption, text, shown, chart)


def _irreps_table(training: Training, term: str) -> pd.DataFrame:
    names = ["irrep_spectrum", "irrep_spectrum_error"]
    frame = training.twirl[names].sel(term=term, drop=True).to_dataframe().reset_index()
    return frame.rename(columns={n: column(n) for n in ("step", *names)}).assign(run=training.run, seed=training.seed)


def _irreps_words(training: Training, term: str) -> str:
    last = training.twirl.sel(term=term).isel(step=-1)
    total = float(last["panel_loss_equiv"])
    shares = [
        f"{n} {say(100 * float(last['irrep_spectrum'].sel(irrep=n)) / total)} %" for n in last["irrep"].values[1:]
    ]
    return f"{training.label}, step {int(last['step'])}: {', '.join(shares)} of the error." if total > 0 else ""

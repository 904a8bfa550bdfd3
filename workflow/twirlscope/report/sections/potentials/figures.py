"""Course of the equivariance error of external potentials over the steps of their checkpoints."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from ...._typing import Sequence
from ...figures import style
from ...figures.curves import curve, run_handles, run_looks
from ...figures.figure import Figure
from ...numbers import ENDS
from ...trainings import Training, by_run
from ...wording import extremes, plural
from .errors import error_numbers

VALUE = tuple(f"so3{end}" for end in ENDS)


def course(trainings: Sequence[Training], term: str) -> Figure | None:
    """Error of a term under rotations over the steps; None without a series of checkpoints."""
    chosen = [t for t in trainings if t.twirl.sizes["step"] > 1 and term in t.twirl["term"].values]
    if not chosen:
        return None
    groups, table = by_run(chosen), error_numbers(chosen)
    rows = table.data[table.data["term"] == term]
    unit = rows["unit"].iloc[0]

    def draw(canvas: Canvas, columns: int) -> None:
        ax = canvas.subplots()
        for run, look in run_looks(groups).items():
            mine = rows[rows["run"] == run]
            ends = [mine[n].to_numpy() for n in VALUE]
            curve(ax, mine["step"].to_numpy(), ends, look)
        style.step_axis(ax, np.unique(rows["step"]))
        style.log_axis(ax, rows["so3"][rows["so3"] > 0], f"equivariance error [{unit}]")
        style.legend(canvas, run_handles(groups))

    wide, narrow = style.canvases(draw, 1, 2.6)
    caption = f"Equivariance error of {term} under rotations over the checkpoints, root mean square of a component. "
    ends = {run: rows[rows["run"] == run]["so3"].to_numpy() for run in groups}
    fell = sum(values[-1] < values[0] for values in ends.values())
    text = f"The error falls over training in {fell} of {plural(len(ends), 'potential')}. "
    text += f"It ends at {extremes({run: values[-1] for run, values in ends.items()}, f' {unit}')}."
    kept = type(table)(rows, table.columns)
    title = f"Equivariance error over training: {term}"
    return Figure(f"potentials_{term}", wide, narrow, title, caption, text, kept, tab=term)

"""The figure of reflections: the equivariance error over rotations alone, and over rotations and reflections."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import style
from .charts import Chart
from .figures import ENDS, curve, floored, seeds_note, steps_of, twirl_table
from .hints import Sequence
from .style import Figure
from .trainings import EDGE, Training, by_run, column, floor_note, labels_note, say, with_term, words

KINDS = {  # colour, line, marker, words
    "percent_equiv": (style.RUNS[0], "-", "o", "rotations alone, SO(3)"),
    "o3_percent_equiv": (style.RUNS[1], "--", "s", "rotations and reflections, O(3)"),
}


def reflections(trainings: Sequence[Training], term: str) -> Figure | None:
    """Percent of the loss that is equivariance error, over SO(3) and over O(3); None where O(3) was not measured."""
    chosen = [t for t in with_term(trainings, term) if "o3_percent_equiv" in t.twirl]
    if not chosen:
        return None
    groups, steps = by_run(chosen), steps_of(chosen)
    table = twirl_table(chosen, term, [f"{n}{e}" for n in KINDS for e in ENDS] + ["o3_reflection_error"])
    drawn = np.where(floored(chosen, term)[:, None], np.nan, table[[column(n) for n in KINDS]].to_numpy())

    def draw(canvas: Canvas, columns: int) -> None:
        axes = style.grid(canvas, len(groups), columns)
        for i, (ax, run, seeds) in enumerate(zip(axes, groups, groups.values(), strict=True)):
            for training in reversed(seeds):
                data = training.twirl.sel(term=term)
                for name, look in KINDS.items():
                    values, hollow = [data[f"{name}{e}"].values for e in ENDS], data["trivial"].values
                    curve(ax, data["step"].values, *values, look, hollow, main=training is seeds[0])
            style.log_axis(ax, drawn, "equivariance error\n[% of held-out loss]" if i % columns == 0 else "")
            style.step_axis(ax, steps, "training step" if i >= len(groups) - columns else "")
            ax.set_title(run)
        handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=t) for c, ls, m, t in KINDS.values()]
        style.legend(canvas, [*handles, Patch(facecolor=style.GREY, alpha=0.3, linewidth=0, label="95 % interval")])

    wide, narrow = style.canvases(draw, len(groups), 2.6)
    caption = (
        f"Share of the held-out loss ({words(term)}) that is equivariance error: with the twirled prediction over "
        "rotations, and with that over rotations and reflections. Training turns samples and never reflects them. "
        "Hollow points are trivial: nothing is learned there yet. Bands: 95 % intervals."
    )
    caption += seeds_note(groups) + floor_note(chosen, term, EDGE) + labels_note(chosen)
    text = f"Equivariance error of {words(term)} over SO(3) and over O(3). " + " ".join(_text(t, term) for t in chosen)
    series = {look[3]: tuple(column(f"{name}{end}") for end in ENDS) for name, look in KINDS.items()}
    chart = Chart(column("step"), series, "equivariance error [% of held-out loss]")
    title = f"Rotations and reflections: {words(term)}"
    return Figure(f"reflections_{term}", wide, narrow, title, caption, text, table, chart)


def _text(training: Training, term: str) -> str:
    last = training.twirl.sel(term=term).isel(step=-1)
    one, other = (say(float(last[name])) for name in KINDS)
    return f"{training.label}: {one} % and {other} % at step {int(last['step'])}."

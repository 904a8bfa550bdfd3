"""The figures of fields on grids: slices to look at, the error by irreps of the cube, and figures of merit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Sequence
from ..figures import style
from ..figures.curves import steps_of
from ..figures.figure import Chart, Figure
from ..section import Section
from ..trainings import Training, by_run
from ..wording import column, say, slug

MERITS = Chart(
    column("step"),
    {"share of the atoms": (column("merit_value"),)},
    "share of the atoms",
    by=("merit",),
    panel=("run",),
    y_log=False,
)


def slices(training: Training) -> Figure | None:
    """Slices of the first kept sample: noisy, denoised, twirled and true; None where there are none."""
    if "slice_value" not in training.twirl:
        return None
    data = training.twirl["slice_value"].isel(look=0)
    views = [str(v) for v in data["view"].values]
    shown = dict(zip(views, data.values, strict=True))
    low, high = float(min(v.min() for v in shown.values())), float(max(v.max() for v in shown.values()))

    def draw(canvas: Canvas, columns: int) -> None:
        axes = style.grid(canvas, len(views), columns)
        for ax, (view, values) in zip(axes, shown.items(), strict=True):
            last = ax.imshow(values.T, origin="lower", cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            ax.set_title(view)
            ax.grid(visible=False)
            ax.set_aspect("equal")
            style.set_ticks(ax.xaxis, [], [], [], "")
            style.set_ticks(ax.yaxis, [], [], [], "")
        canvas.colorbar(last, ax=axes, shrink=0.8, label="occupancy")

    wide, narrow = style.canvases(draw, len(views), 2.3, most=4)
    error = {v: float(np.sqrt(np.mean((shown[v] - shown["target"]) ** 2))) for v in views if v != "target"}
    step = int(training.twirl["step"][-1])
    caption = (
        f"A held-out sample of {training.label} at step {step}: a slice through one channel of the noisy input, the "
        "prediction, its mean over the 24 rotations of a cube, and the target. Black is occupied, white empty; values "
        f"beyond 0 and 1 are cut off (they reach from {say(low)} to {say(high)})."
    )
    each = ", ".join(f"{view} {say(value)}" for view, value in error.items())
    text = f"Four slices of a grid. Root mean square distance to the target within the slice: {each}."
    name = f"slices_{slug(training.run)}_seed{training.seed}"
    table = data.to_dataframe(name=column("slice_value")).reset_index()
    return Figure(name, wide, narrow, f"Denoised: {training.label}", caption, text, table)


def merits(trainings: Sequence[Training]) -> Figure | None:
    """Figures of merit of the predictions over training; None where no task knows any."""
    chosen = [t for t in trainings if "merit_value" in t.twirl]
    if not chosen:
        return None
    parts = []
    for training in chosen:
        frame = training.twirl["merit_value"].to_dataframe(name=column("merit_value")).reset_index()
        parts.append(frame.assign(run=training.run, seed=training.seed))
    table, firsts = pd.concat(parts, ignore_index=True), [seeds[0] for seeds in by_run(chosen).values()]
    names = list(dict.fromkeys(str(n) for t in firsts for n in t.twirl["merit"].values))
    looks = dict(zip(names, zip(style.RUNS, style.LINES, style.MARKERS, strict=False), strict=False))

    def draw(canvas: Canvas, columns: int) -> None:
        for i, (ax, training) in enumerate(zip(style.grid(canvas, len(firsts), columns), firsts, strict=True)):
            for name in training.twirl["merit"].values:
                colour, line, marker = looks[str(name)]
                values = training.twirl["merit_value"].sel(merit=name).values
                ax.plot(training.twirl["step"].values, values, color=colour, linestyle=line, marker=marker)
            ax.set_ylim(-0.02, 1.05)
            ax.set_ylabel("share of the atoms" if i % columns == 0 else "")
            style.step_axis(ax, steps_of(firsts), "training step" if i >= len(firsts) - columns else "")
            ax.set_title(training.label)
        handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=n) for n, (c, ls, m) in looks.items()]
        style.legend(canvas, handles)

    wide, narrow = style.canvases(draw, len(firsts), 2.7)
    caption = (
        "What the predictions are good for: atoms found as peaks of the denoised field of their element, within 0.5 Å, "
        "and peaks that are no atoms, both as a share of the atoms of the samples. An untrained network makes up many "
        "times as many as there are: shares above 1 are in the table only."
    )
    ends = (
        f"{t.label}: " + ", ".join(f"{n} {say(float(t.twirl['merit_value'].sel(merit=n)[-1]))}" for n in names)
        for t in chosen
    )
    text, table = f"At the last step, {'; '.join(ends)}.", table.rename(columns={"step": column("step")})
    return Figure("merits", wide, narrow, "Atoms found", caption, text, table, MERITS)


def section(trainings: Sequence[Training]) -> Section:
    """Slices are of the first seed of a run."""
    shown = [slices(seeds[0]) for seeds in by_run(trainings).values()]
    return Section("fields", "Fields on grids", figures=[f for f in (*shown, merits(trainings)) if f])

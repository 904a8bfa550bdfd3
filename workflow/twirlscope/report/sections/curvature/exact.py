"""Ratios of condition numbers of the two parts of the loss from all eigenvalues, over training, samples and seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure as Canvas

from ...._typing import Array, Sequence
from ....estimators.curvature.exact_ratios import LEAST_SEEDS, ratio_over_seeds
from ...figures import style
from ...figures.curves import curve, run_looks
from ...figures.figure import Figure
from ...numbers import Column, Numbers, numbers, stored
from ...tables import Table
from ...trainings import Training, by_run
from ...wording import extremes, say
from .matrices import MATRICES

SHOWN = {  # by measure: its name, and the eigenvalues that count
    "kappa_E90": ("κ_E90", "absolute"),
    "kappa_E99": ("κ_E99", "absolute"),
    "kappa_GD10": ("κ_GD10", "absolute"),
    "kappa_smallest": ("largest over smallest positive", "positive"),
    "kappa_median": ("largest over median", "absolute"),
    "effective_rank": ("effective rank", "absolute"),
}
COLUMNS = (
    *stored("step"),
    Column("name", "definition"),
    Column("seeds", "seeds", "1"),
    Column("mean", "twirled prediction error", "1"),
    Column("equiv", "equivariance error", "1"),
    Column("ratio", "ratio", "1"),
    Column("ratio_low", "ratio, low", "1"),
    Column("ratio_high", "ratio, high", "1"),
)


def is_exact(training: Training) -> bool:
    """True if all eigenvalues of the curvature were computed."""
    return training.hessian is not None and bool(training.hessian.attrs.get("exact", False))


# numbers


def ratio_numbers(trainings: Sequence[Training]) -> Numbers:
    """Ratio of each condition number of the mean part to that of the equivariance part, with its interval over seeds.

    One row per run, matrix, definition and step that all seeds have. A single seed has an interval over samples alone.
    """
    rows = []
    for run, seeds in by_run(trainings).items():
        steps = sorted(set.intersection(*(set(t.hessian["step"].values.tolist()) for t in seeds)))
        for matrix in seeds[0].hessian["curvature"].values:
            for measure, (name, side) in SHOWN.items():
                where = {"curvature": matrix, "measure": measure, "side": side}
                each = [t.hessian.sel(where).sel(step=steps) for t in seeds]
                rows += [{"run": run, "matrix": str(matrix), "name": name} | row for row in _rows(each, steps)]
    return numbers(pd.DataFrame(rows), COLUMNS)


def _rows(each: Sequence[xr.Dataset], steps: Sequence[int]) -> list[dict]:
    """Rows of one definition, one per step; `each` has the stores of all seeds."""
    mean = "mean_plugin" if "mean_plugin" in each[0]["part"].values else "mean"
    found = []
    for k, step in enumerate(steps):
        at = [one.isel(step=k) for one in each]
        parts = {p: np.array([float(one["condition"].sel(part=p)) for one in at]) for p in (mean, "equiv")}
        left_out = np.stack([_left_out(one, mean) for one in at])
        ratio = parts[mean] / parts["equiv"]
        if len(at) >= LEAST_SEEDS:
            ends = ratio_over_seeds(ratio, left_out)
        else:
            ends = tuple(float(at[0][f"condition_ratio{end}"]) for end in ("", "_low", "_high"))
        middle = [float(np.exp(np.log(values).mean())) for values in parts.values()]
        row = {"step": step, "seeds": len(at), "mean": middle[0], "equiv": middle[1]}
        found.append(row | dict(zip(("ratio", "ratio_low", "ratio_high"), ends, strict=True)))
    return found


def _left_out(one: xr.Dataset, mean: str) -> Array:
    """Ratios without each group of the samples."""
    values = one["condition_replicate"]
    return (values.sel(part=mean) / values.sel(part="equiv")).values


# sentences


def sentence(run: str, trainings: Sequence[Training], table: Numbers) -> str:
    """The first ratio of the Hessian of a run at its last step, and what was measured; the table has all ratios."""
    rows = table.data[(table.data["run"] == run) & (table.data["matrix"] == "hessian")]
    rows = rows[rows["step"] == rows["step"].max()]
    attrs, size = trainings[0].hessian.attrs, int(trainings[0].hessian["parameters"])
    block = attrs.get("block", "")
    what = f"the {size} parameters of its layer {block}" if block else f"all {size} parameters"
    first = next(rows.itertuples(index=False))
    seeds = f"{len(trainings)} seeds" if len(trainings) > 1 else trainings[0].label.removeprefix(f"{run}, ")
    unclear = sum(not (row.ratio_low > 1 or row.ratio_high < 1) for row in rows.itertuples())
    return (
        f"{run}, {seeds}, step {first.step}: all eigenvalues of the Hessian in {what}, on {attrs['samples']} samples. "
        f"{first.name} of the twirled prediction error over that of the equivariance error is {_interval(first)}; in "
        f"{unclear} of {len(rows)} definitions it is open which part has the larger number."
    )


def _interval(row: tuple) -> str:
    """A ratio with its interval."""
    if not np.isfinite(row.ratio_low):
        return f"{say(row.ratio)} (too few groups of samples for an interval)"
    return f"{say(row.ratio)} (95 % interval {say(row.ratio_low)} to {say(row.ratio_high)})"


# tables and figures


def ratio_table(table: Numbers) -> Table:
    """Ratios at the last step of every run, by matrix and definition; the CSV file has all steps."""
    last = table.data.groupby("run")["step"].transform("max") == table.data["step"]
    brief = numbers(table.data[last].reset_index(drop=True), COLUMNS)
    caption = (
        "Condition numbers from all eigenvalues, at the last step of every run: geometric mean over seeds for the two "
        "parts of the loss, and the ratio of the parts with its 95 % interval over samples and seeds."
    )
    return Table("condition_ratios", caption, table, brief)


def ratios(trainings: Sequence[Training], table: Numbers) -> Figure:
    """Ratios over training: one row of panels per matrix, one column per definition, one line per run."""
    data, looks = table.data, run_looks(by_run(trainings))
    contents = list(data[["matrix", "name"]].drop_duplicates().itertuples(index=False, name=None))

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, (matrix, name) in zip(style.panels(canvas, len(contents), columns), contents, strict=True):
            some = data[(data["matrix"] == matrix) & (data["name"] == name)]
            for run, rows in some.groupby("run", sort=False):
                ends = [rows[c].values for c in ("ratio", "ratio_low", "ratio_high")]
                curve(panel.ax, rows["step"].values, ends, looks[run])
            panel.ax.axhline(1, color=style.GREY, linewidth=0.8, linestyle=":")
            style.log_axis(panel.ax, [*data["ratio"], 1.0], panel.y("mean part over\nequivariance part"))
            style.step_axis(panel.ax, np.unique(data["step"]), panel.x("training step"))
            panel.ax.set_title(f"{name}, {MATRICES[matrix]}" if len(MATRICES) > 1 else name)
        style.legend(canvas, [*style.handles(looks.values()), style.band()])

    wide, narrow = style.canvases(draw, len(contents), 2.2)
    caption = (
        "Condition numbers of the twirled prediction error over those of the equivariance error, from all "
        "eigenvalues, by every definition. Above the dotted line the twirled prediction error is worse conditioned; "
        "for the effective rank, better."
    )
    last = data[data["step"] == data.groupby("run")["step"].transform("max")]
    ends = {f"{row.name}, {row.run}": float(row.ratio) for row in last.itertuples(index=False)}
    text = f"At the last step the ratio is above one in {sum(v > 1 for v in ends.values())} of {len(ends)} cases. "
    text += f"It is {extremes(ends)}."
    return Figure("condition_ratios", wide, narrow, "Ratios of condition numbers", caption, text, table)

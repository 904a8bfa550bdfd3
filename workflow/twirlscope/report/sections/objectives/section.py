"""Objectives at equal cost: held-out loss against equivariance error, and against the cost of training.

Question: which way to learn symmetry is worth its cost?
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ...._typing import Sequence
from ....estimators import over_seeds
from ....geometry.rotation_sets import FRAME_PASSES
from ...figures import style
from ...figures.figure import Figure
from ...numbers import Column, Numbers, ends_of, numbers, with_ends
from ...questions import WORTH
from ...section import Section
from ...tables import Table
from ...trainings import Training, primary_term
from ...wording import listed, plural, say, slug
from .comparison import Comparison, comparisons, flops_of, updates_of

EQUAL = 0.05  # relative difference of FLOPs up to which costs count as equal
AVERAGES = {"haar4": "4 independent rotations at test time", "D2": "the group D2 at test time"}
PANEL = ("frame_loss", "twirled_loss", "twirled_loss_predicted", "panel_single_loss")  # of averaging at test time
CSV_ONLY = ("forward_rows", "backward_rows", "equiv_low", "equiv_high", "orbit_distance", "distance")


COLUMNS = (
    Column("objective", "objective"),
    Column("seeds", "seeds", "1"),
    Column("flops", "FLOPs of training", "TFLOP"),
    Column("forward_rows", "forward rows of an update", "1"),
    Column("backward_rows", "backward rows of an update", "1"),
    *with_ends("loss", "held-out loss"),
    *with_ends("equiv", "equivariance error"),
    Column("percent", "equivariance error in percent of the loss", "%"),
    *with_ends("ratio", "loss over that of augmentation"),
    Column("orbit_distance", "root mean square distance from the twirled prediction (E of REMUL)", "1"),
    Column("distance", "root mean square distance of two views (E' of REMUL)", "1"),
    Column("served", "loss with four frames", "1"),
    *(Column(f"averaged_{name}", f"loss with {text}", "1") for name, text in AVERAGES.items()),
)
AT_CHECKPOINTS = (
    Column("objective", "objective"),
    Column("step", "step", "1"),
    Column("flops", "FLOPs so far", "TFLOP"),
    *with_ends("loss", "held-out loss"),
)


# numbers


def ends(comparison: Comparison) -> Numbers:
    """Loss, equivariance error and cost at the last checkpoint, one row per objective, geometric means over seeds."""
    base, rows = [_loss(t) for t in comparison.reference], []
    for name, trainings in comparison.seeds.items():
        losses = [_loss(t) for t in trainings]
        loss, equiv = (
            over_seeds.geometric_mean(losses),
            over_seeds.geometric_mean([_last(t, "loss_equiv") for t in trainings]),
        )
        row = {"objective": name, "seeds": len(trainings), **_cost(trainings)}
        row |= ends_of("loss", loss) | ends_of("equiv", equiv) | {"percent": 100 * equiv.value / loss.value}
        row |= ends_of("ratio", _against(losses, base, trainings is comparison.reference))
        row |= {"orbit_distance": equiv.value**0.5, "distance": (2 * equiv.value) ** 0.5}
        row["served"] = _panel(trainings, "frame_loss")
        rows.append(row | {f"averaged_{one}": _panel(trainings, "twirled_loss", one) for one in AVERAGES})
    return numbers(pd.DataFrame(rows), COLUMNS)


def _against(losses: Sequence[float], base: Sequence[float], same: bool) -> over_seeds.Interval:
    """Losses over those of augmentation: exactly 1 for augmentation itself, NaN without any."""
    if same or not base:
        return over_seeds.Interval(*(1.0 if same else np.nan,) * 3)
    return over_seeds.ratio(losses, base)


def course(comparison: Comparison) -> Numbers:
    """Loss against FLOPs at every checkpoint, geometric means over seeds."""
    rows = []
    for name, trainings in comparison.seeds.items():
        flops, term = _cost(trainings)["flops"] / updates_of(trainings[0]), primary_term(trainings[0])
        losses = np.stack([t.of_term(term)["loss_total"].values for t in trainings])
        for k, step in enumerate(trainings[0].twirl["step"].values.tolist()):
            found = {"objective": name, "step": step, "flops": flops * step}
            rows.append(found | ends_of("loss", over_seeds.geometric_mean(losses[:, k])))
    return numbers(pd.DataFrame(rows), AT_CHECKPOINTS)


def _last(training: Training, name: str) -> float:
    return float(training.last(primary_term(training))[name])


def _loss(training: Training) -> float:
    return _last(training, "loss_total")


def _panel(trainings: Sequence[Training], name: str, rotation_set: str = "") -> float:
    """Loss of averaging at test time, times the loss on all samples over that of one pass on the same panel."""
    found = []
    for training in trainings:
        last = training.last(primary_term(training))
        if name not in last or "panel_single_loss" not in last:
            return np.nan
        if rotation_set and rotation_set not in last["rotation_set"].values:
            return np.nan
        value = float(last[name].sel(rotation_set=rotation_set) if rotation_set else last[name])
        if not np.isfinite(value) and rotation_set:
            value = float(last["twirled_loss_predicted"].sel(rotation_set=rotation_set))
        found.append(value * _loss(training) / float(last["panel_single_loss"].mean()))
    return over_seeds.geometric_mean(found).value


def _cost(trainings: Sequence[Training]) -> dict[str, float]:
    """FLOPs of the whole training [TFLOP] and rows of an update; NaN where they were not counted."""
    first = trainings[0]
    stored = {} if first.train is None else first.train
    names = ("forward_rows", "backward_rows")
    return {"flops": flops_of(first) / 1e12} | {n: float(stored[n]) if n in stored else np.nan for n in names}


# sentences


def sentences(comparison: Comparison, found: Numbers) -> list[str]:
    """The lowest loss, the lowest equivariance error, and the runs of another cost."""
    rows = found.data
    best, even = rows.loc[rows["loss"].idxmin()], rows.loc[rows["equiv"].idxmin()]
    text = [
        f"{comparison.dataset}: of {plural(len(rows), 'objective')}, {best['objective']} has the lowest held-out loss, "
        f"{say(best['loss'])} with {say(best['percent'])} % equivariance error; {even['objective']} has the lowest "
        f"equivariance error, {say(even['percent'])} % of a loss of {say(even['loss'])}."
    ]
    if np.isfinite(best["ratio_low"]) and comparison.reference:
        text.append(
            f"Its loss is {say(best['ratio'])} times that of augmentation (95 % interval over seeds "
            f"{say(best['ratio_low'])} to {say(best['ratio_high'])})."
        )
    other = [
        n for n, f in zip(rows["objective"], rows["flops"], strict=True) if abs(f / rows["flops"].median() - 1) > EQUAL
    ]
    if other:
        text.append(f"Not of equal cost (more than {100 * EQUAL:g} % from the median FLOPs): {listed(other)}.")
    return text


# figures


def pareto(comparison: Comparison, found: Numbers) -> Figure:
    """Held-out loss against equivariance error, and against the cost of training."""
    along, rows = course(comparison).data, found.data
    looks = {name: style.look_of(i, name) for i, name in enumerate(rows["objective"])}

    def draw(canvas: Canvas, columns: int) -> None:
        left, right = canvas.subplots(-(-2 // columns), columns, squeeze=False).ravel()
        _against_error(left, rows, looks)
        _against_cost(right, along[along["step"] > 0], looks)
        style.legend(canvas, style.handles(looks.values()))

    wide, narrow = style.canvases(draw, 2, 4.2)
    each = [f"{r['objective']}: loss {say(r['loss'])}, equivariance error {say(r['percent'])} %" for r in _rows(rows)]
    title = f"Objectives at equal cost: {comparison.dataset}"
    every = [t for seeds in comparison.seeds.values() for t in seeds]
    caption = _caption(primary_term(every[0]))
    return Figure(_name(comparison), wide, narrow, title, caption, f"{title}. {'; '.join(each)}.", found)


def _name(comparison: Comparison) -> str:
    return f"objectives_{slug(comparison.dataset)}_{comparison.task}"


def _rows(data: pd.DataFrame) -> list[dict]:
    return data.to_dict("records")


def _caption(term: str) -> str:
    return (
        f"Left: held-out loss ({term}) of the last checkpoint against its equivariance error, geometric means over "
        "seeds. Open squares: averaged over four rotations at test time. Stars: over "
        f"{FRAME_PASSES} frames, at the error of one pass. Right: loss against FLOPs spent; one schedule per run."
    )


def _against_error(ax: Axes, rows: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    """Means with bars, and open marks of averaging at test time."""
    for row in _rows(rows):
        look, open_mark = looks[row["objective"]], {"markerfacecolor": "white", "linestyle": "none"}
        bars = {
            axis: [[row[n] - row[f"{n}_low"]], [row[f"{n}_high"] - row[n]]]
            for axis, n in (("x", "equiv"), ("y", "loss"))
        }
        bars = {f"{axis}err": None if np.isnan(ends).any() else ends for axis, ends in bars.items()}
        ax.errorbar(row["equiv"], row["loss"], fmt=look.marker, color=look.colour, elinewidth=0.8, **bars)
        ax.plot([row["equiv"] / 4], [row["averaged_haar4"]], "s", color=look.colour, markersize=4, **open_mark)
        ax.plot([row["equiv"]], [row["served"]], "*", color=look.colour, markersize=7, **open_mark)
    style.log_axis(ax, rows[["loss", "loss_low", "loss_high", "served", "averaged_haar4"]], "held-out loss")
    equiv = rows["equiv"].to_numpy()
    style.log_x_axis(
        ax, np.concatenate([equiv / 4, rows["equiv_low"], equiv, rows["equiv_high"]]), "equivariance error"
    )


def _against_cost(ax: Axes, along: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    """One line per objective over the FLOPs spent."""
    for name, part in along.groupby("objective", sort=False):
        look = looks[name]
        line = {"color": look.colour, "linestyle": look.line, "marker": look.marker, "markersize": 3}
        ax.plot(part["flops"], part["loss"], **line)
        ax.fill_between(part["flops"], part["loss_low"], part["loss_high"], color=look.colour, alpha=0.12)
    style.log_x_axis(ax, along["flops"].to_numpy(), "FLOPs of training [TFLOP]")
    style.log_axis(ax, along["loss"], "held-out loss")


def table(comparison: Comparison, found: Numbers) -> Table:
    """All numbers of a comparison."""
    caption = (
        "One row per objective, geometric means over seeds with 95 % intervals. Losses with averaging at test time are "
        "those of the panel, scaled to all held-out samples. Rows: rotated samples that pass forwards and backwards "
        "through the network in an update."
    )
    return Table(f"{_name(comparison)}_ends", caption, found, found.without(CSV_ONLY))


def section(every: Sequence[Training]) -> Section:
    """One figure and one table per group of trainings that differ in their objective."""
    found = [(comparison, ends(comparison)) for comparison in comparisons(every)]
    return Section(
        WORTH,
        "objectives",
        "Objectives at equal cost",
        [text for one, rows in found for text in sentences(one, rows)],
        [pareto(one, rows) for one, rows in found],
        [(f"Objectives: {one.dataset}", table(one, rows)) for one, rows in found],
    )

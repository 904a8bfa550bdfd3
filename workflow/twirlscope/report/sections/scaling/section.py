"""Scaling: power laws of the loss and of its parts in FLOPs, training samples and parameters.

Question: does built-in symmetry scale better than learned symmetry?
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ...._typing import Sequence
from ...figures import style
from ...figures.figure import Figure
from ...numbers import Column, Numbers, numbers
from ...questions import WORTH
from ...section import Section
from ...tables import Table, with_intervals
from ...trainings import Training
from ...wording import interval_words, say, slug
from .families import AXES, LOSS, families
from .laws import AXIS_WORDS, QUANTITIES, UNITS, Law, Pair, by_place, law_numbers, laws, pair_numbers, pairs

DRAWN = (LOSS, "loss_equiv")
CSV_ONLY = ("bend", "seeds")
COLUMNS = (
    Column("along", "in"),
    Column("x", "FLOPs [TFLOP], samples or parameters", "1"),
    Column("value", "geometric mean over seeds", "1"),
    Column("line", "power law", "1"),
    Column("line_low", "power law, from", "1"),
    Column("line_high", "power law, to", "1"),
)


# sentences


def sentences(found: Sequence[Law], compared: Sequence[Pair]) -> list[str]:
    """The exponents of learned and built-in symmetry for one dataset and task, or the reasons why there are none."""
    chosen = [p for p in compared if p.learned.family.is_augmented] or list(compared)
    if chosen:
        return [_comparison(p) for p in chosen]
    losses = [one for one in found if one.quantity == LOSS]
    return [f"{found[0].family.dataset}: {'; '.join(map(_alone, losses))}."] if losses else []


def _comparison(pair: Pair) -> str:
    one, other, between = pair.learned, pair.built_in, pair.difference
    verdict = (
        "built-in symmetry scales better"
        if between.low > 0
        else "learned symmetry scales better"
        if between.high < 0
        else "the difference may be chance"
    )
    text = (
        f"{one.family.dataset}: the held-out loss falls as the {AXIS_WORDS[one.axis]} to the power "
        f"{interval_words(*one.interval)} with learned symmetry ({one.family.name}) and "
        f"{interval_words(*other.interval)} with built-in symmetry ({other.family.name}); {verdict}."
    )
    if pair.ends is None:
        return text
    return text + (
        f" The learned one has {interval_words(*pair.ratios[0])} times the loss of the built-in one at "
        f"{_amount(pair.ends[0], one.axis)}, and {interval_words(*pair.ratios[1])} times at "
        f"{_amount(pair.ends[1], one.axis)}."
    )


def _amount(x: float, axis: str) -> str:
    return f"{say(x)} {AXIS_WORDS[axis] if UNITS[axis] == '1' else UNITS[axis]}"


def _alone(one: Law) -> str:
    subject, axis = f"the {QUANTITIES[one.quantity]} of {one.family.name}", AXIS_WORDS[one.axis]
    if one.fitted is None:
        return f"{subject} has no exponent in {axis} ({one.reason})"
    return f"{subject} goes as the {axis} to the power {interval_words(*one.interval)}"


def bends(found: Sequence[Law]) -> list[str]:
    """A warning for every law of the loss whose exponent changes over its range."""
    return [
        f"{one.family.dataset}: the line of {one.family.name} in {AXIS_WORDS[one.axis]} bends, its exponent changes by "
        f"{interval_words(*one.fitted.bend)} over the range: the exponent is a mean."
        for one in found
        if one.fitted and one.quantity == LOSS and one.fitted.bends
    ]


# figures


def figure(found: Sequence[Law]) -> Figure:
    """Loss and equivariance error of the runs of one dataset and task, with their power laws, by every axis."""
    names = list(dict.fromkeys(one.family.name for one in found))
    looks = {name: style.look_of(i, name) for i, name in enumerate(names)}
    axes = [axis for axis in AXES if any(one.axis == axis for one in found)]
    places = [(quantity, axis) for quantity in DRAWN for axis in axes]

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(places), columns, sharex=False, sharey=False)
        for panel, (quantity, axis) in zip(panels, places, strict=True):
            _draw(panel.ax, [one for one in found if (one.quantity, one.axis) == (quantity, axis)], looks)
        style.legend(canvas, [*style.handles(looks.values()), style.band("95 % interval of a power law", 0.12)])

    wide, narrow = style.canvases(draw, len(places), 2.8, most=len(axes))
    first = found[0].family
    title = f"Power laws: {first.dataset}"
    caption = (
        "Held-out loss and equivariance error of the last checkpoints, one mark per run, geometric means over seeds. "
        "In FLOPs: the run with the lowest loss of each octave. Lines: power laws, with 95 % intervals over runs and "
        "seeds; none where the range is below four octaves, or the error is rounding alone."
    )
    each = [_alone(one) for one in found if one.quantity in DRAWN]
    name = f"scaling_{slug(first.dataset)}_{slug(first.task)}"
    return Figure(name, wide, narrow, title, caption, f"{title}. {'; '.join(each)}.", drawn(found))


def drawn(found: Sequence[Law]) -> Numbers:
    """The marks and the lines, one row per run of a law."""
    parts = []
    for one in (one for one in found if one.quantity in DRAWN):
        x = np.array([r.at(one.axis) for r in one.runs])
        lines = one.fitted.at(x) if one.fitted else np.full((3, len(x)), np.nan)
        row = {"family": one.family.name, "along": AXIS_WORDS[one.axis], "quantity": QUANTITIES[one.quantity]}
        row |= {"run": [r.seeds[0].run for r in one.runs], "x": x, "value": _means(one)}
        parts.append(pd.DataFrame(row | dict(zip(("line", "line_low", "line_high"), lines, strict=True))))
    return numbers(pd.concat(parts, ignore_index=True), COLUMNS)


def _means(one: Law) -> np.ndarray:
    """Geometric means over seeds; NaN where a value is not positive."""
    every = [r.values(one.quantity) for r in one.runs]
    return np.array([np.exp(np.log(v).mean()) if (v > 0).all() else np.nan for v in every])


def _draw(ax: Axes, found: Sequence[Law], looks: dict[str, style.Look]) -> None:
    """Marks, lines and bands of one quantity by one axis."""
    seen, values = [], []
    for one in found:
        look, x, mean = looks[one.family.name], np.array([r.at(one.axis) for r in one.runs]), _means(one)
        ax.plot(x, mean, look.marker, color=look.colour, linestyle="none")
        seen, values = [*seen, *x], [*values, *mean]
        if one.fitted:
            along = np.geomspace(x[0], x[-1], 40)
            line, low, high = one.fitted.at(along)
            ax.plot(along, line, color=look.colour, linestyle=look.line)
            ax.fill_between(along, low, high, color=look.colour, alpha=0.12, linewidth=0)
            values += [*low, *high]
    if not found:
        return
    axis = found[0].axis
    style.log_x_axis(ax, np.array(seen), Column(axis, AXIS_WORDS[axis], UNITS[axis]).title)
    style.log_axis(ax, values, QUANTITIES[found[0].quantity])


# tables


def law_table(found: Sequence[Law]) -> Table:
    """Exponents of all quantities."""
    caption = (
        "Exponent of each quantity as a power of FLOPs, training samples or parameters at the last checkpoint, with "
        "its 95 % interval over runs and seeds. FLOPs: the run with the lowest loss of each octave, of all sizes and "
        "lengths. Samples: at one size and number of updates; parameters: at one number of samples and updates."
    )
    table = law_numbers(found)
    shown = with_intervals(table, ["exponent", "bend"])
    return Table("scaling_laws", caption, table, shown.without(CSV_ONLY))


def pair_table(compared: Sequence[Pair]) -> Table:
    """Learned against built-in symmetry."""
    caption = (
        "Held-out loss of learned against built-in symmetry, by their power laws. Difference of the exponents: "
        "positive where built-in symmetry scales better. Ratios of the losses at both ends of the common range."
    )
    table = pair_numbers(compared)
    return Table("scaling_pairs", caption, table, with_intervals(table, ["difference", "ratio_start", "ratio_end"]))


def section(every: Sequence[Training]) -> Section:
    """One figure per dataset and task, the exponents, and the comparisons of learned and built-in symmetry."""
    found = laws(families(every))
    if not found:
        return Section(WORTH, "scaling", "Scaling")
    compared, told = pairs(found), []
    for group in by_place(found):
        told += sentences(group, [p for p in compared if p.learned in group])
    tables = [("Exponents", law_table(found))]
    tables += [("Learned against built-in symmetry", pair_table(compared))] if compared else []
    figures = [figure(group) for group in by_place(found)]
    return Section(WORTH, "scaling", "Scaling", told, figures, tables, open_figures=1, remarks=bends(found))

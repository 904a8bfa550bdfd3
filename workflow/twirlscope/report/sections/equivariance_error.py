"""The equivariance error over training, by element, and under reflections.

Question: how large a share of the held-out loss is equivariance error, and what carries it?
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Sequence
from ...estimators import loss_split
from ..figures import published, style
from ..figures.curves import curve, floored, points, run_handles, run_looks, steps_of, twirl_numbers
from ..figures.figure import Figure, tabbed
from ..figures.marks import of_seed
from ..figures.style import Look
from ..numbers import ENDS, Column, Numbers, numbers, percentage
from ..published.curves import PublishedCurve
from ..questions import SYMMETRY
from ..section import Section
from ..tables import Table, interval, present_tables, with_intervals
from ..trainings import PRIMARY, Training, by_run, distinct_terms, other_terms, with_term
from ..wording import extremes, not_learned, plural, term_words

SYMBOLS = (  # by atomic number, from 1
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv "
    "Ts Og"
)
GROUPS = {  # stored percentage -> look, with words
    "percent_equiv": Look(style.BLACK, "-", "o", "rotations alone, SO(3)"),
    "o3_percent_equiv": Look(style.GREY, "--", "s", "rotations and reflections, O(3)"),
}
LABEL = "equivariance error [% of held-out loss]"
BESIDE, HEIGHT = 6.6, 4.0  # width and height [inch] of the figure beside the cards
LEARNED_LEAST = -0.5  # lower end of the axis of the learned fraction

ELEMENTS = (
    Column("total_share", "share of the total loss", "%"),
    Column("equiv_share", "share of the equivariance error", "%"),
    Column("percent", "equivariance error", "%"),
)
REFLECTIONS = (
    *percentage("rotations", "equivariance error, SO(3)"),
    *percentage("reflections", "equivariance error, O(3)"),
    Column("between", "between the halves of O(3)", "% of it"),
)


# numbers


def percent_numbers(trainings: Sequence[Training], term: str) -> Numbers:
    """Percentage, learned fraction and whether that is too small, one row per checkpoint."""
    names = [f"{name}{end}" for name in ("percent_equiv", "learned_fraction") for end in ENDS]
    return twirl_numbers(trainings, term, [*names, "trivial"])


def element_numbers(trainings: Sequence[Training]) -> Numbers | None:
    """Shares of the elements at the last checkpoint, one row per training and element; None without elements."""
    rows = [row for t in trainings if "element_loss_equiv" in t.twirl for row in _element_rows(t)]
    return numbers(pd.DataFrame(rows), ELEMENTS) if rows else None


def _element_rows(training: Training) -> list[dict]:
    """The shares of the elements of one training, which add up to 100 %."""
    total, equiv = (training.twirl[f"element_loss_{part}"].values[-1] for part in ("total", "equiv"))
    percent = loss_split.percent(total, equiv)
    return [
        {
            "run": training.run,
            "seed": training.seed,
            "element": SYMBOLS.split()[int(z) - 1],
            "total_share": 100 * float(total[i] / total.sum()),
            "equiv_share": 100 * float(equiv[i] / equiv.sum()),
            "percent": float(percent[i]),
        }
        for i, z in enumerate(training.twirl["element"].values)
    ]


def reflection_numbers(trainings: Sequence[Training]) -> Numbers | None:
    """Both percentages at the last checkpoint, one row per training and term; None if O(3) was not measured."""
    rows = [
        _reflection_row(training, str(term))
        for training in trainings
        if "o3_loss_equiv" in training.twirl
        for term in training.twirl["term"].values
    ]
    return numbers(pd.DataFrame(rows), REFLECTIONS) if rows else None


def _reflection_row(training: Training, term: str) -> dict:
    last = training.last(term)
    whole, between = float(last["o3_loss_equiv"]), float(last["o3_reflection_error"])
    return {
        "run": training.run,
        "seed": training.seed,
        "term": term,
        **interval(last, "percent_equiv", "rotations"),
        **interval(last, "o3_percent_equiv", "reflections"),
        "between": 100 * between / whole if whole > 0 else None,
    }


# figures


def percent(trainings: Sequence[Training], term: str, threshold: float) -> Figure:
    """Percentage of the held-out loss that is equivariance error, above the learned fraction; all trainings."""
    chosen = with_term(trainings, term)
    groups, table, looks = by_run(chosen), percent_numbers(chosen, term), run_looks(by_run(chosen))
    rows, steps = table.data, steps_of(chosen)
    seen = rows["percent_equiv"].where(~floored(chosen, term))
    grey = published.references(chosen, "percent_equiv") if term == PRIMARY else []
    limits = {float(t.twirl.attrs["trivial_below"]) for t in chosen if "trivial_below" in t.twirl.attrs}

    def draw(canvas: Canvas, columns: int, behind: Sequence[PublishedCurve] = ()) -> None:
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        for run, seeds in groups.items():
            for training in reversed(seeds):
                with of_seed(upper, training.seed), of_seed(lower, training.seed):
                    _percent_curves(upper, lower, training, term, looks[run], training is seeds[0])
        upper.axhline(threshold, color=style.BLACK, linestyle=style.DASHED, linewidth=1)
        for value in limits:
            lower.axhline(value, color=style.GREY, linestyle=":", linewidth=1)
        published.draw(upper, behind)
        published.name_models(upper, behind)
        axis = np.array([*steps, *published.steps(behind)])
        style.log_axis(upper, [*seen, threshold, *(v for c in behind for v in c.value)], LABEL.replace(" [", "\n["))
        style.step_axis(upper, axis, "")
        style.step_axis(lower, axis)
        lower.set_ylim(max(np.nanmin([*rows["learned_fraction"], 0.0]), LEARNED_LEAST) - 0.07, 1.05)
        lower.set_ylabel("learned\nfraction")
        canvas.align_ylabels()
        found = [*run_handles(groups), *_percent_handles(threshold, not_learned(chosen))]
        style.legend(canvas, [*found, *([published.handle("published")] if behind else [])])

    wide, narrow = style.canvases(lambda *a: draw(*a, grey), 1, HEIGHT, wide=BESIDE)
    plain = style.canvases(draw, 1, HEIGHT, wide=BESIDE) if grey else None
    title = f"Share of the loss that is equivariance error: {term_words(term)}"
    table = published.joined(table, grey, "percent_equiv", term)
    caption = (
        f"Above: share of the held-out loss ({term_words(term)}) that is equivariance error. Below: learned fraction, "
        "1 less loss over loss of predicting zero; dotted: its limit."
    )
    caption, text = caption + published.note(grey), _percent_words(chosen, term, threshold)
    return Figure(f"percent_{term}", wide, narrow, title, caption, text, table, plain, term_words(term))


def _percent_words(chosen: Sequence[Training], term: str, threshold: float) -> str:
    """The number of trainings that end below the threshold, and the range of the last percentages."""
    ends = {t.label: float(t.last(term)["percent_equiv"]) for t in chosen}
    small = sum(value < threshold for value in ends.values())
    text = f"The equivariance error ends below {threshold:g} % of the loss in {small} of "
    return f"{text}{plural(len(ends), 'training')}. It ends at values {extremes(ends, ' %')}."


def _ends(name: str) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for end in ENDS)


def _percent_curves(upper: Axes, lower: Axes, training: Training, term: str, look: Look, main: bool) -> None:
    data = training.of_term(term)
    steps, hollow = data["step"].values, data["trivial"].values
    curve(upper, steps, [data[name].values for name in _ends("percent_equiv")], look, hollow, main)
    learned = [data[name].values for name in _ends("learned_fraction")]
    after = steps > 0
    lower.fill_between(steps[after], learned[1][after], learned[2][after], color=look.colour, alpha=0.16, linewidth=0)
    width = 1.5 if main else 0.8
    lower.plot(steps[after], learned[0][after], color=look.colour, linestyle=look.line, linewidth=width)
    points(lower, steps, learned[0], look, ~hollow, hollow, main)


def _percent_handles(threshold: float, words: str) -> list:
    """The threshold, hollow points, and the band."""
    line = Line2D([], [], color=style.BLACK, linestyle=style.DASHED, linewidth=1, label=f"{threshold:g} %")
    hollow = {"marker": "o", "linestyle": "none", "markerfacecolor": "white"}
    return [line, Line2D([], [], color=style.GREY, label=words, **hollow), style.band()]


def reflections(trainings: Sequence[Training], term: str) -> Figure | None:
    """Percentage of the loss that is equivariance error, over SO(3) and over O(3); None if O(3) was not measured."""
    chosen = [t for t in with_term(trainings, term) if "o3_percent_equiv" in t.twirl]
    if not chosen:
        return None
    groups, steps = by_run(chosen), steps_of(chosen)
    table = twirl_numbers(chosen, term, [n for name in GROUPS for n in _ends(name)] + ["o3_reflection_error"])
    seen = np.where(floored(chosen, term)[:, None], np.nan, table.data[list(GROUPS)].to_numpy())

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, (run, seeds) in zip(style.panels(canvas, len(groups), columns), groups.items(), strict=True):
            for training in reversed(seeds):
                data = training.of_term(term)
                for name, look in GROUPS.items():
                    ends, hollow = [data[n].values for n in _ends(name)], data["trivial"].values
                    with of_seed(panel.ax, training.seed):
                        curve(panel.ax, data["step"].values, ends, look, hollow, main=training is seeds[0])
            style.log_axis(panel.ax, seen, panel.y("equivariance error\n[% of held-out loss]"))
            style.step_axis(panel.ax, steps, panel.x("training step"))
            panel.ax.set_title(run)
        style.legend(canvas, [*style.handles(GROUPS.values()), style.band()])

    wide, narrow = style.canvases(draw, len(groups), 2.6)
    caption = (
        f"Share of the held-out loss ({term_words(term)}) that is equivariance error, over rotations, and over "
        "rotations and reflections. Training turns samples and never reflects them."
    )
    alone, both = ({t.label: float(t.last(term)[name]) for t in chosen} for name in GROUPS)
    larger = sum(both[name] > alone[name] for name in both)
    text = (
        f"With reflections the equivariance error is larger in {larger} of {plural(len(both), 'training')} at the end. "
    )
    text += f"Rotations: {extremes(alone, ' %')}; with reflections: {extremes(both, ' %')}."
    title = f"Rotations and reflections: {term_words(term)}"
    return Figure(f"reflections_{term}", wide, narrow, title, caption, text, table, tab=term_words(term))


# tables


def element_table(trainings: Sequence[Training]) -> Table | None:
    """The elements of all trainings at the last checkpoint; None where no task has elements."""
    table = element_numbers(trainings)
    caption = (
        "Forces at the last checkpoint by element of the atom: its share of the total loss, its share of the "
        "equivariance error, and the equivariance error of its atoms as a share of their own loss."
    )
    return None if table is None else Table("elements", caption, table)


def reflection_table(trainings: Sequence[Training]) -> Table | None:
    """The last checkpoint over SO(3) and over O(3); None if O(3) was not measured."""
    table = reflection_numbers(trainings)
    caption = (
        "The last checkpoint over rotations alone, SO(3), and with reflections, O(3), with 95 % intervals. Training "
        "turns samples and never reflects them. Last column: the share of the error over O(3) that is the distance "
        "between the twirled predictions of the two halves of O(3); the rest is the error within each half."
    )
    if table is None:
        return None
    return Table("reflections", caption, table, with_intervals(table, ["rotations", "reflections"]))


def leading_figure(trainings: Sequence[Training], threshold: float) -> Figure | None:
    """The percentage of the main terms over training, with the other terms as tabs; None without trainings."""
    terms = (PRIMARY, *other_terms(trainings)) if trainings else ()
    return next(iter(tabbed([percent(trainings, term, threshold) for term in terms])), None)


def section(trainings: Sequence[Training], every: Sequence[Training]) -> Section:
    """Reflections of `trainings` over training as a figure; elements and reflections of `every` training as tables."""
    terms = [t for t in distinct_terms(trainings) if t != "weighted"]
    figures = tabbed([reflections(trainings, term) for term in terms])
    tables = {"Elements": element_table(every), "Reflections": reflection_table(every)}
    return Section(SYMMETRY, "percent", "Elements and reflections", figures=figures, tables=present_tables(tables))

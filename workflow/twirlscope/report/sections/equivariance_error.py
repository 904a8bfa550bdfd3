"""Section on the equivariance error: percent over training, elements that carry it, reflections beside rotations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..._typing import Sequence
from ..figures import style
from ..figures.curves import ENDS, band_handle, curve, floored, look_of, run_handles, seeds_note, steps_of, twirl_table
from ..figures.figure import Chart, Figure
from ..section import Section
from ..tables import Table, interval, present_tables, with_intervals
from ..trainings import Training, by_run, distinct_terms, with_term
from ..wording import EDGE, column, floor_note, labels_note, say, words

SYMBOLS = (  # by atomic number, from 1
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv "
    "Ts Og"
)

KINDS = {  # colour, line, marker, words
    "percent_equiv": (style.RUNS[0], "-", "o", "rotations alone, SO(3)"),
    "o3_percent_equiv": (style.RUNS[1], "--", "s", "rotations and reflections, O(3)"),
}

LEARNED_LEAST = -0.5  # the learned fraction is drawn down to here


def attribution_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training and element at the last checkpoint; None where the task has no elements."""
    rows = [row for training in trainings if "element_loss_equiv" in training.twirl for row in _rows(training)]
    if not rows:
        return None
    caption = (
        "The force term at the last checkpoint by element of the atom: its share of the total loss, its share of the "
        "equivariance error, and the equivariance error of its atoms as a share of their own loss."
    )
    return Table("elements", caption, pd.DataFrame(rows))


def _rows(training: Training) -> list[dict]:
    """The shares of the elements of one training; they add up to 100 %."""
    last = training.twirl.isel(step=-1)
    total, equiv = last["element_loss_total"], last["element_loss_equiv"]
    return [
        {
            "run": training.run,
            "seed": training.seed,
            "element": SYMBOLS.split()[int(z) - 1],
            "share of the total loss [%]": 100 * float(total.sel(element=z) / total.sum()),
            "share of the equivariance error [%]": 100 * float(equiv.sel(element=z) / equiv.sum()),
            "equivariance error [%]": 100 * float(equiv.sel(element=z) / total.sel(element=z)),
        }
        for z in last["element"].values
    ]


def reflection_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training and term at the last checkpoint; None where reflections were not measured."""
    rows = [
        _reflection_row(training, str(term))
        for training in trainings
        if "o3_loss_equiv" in training.twirl
        for term in training.twirl["term"].values
    ]
    if not rows:
        return None
    caption = (
        "The last checkpoint over rotations alone, SO(3), and with reflections, O(3), with 95 % intervals. Samples are "
        "turned, never reflected, in training; what reflections add to the equivariance error is the distance between "
        "the twirled predictions of both halves of O(3), on top of the error within each."
    )
    frame = pd.DataFrame(rows)
    return Table(
        "reflections", caption, frame, with_intervals(frame, [f"equivariance error, {g}" for g in ("SO(3)", "O(3)")])
    )


def _reflection_row(training: Training, term: str) -> dict:
    last = training.twirl.sel(term=term).isel(step=-1)
    whole, apart = float(last["o3_loss_equiv"]), float(last["o3_reflection_error"])
    return {
        "run": training.run,
        "seed": training.seed,
        "term": term,
        **interval(last, "percent_equiv", "equivariance error, SO(3)"),
        **interval(last, "o3_percent_equiv", "equivariance error, O(3)"),
        "between the halves of O(3) [% of it]": 100 * apart / whole if whole > 0 else None,
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


def percent(trainings: Sequence[Training], term: str, threshold: float) -> Figure:
    """Percent of the loss that is equivariance error, all trainings, above the fraction that has been learned."""
    chosen = with_term(trainings, term)
    groups = by_run(chosen)
    table = twirl_table(
        chosen, term, [f"{n}{e}" for n in ("percent_equiv", "learned_fraction") for e in ENDS] + ["trivial"]
    )
    seen = table[column("percent_equiv")].where(~floored(chosen, term))
    below = {float(t.twirl.attrs["trivial_below"]) for t in chosen if "trivial_below" in t.twirl.attrs}
    steps = steps_of(chosen)

    def draw(canvas: Canvas, columns: int) -> None:
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        for i, seeds in enumerate(groups.values()):
            for training in reversed(seeds):
                _percent_curves(upper, lower, training, term, look_of(i), training is seeds[0])
        upper.axhline(threshold, color=style.BLACK, linestyle=(0, (2, 2)), linewidth=1)
        for value in below:
            lower.axhline(value, color=style.GREY, linestyle=":", linewidth=1)
        style.log_axis(upper, [*seen, threshold], "equivariance error\n[% of held-out loss]")
        style.step_axis(upper, steps, "")
        style.step_axis(lower, steps)
        lower.set_ylim(max(np.nanmin([*table[column("learned_fraction")], 0.0]), LEARNED_LEAST) - 0.07, 1.05)
        lower.set_ylabel("learned\nfraction")
        canvas.align_ylabels()
        style.legend(canvas, [*run_handles(groups), *_percent_handles(threshold)])

    wide, narrow = style.canvases(draw, 1, 4.6)
    caption = (
        f"Share of the held-out loss ({words(term)}) that is equivariance error (above), and the learned fraction, "
        "1 less total loss over loss of predicting zero (below; dotted line: what counts as nothing learned). Hollow "
        "points are trivial: nothing is learned there yet, and a small percent means nothing. Bands: 95 % intervals."
    ) + seeds_note(groups)
    caption += floor_note(chosen, term, EDGE) + labels_note(chosen)
    if (table[column("learned_fraction")] < LEARNED_LEAST).any():
        caption += f" Learned fractions below {LEARNED_LEAST:g} are not drawn; they are in the table."
    text = f"Percent of the held-out loss of {words(term)} that is equivariance error, over training steps. "
    text += " ".join(f"{t.label}: {_percent_text(t, term)}" for t in chosen)
    title = f"Percent equivariance error: {words(term)}"
    return Figure(f"percent_{term}", wide, narrow, title, caption, text, table, _percent_chart(threshold))


def _percent_chart(threshold: float) -> Chart:
    series = {"equivariance error": tuple(column(f"percent_equiv{end}") for end in ENDS)}
    return Chart(column("step"), series, "equivariance error [% of held-out loss]", rule=threshold)


def _percent_curves(upper: Axes, lower: Axes, training: Training, term: str, look: tuple, main: bool) -> None:
    data = training.twirl.sel(term=term)
    steps, hollow = data["step"].values, data["trivial"].values
    curve(upper, steps, *(data[f"percent_equiv{e}"].values for e in ENDS), look, hollow, main)
    learned = [data[f"learned_fraction{e}"].values for e in ENDS]
    after = steps > 0
    lower.fill_between(steps[after], learned[1][after], learned[2][after], color=look[0], alpha=0.16, linewidth=0)
    lower.plot(steps[after], learned[0][after], color=look[0], linestyle=look[1], linewidth=1.5 if main else 0.8)
    for mask, face in ((~hollow, look[0]), (hollow, "white")):
        marks = {"marker": look[2], "markersize": 4 if main else 2.6, "markerfacecolor": face}
        lower.plot(steps[mask], learned[0][mask], color=look[0], linestyle="none", **marks)


def _percent_handles(threshold: float) -> list:
    line = Line2D([], [], color=style.BLACK, linestyle=(0, (2, 2)), linewidth=1, label=f"{threshold:g} %")
    hollow = {"marker": "o", "linestyle": "none", "markerfacecolor": "white"}
    return [line, Line2D([], [], color=style.GREY, label="trivial: nothing learned", **hollow), band_handle()]


def _percent_text(training: Training, term: str) -> str:
    data = training.twirl.sel(term=term)
    points = zip(data["step"].values, data["percent_equiv"].values, data["trivial"].values, strict=True)
    each = [f"{say(p)} % at step {s}" + (" (trivial)" if t else "") for s, p, t in points]
    if len(each) > 8:
        each = [each[i] for i in np.unique(np.linspace(0, len(each) - 1, 8).round().astype(int))]
    return f"{', '.join(each)}; learned fraction {say(float(data['learned_fraction'][-1]))} at the end."


def section(trainings: Sequence[Training], every: Sequence[Training], threshold: float) -> Section:
    """The section."""
    terms = distinct_terms(trainings)
    shown = [percent(trainings, term, threshold) for term in terms]
    shown += [f for t in terms if t != "weighted" and (f := reflections(trainings, t))]
    tables = {"Elements": attribution_table(every), "Reflections": reflection_table(every)}
    return Section("percent", "Equivariance error", figures=shown, tables=present_tables(tables))

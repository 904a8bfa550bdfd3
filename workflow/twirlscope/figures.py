"""The figures of twirling: pure functions from datasets to `Figure`s."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import style
from .charts import Chart
from .hints import Array, Bool, Sequence
from .style import Figure
from .trainings import EDGE, Training, at_floor, by_run, column, floor_note, labels_note, say, with_term, words

ENDS = ("", "_low", "_high")
LEARNED_LEAST = -0.5  # the learned fraction is drawn down to here
MARKED = 40  # a line of more checkpoints than this gets fewer markers


def twirl_table(trainings: Sequence[Training], term: str, names: Sequence[str]) -> pd.DataFrame:
    """Run, seed, term, step and the variables named, one row a checkpoint."""
    parts = []
    for training in with_term(trainings, term):
        data = training.twirl.sel(term=term)
        first = {"run": training.run, "seed": training.seed, "term": term, column("step"): data["step"].values}
        values = {column(n): np.broadcast_to(data[n].values, data["step"].shape) for n in names if n in data}
        parts.append(pd.DataFrame(first | values))
    return pd.concat(parts, ignore_index=True)


def steps_of(trainings: Sequence[Training]) -> Array:
    """Every step at which a checkpoint was measured."""
    return np.unique(np.concatenate([t.twirl["step"].values for t in trainings]))


def curve(ax: Axes, steps: Array, value: Array, low: Array, high: Array, look: tuple, hollow=None, main: bool = True):
    """A line with its band and markers; step 0, left of the break, is not joined. Nothing is drawn where value <= 0."""
    colour, line, marker = look[:3]
    shown = np.where(value > 0, value, np.nan)
    hollow = np.zeros(len(steps), bool) if hollow is None else hollow
    every = 1 if len(steps) <= MARKED else len(steps) // MARKED + 1
    seen = np.arange(len(steps)) % every == 0
    for part in (steps > 0, steps == 0):
        ax.fill_between(steps[part], np.maximum(low, 1e-30)[part], high[part], color=colour, alpha=0.16, linewidth=0)
    ax.plot(steps[steps > 0], shown[steps > 0], color=colour, linestyle=line, linewidth=1.5 if main else 0.8)
    if (steps == 0).any():
        ends = [low[steps == 0], high[steps == 0]]
        ax.vlines(steps[steps == 0], np.maximum(ends[0], 1e-30), ends[1], color=colour, alpha=0.4, linewidth=2.5)
    for mask, face in ((seen & ~hollow, colour), (hollow, "white")):
        size = 4 if main else 2.6
        ax.plot(steps[mask], shown[mask], marker, color=colour, markerfacecolor=face, markersize=size, linestyle="none")


def losses(trainings: Sequence[Training], term: str) -> Figure:
    """Total loss and its two parts over steps, one panel a run, with the loss of predicting zero."""
    chosen = with_term(trainings, term)
    groups, steps = by_run(chosen), steps_of(chosen)
    table = twirl_table(
        trainings, term, [f"loss_{p}{e}" for p in style.PARTS for e in ENDS] + ["loss_zero", "loss_equiv_floor"]
    )
    drawn = table[[column(f"loss_{p}") for p in style.PARTS] + [column("loss_zero")]].to_numpy()
    seen = np.where(floored(chosen, term)[:, None] & (np.arange(4) == list(style.PARTS).index("equiv")), np.nan, drawn)

    def draw(canvas: Canvas, columns: int) -> None:
        axes = style.grid(canvas, len(groups), columns)
        for i, (ax, run, seeds) in enumerate(zip(axes, groups, groups.values(), strict=True)):
            for training in reversed(seeds):
                data = training.twirl.sel(term=term)
                for part, look in style.PARTS.items():
                    values = [data[f"loss_{part}{end}"].values for end in ENDS]
                    curve(ax, data["step"].values, *values, look, main=training is seeds[0])
            ax.axhline(float(data["loss_zero"]), color=style.GREY, linestyle=":", linewidth=1.2)
            style.log_axis(ax, seen, "held-out loss" if i % columns == 0 else "")
            style.step_axis(ax, steps, "training step" if i >= len(groups) - columns else "")
            ax.set_title(run)
        style.legend(canvas, _losses_handles())

    wide, narrow = style.canvases(draw, len(groups), 2.6)
    caption = (
        f"Held-out loss ({words(term)}) over training, split exactly into the twirled prediction error and "
        "the equivariance error; mean squared error in units of the loss. Bands: 95 % intervals, bootstrap by sample. "
        "Step 0 stands left of the break."
    )
    caption += seeds_note(groups) + floor_note(chosen, term, EDGE) + labels_note(chosen)
    if hidden := int((drawn[:, :3] <= 0).sum()):
        caption += f" {hidden} estimates at or below zero do not fit a logarithmic axis; they are in the table."
    text = f"Held-out loss of {words(term)} over training steps. " + " ".join(
        f"{t.label}: {_losses_text(t, term)}" for t in chosen
    )
    title = f"The two parts of the loss: {words(term)}"
    return Figure(f"losses_{term}", wide, narrow, title, caption, text, table, _losses_chart())


def _losses_handles() -> list:
    looks = style.PARTS.values()
    handles = [Line2D([], [], color=c, linestyle=ls, marker=m, label=text) for c, ls, m, text in looks]
    zero = Line2D([], [], color=style.GREY, linestyle=":", linewidth=1.2, label="loss of predicting zero")
    return [*handles, zero, _band_handle()]


def _losses_chart() -> Chart:
    series = {look[3]: tuple(column(f"loss_{part}{end}") for end in ENDS) for part, look in style.PARTS.items()}
    return Chart(column("step"), series, "held-out loss")


def _losses_text(training: Training, term: str) -> str:
    data = training.twirl.sel(term=term)
    first, last = data.isel(step=0), data.isel(step=-1)
    parts = (
        f"{look[3]} from {say(float(first[f'loss_{p}']))} to {say(float(last[f'loss_{p}']))}"
        for p, look in style.PARTS.items()
    )
    at = f"from step {int(first['step'])} to step {int(last['step'])}"
    return f"{at}, {', '.join(parts)}; predicting zero costs {say(float(data['loss_zero']))}."


def _band_handle() -> Patch:
    return Patch(facecolor=style.GREY, alpha=0.3, linewidth=0, label="95 % interval")


def seeds_note(groups: dict[str, list[Training]]) -> str:
    """What thin lines mean, if there are any."""
    return " Thin lines: further seeds of the same run." if any(len(s) > 1 for s in groups.values()) else ""


def look_of(index: int) -> tuple:
    """Colour, line and marker of run number `index`."""
    return tuple(kinds[index % len(kinds)] for kinds in (style.RUNS, style.LINES, style.MARKERS))


def floored(trainings: Sequence[Training], term: str) -> Bool[Array, " row"]:
    """Which rows of `twirl_table` are at the floor, as long as others are not: axes need not reach there."""
    found = np.concatenate([at_floor(t, term) for t in trainings])
    return found & ~found.all()


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


def run_handles(groups: dict[str, list[Training]]) -> list[Line2D]:
    """Entries of a legend, one a run."""
    looks = [look_of(i) for i in range(len(groups))]
    return [
        Line2D([], [], color=c, linestyle=ls, marker=m, label=r) for (c, ls, m), r in zip(looks, groups, strict=True)
    ]


def _percent_handles(threshold: float) -> list:
    line = Line2D([], [], color=style.BLACK, linestyle=(0, (2, 2)), linewidth=1, label=f"{threshold:g} %")
    hollow = {"marker": "o", "linestyle": "none", "markerfacecolor": "white"}
    return [line, Line2D([], [], color=style.GREY, label="trivial: nothing learned", **hollow), _band_handle()]


def _percent_text(training: Training, term: str) -> str:
    data = training.twirl.sel(term=term)
    points = zip(data["step"].values, data["percent_equiv"].values, data["trivial"].values, strict=True)
    each = [f"{say(p)} % at step {s}" + (" (trivial)" if t else "") for s, p, t in points]
    if len(each) > 8:
        each = [each[i] for i in np.unique(np.linspace(0, len(each) - 1, 8).round().astype(int))]
    return f"{', '.join(each)}; learned fraction {say(float(data['learned_fraction'][-1]))} at the end."

"""Section on the test sets: RMSE and MAE by test set, beside published values."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Array, Float, Mapping, Sequence
from ...estimators import bootstrap, loss_split
from ..figures import style
from ..figures.figure import Figure
from ..section import Section
from ..tables import Table, present_tables, with_intervals
from ..trainings import Training
from ..wording import labels_note, say

ERROR = "force RMSE [meV/Å]"
PERCENT, LOW, HIGH = (f"equivariance error, forces{end} [%]" for end in ("", ", from", ", to"))
PANELS = {"force RMSE\n[meV/Å]": ERROR, "equivariance error\n[% of the force loss]": PERCENT}
MEV = 1e3  # in an eV
PUBLISHED = Path(__file__).with_suffix(".csv")
PROXY = "_proxy"  # end of the name of a benchmark whose test files are not the official ones
SOURCE = "Batatia et al., MACE, arXiv:2206.07697, tables 1 to 3"
HERE = "test sets here"
DRAWS = 1000


def errors_by_set(frame: pd.DataFrame, labels: str) -> Figure | None:
    """Force error and percent by test set, a mark a training; None where no test set has forces.

    Args:
        frame: what `quoted.quoted` gives, of all trainings.
        labels: what the targets are, for the caption.
    """
    frame = frame[np.isfinite(frame[ERROR])]
    if frame.empty:
        return None
    sets, runs = (list(dict.fromkeys(frame[name])) for name in ("test set", "run"))
    look = {run: (style.RUNS[i % 7], style.MARKERS[i % 8]) for i, run in enumerate(runs)}

    def draw(canvas: Canvas, columns: int) -> None:
        axes = canvas.subplots(math.ceil(2 / columns), columns, squeeze=False).ravel()
        for ax, (label, head) in zip(axes, PANELS.items(), strict=True):
            _panel(ax, frame, head, sets, look)
            ax.set_ylabel(label)
        style.legend(canvas, [Line2D([], [], color=c, marker=m, linestyle="", label=r) for r, (c, m) in look.items()])

    wide, narrow = style.canvases(draw, 2, 2.9)
    caption = (
        "The last checkpoint on every test set: root mean square error of a force component, and the share of the "
        "squared error of the forces that is equivariance error, with 95 % intervals by frame. A mark a seed. Read "
        "both panels: a network that predicts next to no force has next to no equivariance error."
    )
    said = zip(*(frame[h] for h in ("run", "seed", "test set", ERROR, PERCENT)), strict=True)
    text = "Errors by test set. " + " ".join(
        f"{run}, seed {seed}, {name}: {say(error)} meV/Å, {say(percent)} %." for run, seed, name, error, percent in said
    )
    return Figure("errors_by_set", wide, narrow, "In and out of distribution", caption + labels, text, frame)


def _panel(ax: Axes, frame: pd.DataFrame, head: str, sets: list[str], look: Mapping[str, tuple[str, str]]) -> None:
    """One quantity by test set; with an interval where it has one."""
    for i, (run, (colour, marker)) in enumerate(look.items()):
        rows = frame[frame["run"] == run]
        place = np.array([sets.index(s) for s in rows["test set"]]) + 0.3 * ((i + 0.5) / len(look) - 0.5)
        value, low, high = (rows[h].to_numpy() for h in (head, LOW, HIGH))
        bars = [np.maximum(value - low, 0), np.maximum(high - value, 0)] if head == PERCENT else None
        ax.errorbar(place, value, yerr=bars, fmt=marker, color=colour, elinewidth=0.9, capsize=2)
    ax.set_ylim(bottom=0)
    ax.set_xticks(range(len(sets)), sets, rotation=20, ha="right")


def quoted(training: Training, data: xr.Dataset) -> pd.DataFrame:
    """One row a test set at the last checkpoint: errors in meV and meV/Å, and the equivariance error of both terms.

    Energies are of whole molecules where the unit is meV. Errors of forces are those of a component, pooled over all
    atoms of a set. All are means over random orientations; `twirled` is the error that the twirled prediction has.

    Args:
        training: of a force field: terms `energy` (of an atom) and `forces`.
        data: its prepared dataset, for the number of atoms of each frame.
    """
    twirl = training.twirl
    rows = []
    for number, name in enumerate(twirl["test_set"].values):
        mine = np.flatnonzero(twirl["set_number"].values == number)
        rows.append(_row(training, str(name), twirl.isel(set_sample=mine), data))
    return pd.DataFrame(rows)


def _row(training: Training, name: str, found: xr.Dataset, data: xr.Dataset) -> dict:
    """The errors on one test set."""
    atoms = data["atoms"].values[found["set_index"].values].astype(float)
    unit = {term: MEV * training.twirl.attrs[f"scale_{term}"] for term in ("energy", "forces")}
    energy, forces = found.sel(term="energy"), found.sel(term="forces")
    one = np.ones_like(atoms)
    return {
        "run": training.run,
        "seed": training.seed,
        "test set": name,
        "frames [1]": len(atoms),
        "energy RMSE [meV]": unit["energy"] * _root_mean(energy["set_loss_total"].values * atoms**2, one),
        "energy MAE [meV]": unit["energy"] * _mean(energy["set_absolute"].values * atoms, one),
        "energy RMSE [meV/atom]": unit["energy"] * _root_mean(energy["set_loss_total"].values, one),
        "force RMSE [meV/Å]": unit["forces"] * _root_mean(forces["set_loss_total"].values, atoms),
        "force MAE [meV/Å]": unit["forces"] * _mean(forces["set_absolute"].values, atoms),
        "force RMSE, twirled [meV/Å]": unit["forces"] * _root_mean(forces["set_loss_mean"].values, atoms),
        **_percent(forces, "forces"),
        **_percent(energy, "energy"),
    }


def _mean(values: Float[Array, " sample"], weights: Float[Array, " sample"]) -> float:
    """Weighted mean of the values that there are; NaN for none."""
    known = np.isfinite(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")


def _root_mean(values: Float[Array, " sample"], weights: Float[Array, " sample"]) -> float:
    """Root of the weighted mean; an unbiased mean of squares may be negative by noise: 0 then."""
    return float(np.sqrt(np.maximum(_mean(values, weights), 0)))


def _percent(found: xr.Dataset, words: str) -> dict[str, float]:
    """Percent of the loss that is equivariance error, with its 95 % interval by frame."""
    total, equiv = (v[np.isfinite(v)] for v in (found[f"set_loss_{n}"].values for n in ("total", "equiv")))
    heads = [f"equivariance error, {words}{end} [%]" for end in ("", ", from", ", to")]
    if len(total) < 2:
        return dict.fromkeys(heads, float("nan"))
    value = float(loss_split.percent(total.mean(), equiv.mean()))
    draws = [bootstrap.resampled_means(v, DRAWS, 0) for v in (total, equiv)]
    return dict(zip(heads, (value, *map(float, bootstrap.interval(loss_split.percent(*draws)))), strict=True))


def quoted_frame(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> pd.DataFrame | None:
    """Errors of all force fields by test set; None where there is no force field."""
    found = [quoted(t, data[t.dataset]) for t in trainings if _is_force_field(t) and t.dataset in data]
    return pd.concat(found, ignore_index=True) if found else None


def quoted_table(frame: pd.DataFrame) -> Table:
    """What `quoted_frame` gives, for the page."""
    caption = (
        "The last checkpoint on every test set, as force fields are quoted: energies of whole molecules (less what the "
        "composition explains, which is the same for prediction and target), forces by component over all atoms. Means "
        "over random orientations of every frame; the twirled prediction is the mean over all of them. With 95 % "
        "intervals by frame."
    )
    return Table(
        "test_sets",
        caption,
        frame,
        with_intervals(frame, [f"equivariance error, {term}" for term in ("forces", "energy")]),
    )


def _is_force_field(training: Training) -> bool:
    return "set_index" in training.twirl and {"energy", "forces"} <= set(training.twirl["term"].values.tolist())


@lru_cache
def published() -> pd.DataFrame:
    """Root mean square errors that others have published: energy of a molecule [meV], forces by component [meV/Å].

    All models are equivariant by construction. Source: `SOURCE`.
    """
    return pd.read_csv(PUBLISHED)


def published_table(data: Mapping[str, xr.Dataset]) -> Table | None:
    """What is published on the benchmarks that the datasets are said to be; None where they are none.

    It says of each whether test sets here are the official files or a proxy, cut from other frames.
    """
    names = {str(d.attrs.get("benchmark", "")) for d in data.values()}
    kinds = {"official": names, "proxy": {n.removesuffix(PROXY) for n in names if n.endswith(PROXY)}}
    found = [published()[published()["benchmark"].isin(n)].assign(**{HERE: kind}) for kind, n in kinds.items()]
    rows = pd.concat(found, ignore_index=True)
    if rows.empty:
        return None
    heads = {"energy_rmse": "energy RMSE [meV]", "force_rmse": "force RMSE [meV/Å]"}
    caption = (
        f"Published, not measured here: {SOURCE}. All of these networks are equivariant by construction. Where test "
        "sets here are a proxy, of fewer and other frames than the official files, both estimate the same errors, but "
        "the numbers are not to be compared digit by digit; where a dataset holds still other frames, not at all."
    )
    return Table("published", caption, rows.rename(columns=heads).assign(source=SOURCE))


def section(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> Section:
    """The section."""
    errors = quoted_frame(trainings, data)
    if errors is None:
        return Section("sets", "Test sets")
    figure = errors_by_set(errors, labels_note(trainings))
    tables = {"Errors by test set": quoted_table(errors), "Published errors": published_table(data)}
    return Section("sets", "Test sets", figures=[figure] if figure else [], tables=present_tables(tables))

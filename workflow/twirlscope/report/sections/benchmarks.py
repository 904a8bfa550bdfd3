"""Errors of force fields on every test set, beside published errors.

Question: what are RMSE and MAE in and out of distribution, and what have others published?
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ..._typing import Array, Float, Mapping, Sequence
from ...estimators import bootstrap, loss_split
from ..figures import style
from ..figures.curves import run_looks
from ..figures.figure import Figure
from ..numbers import ENDS, Column, Numbers, numbers, percentage
from ..questions import QUALITY
from ..section import Section
from ..tables import Table, present_tables, with_intervals
from ..trainings import Training, by_run
from ..wording import extremes, plural

MEV = 1e3  # in an eV
PUBLISHED = Path(__file__).with_suffix(".csv")
PROXY = "_proxy"  # end of the name of a benchmark whose test files are not the official ones
SOURCE = "Batatia et al., MACE, arXiv:2206.07697, tables 1 to 3"
RESAMPLES = 1000

ERRORS = (
    Column("test_set", "test set"),
    Column("frames", "frames", "1"),
    Column("energy_rmse", "energy RMSE", "meV"),
    Column("energy_mae", "energy MAE", "meV"),
    Column("energy_rmse_per_atom", "energy RMSE", "meV/atom"),
    Column("force_rmse", "force RMSE by atom", "meV/Å"),
    Column("force_rmse_low", "force RMSE by atom, from", "meV/Å"),
    Column("force_rmse_high", "force RMSE by atom, to", "meV/Å"),
    Column("force_mae", "force MAE by atom", "meV/Å"),
    Column("force_rmse_twirled", "force RMSE by atom, twirled", "meV/Å"),
    *percentage("percent_forces", "equivariance error, forces"),
    *percentage("percent_energy", "equivariance error, energy"),
)
PUBLISHED_ERRORS = (
    Column("energy_rmse", "energy RMSE", "meV"),
    Column("force_rmse", "force RMSE by atom", "meV/Å"),
    Column("here", "test sets here"),
)
PANELS = {  # column of a figure -> label
    "force_rmse": "force RMSE by atom\n[meV/Å]",
    "percent_forces": "equivariance error\n[% of the force loss]",
}
UNITS = (" meV/Å", " %")


# numbers


def errors(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> Numbers | None:
    """Errors of all force fields by test set at the last checkpoint; None without any force field.

    Errors of energies are of whole molecules in the columns with the unit meV. Errors of forces are of a component,
    pooled over all atoms of a set. All are means over random orientations; `force_rmse_twirled` is the error of the
    twirled prediction.

    Args:
        data: the prepared datasets by name, for the number of atoms of each frame.
    """
    found = [errors_of(t, data[t.dataset]) for t in trainings if _is_force_field(t) and t.dataset in data]
    return numbers(pd.concat(found, ignore_index=True), ERRORS) if found else None


def _is_force_field(training: Training) -> bool:
    return "set_index" in training.twirl and {"energy", "forces"} <= set(training.twirl["term"].values.tolist())


def errors_of(training: Training, data: xr.Dataset) -> pd.DataFrame:
    """Errors of one force field, with terms `energy` (per atom) and `forces`, one row per test set."""
    twirl = training.twirl
    rows = []
    for number, name in enumerate(twirl["test_set"].values):
        mine = np.flatnonzero(twirl["set_number"].values == number)
        rows.append(_row(training, str(name), twirl.isel(set_sample=mine), data))
    return pd.DataFrame(rows)


def _row(training: Training, name: str, samples: xr.Dataset, data: xr.Dataset) -> dict:
    """The errors on one test set."""
    atoms = data["atoms"].values[samples["set_index"].values].astype(float)
    unit = {term: MEV * training.twirl.attrs[f"scale_{term}"] for term in ("energy", "forces")}
    energy, forces = samples.sel(term="energy"), samples.sel(term="forces")
    one = np.ones_like(atoms)
    return {
        "run": training.run,
        "seed": training.seed,
        "test_set": name,
        "frames": len(atoms),
        "energy_rmse": unit["energy"] * _root_mean(energy["set_loss_total"].values * atoms**2, one),
        "energy_mae": unit["energy"] * _mean(energy["set_absolute"].values * atoms, one),
        "energy_rmse_per_atom": unit["energy"] * _root_mean(energy["set_loss_total"].values, one),
        **_force_rmse(forces, atoms, unit["forces"]),
        "force_mae": unit["forces"] * _mean(forces["set_absolute"].values, atoms),
        "force_rmse_twirled": unit["forces"] * _root_mean(forces["set_loss_mean"].values, atoms),
        **_percent(forces, "percent_forces"),
        **_percent(energy, "percent_energy"),
    }


def _mean(values: Float[Array, " sample"], weights: Float[Array, " sample"]) -> float:
    """Weighted mean of the finite values; NaN for none."""
    known = np.isfinite(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")


def _root_mean(values: Float[Array, " sample"], weights: Float[Array, " sample"]) -> float:
    """Root of the weighted mean. An unbiased mean of squares may be negative by noise: its root is 0."""
    return float(np.sqrt(np.maximum(_mean(values, weights), 0)))


def _force_rmse(samples: xr.Dataset, atoms: Float[Array, " sample"], unit: float) -> dict[str, float]:
    """Root mean square force error over all atoms, with its 95 % interval over clusters of frames."""
    known = np.isfinite(samples["set_loss_total"].values)
    total, cluster = (samples[f"set_{name}"].values[known] for name in ("loss_total", "cluster"))
    ends = bootstrap.interval(total * atoms[known], atoms[known], RESAMPLES, 0, cluster)
    squares = np.array([_mean(total, atoms[known]), *ends])
    return {f"force_rmse{end}": float(v) for end, v in zip(ENDS, unit * np.sqrt(np.maximum(squares, 0)), strict=True)}


def _percent(samples: xr.Dataset, name: str) -> dict[str, float]:
    """Percentage of the loss that is equivariance error, with its 95 % interval over clusters of frames."""
    known = np.isfinite(samples["set_loss_total"].values)
    total, equiv, cluster = (samples[f"set_{n}"].values[known] for n in ("loss_total", "loss_equiv", "cluster"))
    value = loss_split.percent(*(_mean(v, np.ones_like(v)) for v in (total, equiv)))
    ends = loss_split.percent_interval(total, equiv, RESAMPLES, 0, cluster)
    return {f"{name}{end}": float(v) for end, v in zip(ENDS, (value, *ends), strict=True)}


@lru_cache
def published() -> pd.DataFrame:
    """Published root mean square errors: energy of a molecule [meV], forces by component [meV/Å].

    All models are equivariant by construction. Source: `SOURCE`.
    """
    return pd.read_csv(PUBLISHED)


def published_numbers(data: Mapping[str, xr.Dataset]) -> Numbers | None:
    """Published errors on the benchmarks of the datasets; None if no dataset is of a benchmark.

    Column `here`: whether the test sets here are the official files, or a proxy cut from other frames.
    """
    names = {str(d.attrs.get("benchmark", "")) for d in data.values()}
    kinds = {"official": names, "proxy": {n.removesuffix(PROXY) for n in names if n.endswith(PROXY)}}
    found = [published()[published()["benchmark"].isin(n)].assign(here=kind) for kind, n in kinds.items()]
    rows = pd.concat(found, ignore_index=True)
    return None if rows.empty else numbers(rows.assign(source=SOURCE), PUBLISHED_ERRORS)


# figures


def single_set(found: Numbers) -> str:
    """The errors on the only test set in a sentence, and what would add another one."""
    rows = found.data
    names = [f"{row.run}, seed {row.seed}" for row in rows.itertuples()]
    error = extremes(dict(zip(names, rows["force_rmse"], strict=True)), " meV/Å")
    return (
        f"Force RMSE by atom is {error} on the only test set, {rows['test_set'].iloc[0]}. Further sets (key test_files "
        "of a dataset of XYZ files) would be drawn side by side."
    )


def errors_by_set(found: Numbers, trainings: Sequence[Training]) -> Figure | None:
    """Force error and percentage by test set, one mark per training; None if no test set has forces.

    Args:
        found: the result of `errors`.
        trainings: whose looks the figure has.
    """
    rows = found.data[np.isfinite(found.data["force_rmse"])]
    if rows.empty:
        return None
    sets, runs = (list(dict.fromkeys(rows[name])) for name in ("test_set", "run"))
    looks = {run: look._replace(line="") for run, look in run_looks(by_run(trainings)).items() if run in runs}

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(PANELS), columns, sharex=False, sharey=False)
        for panel, (name, label) in zip(panels, PANELS.items(), strict=True):
            _panel(panel.ax, rows, name, sets, looks)
            panel.ax.set_ylabel(label)
        style.legend(canvas, style.handles(looks.values()))

    wide, narrow = style.canvases(draw, len(PANELS), 2.9)
    caption = (
        "Last checkpoint on every test set: root mean square error of a force component over all atoms, and the share "
        "of the squared error that is equivariance error. Read both: a network that predicts almost no force has "
        "almost no equivariance error."
    )
    names = [f"{row.run}, seed {row.seed}, {row.test_set}" for row in rows.itertuples()]
    error, share = (
        extremes(dict(zip(names, rows[name], strict=True)), u) for name, u in zip(PANELS, UNITS, strict=True)
    )
    text = f"Force errors of the networks on {plural(len(sets), 'test set')} are {error}. Equivariance errors: {share}."
    title = "In and out of distribution"
    return Figure("errors_by_set", wide, narrow, title, caption, text, Numbers(rows, found.columns))


def _panel(ax: Axes, rows: pd.DataFrame, name: str, sets: list[str], looks: Mapping[str, style.Look]) -> None:
    """One quantity by test set, with its interval."""
    for i, (run, look) in enumerate(looks.items()):
        mine = rows[rows["run"] == run]
        place = np.array([sets.index(s) for s in mine["test_set"]]) + 0.3 * ((i + 0.5) / len(looks) - 0.5)
        value, low, high = (mine[f"{name}{end}"].to_numpy() for end in ENDS)
        bars = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
        ax.errorbar(place, value, yerr=bars, fmt=look.marker, color=look.colour, elinewidth=0.9, capsize=2)
    ax.set_ylim(bottom=0)
    ax.set_xticks(range(len(sets)), sets, rotation=20, ha="right")
    ax.set_xlim(-0.5, len(sets) - 0.5)


# tables


def error_table(found: Numbers) -> Table:
    """The errors of all force fields by test set."""
    caption = (
        "Errors of the last checkpoint on every test set, as force fields are usually reported: energies of whole "
        "molecules (less the part that the composition explains, which is the same for prediction and target), and "
        "forces by component over all atoms, so that large frames count more than in the loss and in errors "
        "by sample. Means over random orientations of every frame; the twirled prediction is the mean over all "
        "orientations. In percentages every frame counts the same. With 95 % intervals over clusters of frames (such "
        "as molecules)."
    )
    return Table("test_sets", caption, found, with_intervals(found, ["force_rmse", "percent_forces", "percent_energy"]))


def published_table(data: Mapping[str, xr.Dataset]) -> Table | None:
    """Published errors on the benchmarks of the datasets; None if no dataset is of a benchmark."""
    found = published_numbers(data)
    caption = (
        f"Published, not measured here: {SOURCE}. All of these networks are equivariant by construction. Test sets "
        "here that are a proxy hold fewer and other frames than the official files: both estimate the same errors, but "
        "not digit by digit. Errors on datasets with still other frames cannot be compared."
    )
    return None if found is None else Table("published", caption, found)


def section(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> Section:
    """Errors by test set as figure and table, and the published errors; empty without any force field."""
    found = errors(trainings, data)
    if found is None:
        return Section(QUALITY, "sets", "Test sets")
    figure, alone = errors_by_set(found, trainings), found.data["test_set"].nunique() == 1
    tables = present_tables({"Errors by test set": error_table(found), "Published errors": published_table(data)})
    told = [single_set(found)] if alone else []
    return Section(QUALITY, "sets", "Test sets", told, [figure] if figure and not alone else [], tables, open_figures=1)

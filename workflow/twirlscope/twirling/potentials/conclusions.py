"""Numbers that are stated of an external potential: errors beside their floors, and percentages where there are any."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..._typing import Array, Bool, Sequence, Values
from ...estimators import loss_split
from ...settings.twirl import TwirlSettings
from ..heldout import ENDS
from .floors import FACTOR, Floors, largest
from .task import PotentialTask

BOTH = ("step", "term")
DOUBLE = 1e-24  # of the mean square prediction: what sums in double precision leave of it
OF_LOSS = ("loss_total", "loss_mean", "percent_equiv", "learned_fraction")  # meaningless without labels


def conclude(
    data: xr.Dataset, task: PotentialTask, floors: Sequence[Floors], settings: TwirlSettings, subtracted: bool
) -> xr.Dataset:
    """The dataset with floors, predicted signal and percentages; a percentage is NaN where an error is at its floor.

    Args:
        subtracted: whether the variance of the noise has been subtracted.
    """
    stored = ("floor_noise", "floor_noise_error", "floor_rounding", "floor_spacing")
    found = {name: (BOTH, np.stack(parts)) for name, parts in zip(stored, zip(*floors, strict=True), strict=True)}
    found["loss_equiv_floor"] = (BOTH, np.stack([largest(f, subtracted) for f in floors]))
    data = data.assign(found)
    data = _with_signal(data, settings)
    floor = np.maximum(FACTOR * data["loss_equiv_floor"].values, DOUBLE * data["signal"].values)
    at_floor = data["loss_equiv"].values <= floor
    data["at_floor"] = (BOTH, at_floor)
    data = _blanked(data, ["percent_equiv", "percent_of_signal"], at_floor)
    if "o3_loss_equiv" in data:
        data["o3_at_floor"] = (BOTH, data["o3_loss_equiv"].values <= floor)
        data = _blanked(data, ["o3_percent_equiv"], data["o3_at_floor"].values)
    if not task.labelled["forces"]:
        data = data.drop_vars("element_loss_total")
    labels = _labelled(task)
    if not labels.all():
        shape = np.broadcast_to(~labels, at_floor.shape)
        data = _blanked(data, [*OF_LOSS, *(f"o3_{n}" for n in OF_LOSS)], shape)
        data["trivial"] = (BOTH, data["trivial"].values & labels)
    data.attrs["labelled"] = " ".join(t.name for t in task.terms if task.labelled[t.name])
    data.attrs["noise_subtracted"] = int(subtracted)
    return data


def _labelled(task: PotentialTask) -> Bool[Array, " term"]:
    """True for terms with labels; `weighted` has them if all terms with a weight do."""
    each = [task.labelled[t.name] for t in task.terms]
    return np.array([*each, all(task.labelled[t.name] for t in task.terms if t.weight)])


def _with_signal(data: xr.Dataset, settings: TwirlSettings) -> xr.Dataset:
    """The dataset with the mean square of the prediction, and the equivariance error in percent of it."""
    signal, equiv = data["sample_signal"].values, data["sample_loss_equiv"].values
    drawn = (settings.resamples, settings.seed, data["cluster"].values)
    ends = loss_split.percent_interval(signal, equiv, *drawn)
    value = loss_split.percent(signal.mean(-1), equiv.mean(-1))
    found = {f"percent_of_signal{e}": (BOTH, v) for e, v in zip(ENDS, (value, *ends), strict=True)}
    return data.assign(found | {"signal": (BOTH, signal.mean(-1))})


def _blanked(data: xr.Dataset, names: Sequence[str], where: Bool[Array, "step term"]) -> xr.Dataset:
    """The dataset with these values, and the ends of their intervals, NaN where told."""
    every = [f"{name}{end}" for name in names for end in ENDS]
    return data.assign({n: (BOTH, np.where(where, np.nan, data[n].values)) for n in every if n in data})


def rms(data: xr.Dataset, name: str, term: str) -> Values:
    """Root of a loss of a term, in its unit: meV/Å for forces, meV/atom for energies, meV/Å^3 for stresses."""
    scale = 1e3 * float(data.attrs.get(f"scale_{term}", 1.0))
    with np.errstate(invalid="ignore"):
        return scale * np.sqrt(np.maximum(data[name].sel(term=term).values, 0))

"""Numbers for other tools: the last checkpoints as JSON, and the pooled numbers of all trainings as a DataTree."""

from __future__ import annotations

import json
import math
from typing import Any

import xarray as xr

from .._typing import Sequence
from ..storage.arrays.summary import SUMMARY
from ..storage.registry import VARIABLES
from .trainings import Training, terms_of

QUANTITIES = ("loss_total", "loss_mean", "loss_equiv", "percent_equiv", "learned_fraction")
OF_TERMS = ("unit_", "scale_", "weight_", "loss_", "irreps_")  # attributes on the terms of a loss
FORMAT = 1  # of the file; incremented when readers of the old format would fail


def exported(trainings: Sequence[Training]) -> str:
    """One record per training, term and quantity: value with interval, unit, samples, rotations, and floor.

    The floor is the equivariance error that rounding and turning make: a value as small is rounding error.
    """
    records = [
        _record(training, term, name) for training in trainings for term in terms_of([training]) for name in QUANTITIES
    ]
    return json.dumps({"format": FORMAT, "records": records}, indent=1, allow_nan=False) + "\n"


def _record(training: Training, term: str, name: str) -> dict[str, Any]:
    data = training.last(term)
    return {
        "run": training.run,
        "seed": training.seed,
        "step": int(data["step"]),
        "term": term,
        "quantity": name,
        "value": _finite(data[name]),
        "low": _finite(data.get(f"{name}_low")),
        "high": _finite(data.get(f"{name}_high")),
        "unit": VARIABLES[name].unit,
        "n": _whole(training.twirl.attrs.get("samples")),
        "rotations": _whole(training.twirl.attrs.get("rotations")),
        "floor": _floor(data, name),
        "trivial": bool(data["trivial"]),
    }


def _floor(data: xr.Dataset, name: str) -> float | None:
    """The floor in the unit of the quantity; None for other quantities, and if it was not measured."""
    if "loss_equiv_floor" not in data or name not in ("loss_equiv", "percent_equiv"):
        return None
    floor = float(data["loss_equiv_floor"])
    return _finite(100 * floor / float(data["loss_total"]) if name == "percent_equiv" else floor)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(float(value)) else None


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def summary(trainings: Sequence[Training]) -> xr.DataTree:
    """The pooled numbers of all trainings, without numbers by sample: a group for each task and one for potentials."""
    groups: dict[str, list[Training]] = {}
    for training in trainings:
        task = training.spec["task"]["name"] if training.train is not None else "potentials"
        groups.setdefault(f"/{task}", []).append(training)
    return xr.DataTree.from_dict({name: _side_by_side(members) for name, members in groups.items()})


def _side_by_side(trainings: Sequence[Training]) -> xr.Dataset:
    """The pooled numbers of trainings along a dimension `training`; NaN where one has no such number."""
    parts = [_pooled(training) for training in trainings]
    found = xr.concat(
        parts, "training", data_vars="all", coords="minimal", join="outer", combine_attrs="drop_conflicts"
    )
    names = {"run": ("training", [t.run for t in trainings]), "seed": ("training", [t.seed for t in trainings])}
    return found.assign_coords(names)


def _pooled(training: Training) -> xr.Dataset:
    """The pooled numbers of a training, as floating-point numbers."""
    names = [n for n in training.twirl.data_vars if n in SUMMARY]
    data = training.twirl[names].drop_vars("sample", errors="ignore").astype(float)
    data.attrs = {k: v for k, v in data.attrs.items() if k.startswith(OF_TERMS)}
    return data

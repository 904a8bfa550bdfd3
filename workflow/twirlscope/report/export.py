"""Numbers for other tools: the last checkpoints as JSON, and the pooled numbers of all checkpoints as a DataTree."""

from __future__ import annotations

import json
import math
from typing import Any

import xarray as xr

from .._typing import Sequence
from ..storage.arrays.twirl import TWIRL
from ..storage.registry import VARIABLES
from .trainings import Training, terms_of
from .wording import slug

QUANTITIES = ("loss_total", "loss_mean", "loss_equiv", "percent_equiv", "learned_fraction")
FORMAT = 1  # of the file; incremented when readers of the old format would fail
# dimensions of the pooled numbers
POOLED = {"step", "term", "degree", "irrep", "merit", "element", "rotation_set", "convex"}
POOLED |= {"activation", "activation_degree"}


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
    """The pooled numbers of all trainings: one group `/{run}/seed{seed}` each, without per-sample numbers."""
    groups = {}
    for training in trainings:
        pooled = [n for n in training.twirl.data_vars if n in TWIRL and set(TWIRL[n].dims) <= POOLED]
        data = training.twirl[pooled].drop_vars("sample", errors="ignore")
        groups[f"/{slug(training.run)}/seed{training.seed}"] = data
    return xr.DataTree.from_dict(groups)

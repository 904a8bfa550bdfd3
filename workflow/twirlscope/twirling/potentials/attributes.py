"""Attributes of the measurement of an external potential."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from ...external.calls import Calls
from ...settings.twirl import TwirlSettings
from .task import PotentialTask

WORDS = ("scale", "unit", "loss", "weight", "irreps")
MOLECULES = "molecules turn about their mean position, cells turn with the positions; "
MOLECULES += "a reflection turns positions by -R and the lattice by +R"


def attributes(task: PotentialTask, settings: TwirlSettings, data: xr.Dataset, calls: Calls) -> dict[str, Any]:
    """Settings, terms, number of samples, calculator and versions of its packages.

    Args:
        data: the measurement.
        calls: of the last checkpoint.
    """
    terms = {f"{word}_{t.name}": getattr(t, word) for t in task.terms for word in WORDS}
    return {
        "group": task.group,
        "rotations": settings.rotations,
        "reflections": settings.reflections,
        "samples": data.sizes["sample"],
        "clusters": len(np.unique(data["cluster"].values)),
        "split": settings.split,
        "resamples": settings.resamples,
        "trivial_below": settings.trivial_below,
        "precision": "that of the calculator; sums in float64",
        "settings": json.dumps(settings.model_dump()),
        "external": calls.backend.spec.calculator,
        "versions": json.dumps(calls.versions),
        "calls": calls.budget.planned,
        "orientation": MOLECULES,
        "energy_reference": "total energies less the element offsets, fitted to the twirled predictions",
        **terms,
    }

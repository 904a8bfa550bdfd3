"""Frames of a harmonic well in four splits, and their losses on the held-out splits."""

from __future__ import annotations

import numpy as np
import toys
import xarray as xr

from twirlscope.contracts import Evaluation, Model
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.tasks.force_field import ForceField
from twirlscope.twirling.other_splits import measure_test_sets

BIAS = (0.3, 0.0, 0.4)  # of a model, fixed in the lab
SETTINGS = TwirlSettings(rotations=2, resamples=100)


def frames() -> xr.Dataset:
    """60 frames in the splits `train`, `test`, `far` and `scan`; those of `scan` have energies only."""
    found = toys.frames(60)
    split = np.repeat([0, 1, 2, 3], 15).astype(np.int8)
    meanings = {"flag_values": [0, 1, 2, 3], "flag_meanings": "train test far scan"}
    forces = found["forces"].values.copy()
    forces[np.repeat(split == 3, found["atoms"].values)] = np.nan
    found["forces"] = (("atom", "xyz"), forces)
    scales = {"force_scale": ((), 2.0), "energy_scale": ((), 0.5)}
    return found.assign(split=("sample", split, meanings), **scales)


def measured(data: xr.Dataset, model: Model) -> tuple[ForceField, xr.Dataset]:
    """The force-field task on these frames, and the losses of a model on the held-out splits."""
    task = ForceField(ForceField.Settings(), data)
    return task, measure_test_sets(Evaluation(model, task), data, SETTINGS)

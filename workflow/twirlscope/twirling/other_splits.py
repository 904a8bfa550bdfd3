"""Per-sample losses of the last checkpoint on every held-out split, in and out of distribution.

They are stored per sample, so that any average (over samples, atoms or molecules) can be computed later. The losses are
means over random orientations. A network without built-in symmetry has another error in each orientation, and the
orientation of a molecule in its file is arbitrary.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from .._typing import Array, Int
from ..contracts import Evaluation
from ..estimators import loss_split
from ..settings.twirl import TwirlSettings
from ..sources import split_index
from .heldout import choose_samples, heldout_of
from .twisting import inner_products

NAMES = ("set_loss_total", "set_loss_mean", "set_loss_equiv", "set_absolute")


def measure_test_sets(evaluation: Evaluation, data: xr.Dataset, settings: TwirlSettings) -> xr.Dataset:
    """Per-sample losses on every split of the data except `train`; `settings.split` comes first."""
    splits = data["split"].attrs["flag_meanings"].split()
    terms = [*(t.name for t in evaluation.task.terms), "weighted"]
    names = [name for name in dict.fromkeys([settings.split, *splits]) if name != "train"]
    places = [choose_samples(split_index(data, name), settings) for name in names]
    found = [_losses(evaluation, index, settings) for index in places]
    return xr.Dataset(
        {name: (("term", "set_sample"), np.concatenate([f[name] for f in found], 1)) for name in found[0]}
        | {
            "set_samples": ("test_set", np.array([len(i) for i in places], np.int64)),
            "set_number": ("set_sample", np.repeat(np.arange(len(names)), [len(i) for i in places]).astype(np.int16)),
            "set_index": ("set_sample", np.concatenate(places).astype(np.int64)),
            "set_cluster": ("set_sample", data["cluster"].values[np.concatenate(places)]),
        },
        {
            "test_set": np.array(names, object),
            "term": np.array(terms, object),
        },
    )


def _losses(evaluation: Evaluation, index: Int[Array, " sample"], settings: TwirlSettings) -> dict[str, Array]:
    """Loss split of the squared error, and mean absolute component, by term and sample; NaN without a target."""
    task = evaluation.task
    turned = heldout_of(task, index, settings).quaternion[:, : settings.rotations]
    absolute = {"absolute": {t.name: "l1" for t in task.terms}}
    products = inner_products(evaluation, index, turned, losses=absolute)
    parts = loss_split.split(products["gram"], products["cross"], products["square"])
    values = dict(zip(NAMES, (*parts, products["convex"][0, 0]), strict=True))
    weight = np.array([t.weight for t in task.terms])[:, None]
    found = {}
    for name, each in values.items():
        each = np.where(products["known"], each, np.nan)
        found[name] = np.concatenate([each, (weight * each).sum(0, keepdims=True)])
    return found

"""Per-sample losses of the last checkpoint on every held-out split, in and out of distribution.

They are stored per sample, so that any average (over samples, atoms or molecules) can be computed later. The losses are
means over random orientations. A network without built-in symmetry has another error in each orientation, and the
orientation of a molecule in its file is arbitrary.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import xarray as xr

from .._typing import Array, Bool, Float, Int, Tensor
from ..contracts import Evaluation, Task
from ..estimators import loss_split
from ..settings.twirl import TwirlSettings
from ..sources import split_index
from .heldout import choose_samples, heldout_of
from .twisting import inner_products, square_of

NAMES = ("set_loss_total", "set_loss_mean", "set_loss_equiv", "set_absolute")


def test_sets(data: xr.Dataset, settings: TwirlSettings) -> dict[str, Int[Array, " sample"]]:
    """Measured samples of every split of the data except `train`, by its name; `settings.split` comes first."""
    splits = data["split"].attrs["flag_meanings"].split()
    names = [name for name in dict.fromkeys([settings.split, *splits]) if name in splits and name != "train"]
    return {name: choose_samples(split_index(data, name), settings) for name in names}


def measure_test_sets(
    evaluation: Evaluation,
    data: xr.Dataset,
    settings: TwirlSettings,
    failed: Collection[int] = (),
    centred: bool = False,
) -> xr.Dataset:
    """Per-sample losses on the samples of `test_sets`.

    Args:
        failed: samples that are left out.
        centred: see `inner_products`.
    """
    terms, chosen = [*(t.name for t in evaluation.task.terms), "weighted"], test_sets(data, settings)
    right = {name: ~np.isin(index, list(failed)) for name, index in chosen.items()}
    found = [_losses(evaluation, index, right[name], settings, centred) for name, index in chosen.items()]
    names, places = list(chosen), [index[right[name]] for name, index in chosen.items()]
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


def test_rotations(task: Task, index: Int[Array, " sample"], settings: TwirlSettings) -> Float[Tensor, "s r 4"]:
    """Rotations of the samples of a test set."""
    return heldout_of(task, index, settings).quaternion[:, : settings.rotations]


def _losses(
    evaluation: Evaluation,
    index: Int[Array, " sample"],
    right: Bool[Array, " sample"],
    settings: TwirlSettings,
    centred: bool,
) -> dict[str, Array]:
    """Loss split of the squared error, and mean absolute component, by term and sample; NaN without a target."""
    task = evaluation.task
    turned, index = test_rotations(task, index, settings)[right], index[right]
    absolute = {"absolute": {t.name: "l1" for t in task.terms}}
    products = inner_products(evaluation, index, turned, losses=absolute, centred=centred)
    parts = loss_split.split(products["gram"], products["cross"], square_of(products))
    values = dict(zip(NAMES, (*parts, products["convex"][0, 0]), strict=True))
    weight = np.array([t.weight for t in task.terms])[:, None]
    found = {}
    for name, each in values.items():
        each = np.where(products["known"], each, np.nan)
        found[name] = np.concatenate([each, (weight * each).sum(0, keepdims=True)])
    return found

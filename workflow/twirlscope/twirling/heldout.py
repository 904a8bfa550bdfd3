"""Losses on the held-out samples, from a few independent rotations of each: total, mean and equivariance error.

If the task allows reflections, a few rotoreflections per sample are added: SO(3) and O(3) are measured side by side and
never mixed. Losses other than the squared error are split by jackknife and stored under their own names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Float, Int, Sequence, Tensor
from ..contracts import Evaluation, Task
from ..estimators import bootstrap, loss_split
from ..estimators.bootstrap import Clusters
from ..geometry import rotation_sets
from ..settings.twirl import TwirlSettings
from .twisting import Losses, Products, inner_products, square_of, with_weighted

TRAINING = "training"  # name of the training loss, if it is not the squared error of every term
CHUNK = 256  # samples in memory at once when no model runs
SPLIT = ("loss_total", "loss_mean", "loss_equiv")
ENDS = ("", "_low", "_high")  # of the names of a value and of the ends of its interval

Variables = dict[str, tuple[tuple[str, ...], Array]]  # by name: dimensions and values


@dataclass(frozen=True)
class Heldout:
    """Held-out samples and their rotations, the same for every checkpoint and run (common random numbers).

    cluster: of each sample; samples of different clusters are independent.
    quaternion: uniform on the group of the task, first the rotations, then the rotoreflections.
    parity: 1 for a rotation, -1 for a rotoreflection.
    losses: losses that are split besides the squared error.
    """

    index: Int[Array, " sample"]
    cluster: Int[Array, " sample"]
    quaternion: Float[Tensor, "sample rotation 4"]
    parity: Int[Array, " rotation"]
    losses: Losses


def heldout_of(task: Task, index: Int[Array, " sample"], settings: TwirlSettings, cluster: Clusters = None) -> Heldout:
    """These samples with their rotations, and with rotoreflections if the task allows them."""
    parity = [1] * settings.rotations + [-1] * (settings.reflections if task.reflections else 0)
    generators = [torch.Generator().manual_seed(settings.seed + k) for k in (0, 2)]  # 1 is the seed of the panel
    kinds = [
        rotation_sets.uniform(task.group, len(index), parity.count(p), generator=g)
        for p, g in zip((1, -1), generators, strict=True)
    ]
    cluster = np.arange(len(index)) if cluster is None else cluster
    return Heldout(index, cluster, torch.cat(kinds, 1), np.array(parity, np.int8), losses_of(task, settings))


def measure_heldout(evaluation: Evaluation, held: Heldout, centred: bool = False) -> Products:
    """Inner products of all samples, `weighted` included, and losses by label and by jackknife."""
    labels = evaluation.task.attribution is not None
    products = inner_products(
        evaluation, held.index, held.quaternion, labels=labels, parity=held.parity, losses=held.losses, centred=centred
    )
    return with_weighted(evaluation.task, products)


def losses_of(task: Task, settings: TwirlSettings) -> Losses:
    """Losses besides the squared error: those of the settings, each for all terms, and the training loss."""
    chosen = {kind: {t.name: kind for t in task.terms} for kind in settings.losses}
    trained = {t.name: t.loss for t in task.terms}
    squared = set(trained.values()) == {"mse"}
    return chosen if squared or trained in chosen.values() else chosen | {TRAINING: trained}


def heldout_dataset(task: Task, steps: Sequence[int], held: Heldout, measured: Sequence[Products]) -> xr.Dataset:
    """Dataset of the inner products of all checkpoints."""
    terms = [t.name for t in task.terms] + ["weighted"]
    found: Variables = {
        "gram": (("step", "term", "sample", "rotation", "rotation_other"), np.stack([m["gram"] for m in measured])),
        "cross": (("step", "term", "sample", "rotation"), np.stack([m["cross"] for m in measured])),
        "square": (("term", "sample"), measured[0]["square"]),
        "quaternion": (("sample", "rotation", "wxyz"), held.quaternion.numpy()),
        "parity": (("rotation",), held.parity),
        "cluster": (("sample",), held.cluster.astype(np.int32)),
    }
    for name, stored in {"centred_square": "centred_square", "signal": "sample_signal"}.items():
        if name in measured[0]:
            found[stored] = (("step", "term", "sample"), np.stack([m[name] for m in measured]))
    coordinates = {"step": np.array(steps), "term": np.array(terms, object), "sample": held.index.astype(np.int64)}
    if task.covariate is not None:
        found["sample_covariate"] = (("sample",), _covariates(task, held.index))
    if "label" in measured[0]:
        parts = np.stack([m["label"] for m in measured], 1)
        names = ("element_loss_total", "element_loss_equiv")
        found |= {n: (("step", "element"), part) for n, part in zip(names, parts, strict=True)}
        coordinates["element"] = np.array(task.attribution[2], np.int64)
    if held.losses:
        values, dims = np.stack([m["convex"] for m in measured]), ("step", "convex", "term", "sample")
        found |= {f"sample_convex_{n}": (dims, values[:, :, i]) for i, n in enumerate(SPLIT)}
        found["sample_convex_loss_zero"] = (dims[1:], values[0, :, 3])
        coordinates["convex"] = np.array(list(held.losses), object)
    return xr.Dataset(found, coordinates)


def _covariates(task: Task, index: Int[Array, " sample"]) -> Float[Array, " sample"]:
    """Covariate of each sample, such as its time on the path of a flow."""
    name = task.covariate[0]
    pieces = np.array_split(index, -(-len(index) // CHUNK))
    return np.concatenate([task.batch(piece).inputs[name].double().reshape(len(piece)).numpy() for piece in pieces])


def summarise(products: xr.Dataset, settings: TwirlSettings) -> xr.Dataset:
    """The dataset with the losses added, per sample and as means over samples with 95 % intervals."""
    gram, cross, target = (products[n].values for n in ("gram", "cross", "square"))
    square = square_of({n: products[n].values for n in ("square", "centred_square") if n in products})
    rotations = np.flatnonzero(products["parity"].values == 1)
    parts = loss_split.split(gram[..., rotations[:, None], rotations], cross[..., rotations], square)
    zero, clusters = np.broadcast_to(target, parts.total.shape), products["cluster"].values
    found: Variables = {f"sample_{n}": (("step", "term", "sample"), v) for n, v in zip(SPLIT, parts, strict=True)}
    values = {**dict(zip(SPLIT, parts, strict=True)), "loss_zero": zero}
    found |= _pooled(values, clusters, ("step", "term"), settings)
    found["loss_zero"] = (("term",), target.mean(-1))
    learned = found["learned_fraction"][1] >= settings.trivial_below  # also False if the loss is not finite
    found["trivial"] = (("step", "term"), ~learned)
    if len(rotations) < products.sizes["rotation"]:
        reflected = loss_split.split_reflected(gram, cross, square, products["parity"].values == 1)
        values = {**dict(zip(SPLIT, reflected.o3, strict=True)), "reflection_error": reflected.reflection}
        found |= _pooled(values, clusters, ("step", "term"), settings, "o3_")
    if "sample_convex_loss_total" in products:
        values = {n: products[f"sample_convex_{n}"].values for n in SPLIT}
        zero = np.broadcast_to(products["sample_convex_loss_zero"].values, values["loss_total"].shape)
        found |= _pooled(values | {"loss_zero": zero}, clusters, ("step", "convex", "term"), settings, "convex_")
        found["convex_loss_zero"] = (("convex", "term"), zero[0].mean(-1))
    return products.assign(found)


def _pooled(
    values: dict[str, Array],
    cluster: Int[Array, " sample"],
    dims: tuple[str, ...],
    settings: TwirlSettings,
    prefix: str = "",
) -> Variables:
    """Means over samples and ratios of means, each with the ends of its 95 % interval from resampled clusters."""
    means, drawn = {k: v.mean(-1) for k, v in values.items()}, (settings.resamples, settings.seed, cluster)
    total, equiv, zero = (values.get(k) for k in ("loss_total", "loss_equiv", "loss_zero"))
    found = {k: (v, *bootstrap.interval(values[k], None, *drawn)) for k, v in means.items() if k != "loss_zero"}
    percent = loss_split.percent(means["loss_total"], means["loss_equiv"])
    found["percent_equiv"] = (percent, *loss_split.percent_interval(total, equiv, *drawn))
    if zero is not None:
        low, high = bootstrap.interval(total, zero, *drawn)
        with np.errstate(divide="ignore", invalid="ignore"):  # terms without labels
            found["learned_fraction"] = (1 - means["loss_total"] / means["loss_zero"], 1 - high, 1 - low)
    return {
        f"{prefix}{name}{end}": (dims, part)
        for name, parts in found.items()
        for end, part in zip(ENDS, parts, strict=True)
    }


def choose_samples(index: Int[Array, " sample"], settings: TwirlSettings) -> Int[Array, " some"]:
    """Random subset of a split, of the size in the settings, ascending; the whole split if it is smaller."""
    if not 0 < settings.samples < len(index):
        return index
    return np.sort(np.random.default_rng(settings.seed).choice(index, settings.samples, replace=False))

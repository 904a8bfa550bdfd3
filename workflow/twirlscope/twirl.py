"""Stage `twirl`: every checkpoint measured on the held-out split, with the same samples and rotations.

Stored are the Gram matrices of twisted predictions, from which every number follows without running a model again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from . import action, estimators, so3, store
from .checkpoints import Trained
from .contracts import Batch, Task, split_index
from .errors import UserError
from .hints import Array, Callable, Float, Int, Tensor
from .losses import inner
from .provenance import Progress, device_of, hardware
from .settings.twirl import TwirlSettings

STATISTICS = {  # what is reported with an interval, from the means over samples
    "loss_total": lambda m: m["total"],
    "loss_mean": lambda m: m["mean"],
    "loss_equiv": lambda m: m["equiv"],
    "percent_equiv": lambda m: estimators.percent(m["total"], m["equiv"]),
    "learned_fraction": lambda m: 1 - m["total"] / m["zero"],
}
Products = dict[str, Array]  # gram [sample, K, K], cross [sample, K], square [sample], each stacked over terms in front


def twirl(train: Path, data: Path, out: Path, settings: TwirlSettings) -> None:
    """Measure all checkpoints of a run and write `twirl.zarr.zip`.

    Raises:
        UserError: a checkpoint is missing or damaged, or the data have no such split.
    """
    run = Trained(train, data)
    index = _samples(store.load(data), settings)
    quaternion, device = rotations(len(index), settings), device_of(settings.device)
    progress = Progress("twirl", len(run.steps), "checkpoint")
    measured, floors = [], []
    for step in run.steps:
        model = run.model(step).to(device)
        products = inner_products(model, run.task, index, quaternion, settings.chunk, device)
        measured.append(with_weighted(run.task, products))
        floors.append(_floor(run, step, index, quaternion, settings, device))
        progress.advance(f"step {step}")
    progress.close()
    result = _dataset(run.task, run.steps, index, quaternion, measured).assign(
        loss_equiv_floor=(("step", "term"), np.stack(floors))
    )
    about = _attributes(run.task, settings, len(index), device) | {"labels": run.labels}
    store.save(summarise(result, settings).assign_attrs(about), out)


def measure(model: Callable, task: Task, index: Int[Array, " sample"], settings: TwirlSettings | None = None):
    """The split of the loss of any model, for a notebook: an xarray Dataset with the variables of the stage.

    Args:
        model: maps `Batch.inputs` to a prediction by term, in evaluation mode.
        task: gives the samples with these indices and says how they turn.

    Example: `measure(model, task, split_index(data, "test"))["percent_equiv"]`
    """
    settings = settings or TwirlSettings()
    quaternion = rotations(len(index), settings)
    products = inner_products(model, task, index, quaternion, settings.chunk, device_of(settings.device))
    return summarise(_dataset(task, [0], index, quaternion, [with_weighted(task, products)]), settings).isel(step=0)


def rotations(samples: int, settings: TwirlSettings) -> Float[Tensor, "sample rotation 4"]:
    """The Haar rotations of every sample: the same for every checkpoint and run (common random numbers)."""
    generator = torch.Generator().manual_seed(settings.seed)
    return so3.haar(samples, settings.rotations, generator=generator)


def twisted(model: Callable, task: Task, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> dict[str, Tensor]:
    """Twisted predictions z(g) = rho(g)^-1 f(g x) of each sample under its rotation, by term."""
    response = model(task.rotate(batch, rotation).inputs)
    return {t.name: action.twist(t.irreps, rotation.to(response[t.name]), response[t.name]) for t in task.terms}


@torch.no_grad()
def inner_products(
    model: Callable,
    task: Task,
    index: Int[Array, " sample"],
    quaternion: Float[Tensor, "sample rotation 4"],
    chunk: int = 256,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Products:
    """Gram matrix of the twisted predictions, their products with the target, and its square, by term.

    Rotations are stacked into the batch; the memory of the network depends on `chunk` alone, not on the number of
    samples or rotations.

    Args:
        model: maps inputs to predictions, as `contracts.Model` does.
        chunk: rotated samples in memory at once.
    """
    K = quaternion.shape[1]
    size = max(chunk // K, 1)
    pieces = []
    for start in range(0, len(index), size):
        part = slice(start, start + size)
        batch = task.batch(index[part]).to(device, dtype)
        z = _rows(model, task, batch.repeat(K), so3.matrix(quaternion[part].reshape(-1, 4)).to(device, dtype), chunk)
        pieces.append([_products(z[t.name], batch, t.name, K) for t in task.terms])
    names = ("gram", "cross", "square")
    return {
        name: np.stack([np.concatenate([p[t][i] for p in pieces]) for t in range(len(task.terms))])
        for i, name in enumerate(names)
    }


def _rows(model: Callable, task: Task, batch: Batch, rotation: Tensor, chunk: int) -> dict[str, Tensor]:
    """Twisted predictions of a batch whose rows have a rotation each, `chunk` rows at a time."""
    slices = [slice(s, s + chunk) for s in range(0, len(batch), chunk)]
    found = [twisted(model, task, batch.map(lambda t, s=s: t[s]), rotation[s]) for s in slices]
    return {t.name: torch.cat([z[t.name] for z in found]) for t in task.terms}


def _products(z: Tensor, batch: Batch, term: str, K: int) -> tuple[Array, Array, Array]:
    """Inner products of one chunk and term, summed in float64."""
    target, weights = batch.targets[term].double(), batch.weights[term].double()
    z = z.double().reshape(len(target), K, *target.shape[1:])
    root = weights.sqrt()[..., None] / target.shape[-1] ** 0.5  # so that plain dot products are the inner products
    flat = (z * root[:, None]).flatten(2)
    y = (target * root).flatten(1)
    gram = flat @ flat.transpose(1, 2)
    cross = (flat @ y[..., None]).squeeze(-1)
    return gram.cpu().numpy(), cross.cpu().numpy(), inner(target, target, weights).cpu().numpy()


def with_weighted(task: Task, products: Products) -> Products:
    """The products with one more term, `weighted`: the split is linear in them, so it is that of the weighted loss."""
    weight = np.array([t.weight for t in task.terms])
    return {k: np.concatenate([v, np.tensordot(weight, v, 1)[None]]) for k, v in products.items()}


def _samples(data: xr.Dataset, settings: TwirlSettings) -> Int[Array, " sample"]:
    """The samples that are measured, ascending."""
    try:
        index = split_index(data, settings.split)
    except ValueError as error:
        raise UserError("twirl.split", "a split of the data", repr(settings.split)) from error
    if 0 < settings.samples < len(index):
        index = np.sort(np.random.default_rng(settings.seed).choice(index, settings.samples, replace=False))
    return index


def _floor(run: Trained, step: int, index, quaternion, settings: TwirlSettings, device: str) -> Float[Array, " term"]:
    """Equivariance error that rounding alone makes: the float32 error of z against float64, on a few samples."""
    few, task = slice(0, 16), run.task
    batch = task.batch(index[few])
    rotation = so3.matrix(quaternion[few, 0])
    with torch.no_grad():
        exact = twisted(run.model(step, torch.float64), task, batch.to("cpu", torch.float64), rotation)
        single = twisted(run.model(step).to(device), task, batch.to(device), rotation.to(device, torch.float32))
    weights = batch.to("cpu", torch.float64).weights
    error = {t.name: single[t.name].double().cpu() - exact[t.name] for t in task.terms}
    floors = [inner(error[t.name], error[t.name], weights[t.name]).mean().item() for t in task.terms]
    return np.array([*floors, np.dot([t.weight for t in task.terms], floors)])


def _dataset(task: Task, steps: list[int], index, quaternion, measured: list[Products]) -> xr.Dataset:
    """The products of all checkpoints as one dataset."""
    gram = np.stack([m["gram"] for m in measured])
    cross = np.stack([m["cross"] for m in measured])
    terms = [t.name for t in task.terms] + ["weighted"]
    return xr.Dataset(
        {
            "gram": (("step", "term", "sample", "rotation", "rotation_other"), gram),
            "cross": (("step", "term", "sample", "rotation"), cross),
            "square": (("term", "sample"), measured[0]["square"]),
            "quaternion": (("sample", "rotation", "wxyz"), quaternion.numpy()),
        },
        {"step": np.array(steps), "term": np.array(terms, object), "sample": index.astype(np.int64)},
    )


def summarise(products: xr.Dataset, settings: TwirlSettings) -> xr.Dataset:
    """The losses, a sample and pooled, with 95 % intervals: everything that follows from the Gram matrices."""
    parts = estimators.split(products["gram"].values, products["cross"].values, products["square"].values)
    values = parts._asdict() | {"zero": np.broadcast_to(products["square"].values, parts.total.shape)}
    pooled = {k: v.mean(-1) for k, v in values.items()}
    draws = {k: estimators.resampled_means(v, settings.draws, settings.seed) for k, v in values.items()}
    found = {f"sample_loss_{k}": (("step", "term", "sample"), v) for k, v in parts._asdict().items()}
    for name, statistic in STATISTICS.items():
        low, high = estimators.interval(statistic(draws))
        ends = ((name, statistic(pooled)), (f"{name}_low", low), (f"{name}_high", high))
        found |= {n: (("step", "term"), v) for n, v in ends}
    found["loss_zero"] = (("term",), products["square"].values.mean(-1))
    learned = found["learned_fraction"][1] >= settings.trivial_below  # False, too, where the loss is not finite
    found["trivial"] = (("step", "term"), ~learned)
    return products.assign(found)


def _attributes(task: Task, settings: TwirlSettings, samples: int, device: str) -> dict:
    """What a reader of the store needs to know beside the numbers."""
    words = ("scale", "unit", "loss", "weight")
    terms = {f"{word}_{t.name}": getattr(t, word) for t in task.terms for word in words}
    return {
        "rotations": settings.rotations,
        "samples": samples,
        "split": settings.split,
        "draws": settings.draws,
        "trivial_below": settings.trivial_below,
        "dtype": "float32",
        "device": hardware(device),
        "settings": json.dumps(settings.model_dump()),
        **terms,
    }

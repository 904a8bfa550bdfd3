"""Stage `gradient`: the gradients of both parts of the loss at every checkpoint, and what the optimiser spent on each.

The loss is the squared error, whatever the training loss. Samples and rotations are drawn once and are the same for
all checkpoints, so that differences are paired. Only inner products are kept.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from . import arithmetic, nearest, so3, store
from .checkpoints import Trained
from .contracts import Batch, Task, split_index
from .curvature import Objective, differentiable, rotations
from .errors import UserError
from .gradients import PARTS, Batches, with_errors
from .hints import Array, Float, Int, Sequence, Tensor
from .losses import mse
from .provenance import Progress, device_of
from .settings.gradient import GradientSettings
from .shares import Share
from .variables import VARIABLES

WHOLE = "whole"  # the layer that is all of them
PRODUCTS = {"mean_mean": (0, 0), "mean_equiv": (0, 1), "equiv_equiv": (1, 1)}


@arithmetic.float32()
def gradient(train: Path, data: Path, out: Path, settings: GradientSettings, share: Share | None = None) -> None:
    """Measure every checkpoint of a run, or the share of one job, and write `gradient.zarr.zip`.

    Gradients are those at the weights that a checkpoint keeps, which are the moving average where the run has one; the
    update is that of the weights which the optimiser itself turned, in the step that led to the checkpoint.

    Raises:
        UserError: a loss or gradient is not finite, a checkpoint is missing, or the data have no such split.
    """
    run = Trained(train, data)
    index = drawn(run.samples, settings)
    quaternion = rotations("independent", index.size, settings.rotations, settings.seed, run.task.group)
    quaternion = quaternion.reshape(*index.shape, settings.rotations, 4)
    device = "cuda" if device_of(settings.device) == "cuda" else "cpu"
    steps, found = (share or Share()).of(run.steps), []
    progress = Progress("gradient", len(steps), "checkpoint")
    for step in steps:
        found.append(_checkpoint(run, step, index, quaternion, settings, device))
        progress.advance(f"step {step}")
    progress.close()
    walks = _nearest(run, steps, index.ravel(), quaternion.flatten(0, 1), settings, device)
    result = joined(found, steps).assign(walks)
    about = {
        "samples": index.size,
        "batches": settings.batches,
        "rotations": settings.rotations,
        "split": settings.split,
        "weights": "moving average" if run.averaged else "as trained",
        **arithmetic.attributes(settings.dtype, device),
        "labels": run.labels,
        "settings": json.dumps(settings.model_dump()),
    }
    store.save(result.assign_attrs(about), out)


def _nearest(
    run: Trained,
    steps: Sequence[int],
    index: Int[Array, " sample"],
    quaternion: Float[Tensor, "sample rotation 4"],
    settings: GradientSettings,
    device: str,
) -> dict[str, tuple[str, Array]]:
    """The walks to more symmetric parameters, on the samples of all batches; nothing where none is asked for."""
    chosen = nearest.chosen(run.steps, settings.nearest)
    walks = {}
    for step in [s for s in steps if s in chosen]:
        model = run.model(step, getattr(torch, settings.dtype)).to(device)
        objective = Objective(model, run.task, run.task.batch(index), quaternion, settings.chunk, unbiased=True)
        walks[step] = nearest.walk(objective, settings.nearest_share, settings.nearest_steps)
        print(f"nearest: step {step}, {walks[step].left:.2g} of the error left", flush=True)
    none = nearest.Walk(np.nan, np.nan, np.nan)
    rows = np.array([[*vars(walks.get(step, none)).values()] for step in steps])
    names = ("nearest_distance", "nearest_loss_equiv", "nearest_left")
    return {name: ("step", column) for name, column in zip(names, rows.T, strict=True)} if chosen else {}


def joined(found: Sequence[xr.Dataset], steps: Sequence[int]) -> xr.Dataset:
    """The datasets of all checkpoints as one."""
    result = xr.concat(found, "step", data_vars="all").assign_coords(step=np.array(steps, np.int64))
    return result.assign(layer_parameters=result["layer_parameters"].isel(step=0))


def drawn(data: xr.Dataset, settings: GradientSettings) -> Int[Array, "batch sample"]:
    """The samples of every batch: each drawn from the whole split, so that batches are independent.

    Raises:
        UserError: no such split.
    """
    try:
        index = split_index(data, settings.split)
    except ValueError as error:
        raise UserError("gradient.split", "a split of the data", repr(settings.split)) from error
    return np.random.default_rng(settings.seed).choice(index, (settings.batches, settings.samples))


def layers_of(model: torch.nn.Module, depth: int) -> dict[str, Int[Array, " parameter"]]:
    """Layers, in the order of the model, and the places of their parameters in the vector of all trained ones.

    A layer is the path of the module that owns the parameter, cut after `depth` names; what the model owns itself is
    `model`. Frozen parameters are in no layer.
    """
    found: dict[str, list[Array]] = {}
    start = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            layer = ".".join(name.split(".")[:-1][:depth]) or "model"
            found.setdefault(layer, []).append(np.arange(start, start + parameter.numel()))
            start += parameter.numel()
    return {layer: np.concatenate(places) for layer, places in found.items()}


def flat_update(model: torch.nn.Module, update: dict[str, Tensor] | None) -> Float[Tensor, " n"] | None:
    """The update of the trained parameters as one vector, None where there was none (step 0)."""
    if update is None:
        return None
    return torch.cat([update[n].flatten() for n, p in model.named_parameters() if p.requires_grad])


def part_gradients(objective: Objective) -> tuple[Float[Tensor, "part n"], list[float]]:
    """Gradients of mean and equiv on the samples of an objective, and the two losses; a chunk in memory at a time."""
    parameters = objective.parameters
    total, values = parameters.new_zeros(2, len(parameters)), [0.0, 0.0]
    with differentiable():
        for chunk in objective.chunks:
            found = objective.losses(parameters, chunk)
            for i, part in enumerate(PARTS[:2]):
                values[i] += chunk.share * found[part].item()
                if found[part].requires_grad:
                    total[i] += chunk.share * _flat(found[part], [parameters], retain_graph=True)
    return total, values


def total_gradient(
    model: torch.nn.Module, task: Task, batch: Batch, quaternion: Float[Tensor, "sample rotation 4"], chunk: int
) -> Float[Tensor, " n"]:
    """Gradient of the mean squared error of the turned samples against the turned targets: no split, no twist."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = 0.0
    with differentiable():
        for start in range(0, len(batch), chunk):
            few = slice(start, start + chunk)
            rotation = so3.matrix(quaternion[few].reshape(-1, 4))
            part = batch.to("cpu", torch.float64).map(lambda t, few=few: t[few]).repeat(quaternion.shape[1])
            turned = task.rotate(part, rotation).to(parameters[0].device, parameters[0].dtype)
            out = model(turned.inputs)
            terms = [t.weight * mse(out[t.name], turned.targets[t.name], turned.weights[t.name]) for t in task.terms]
            total = total + _flat(sum(terms).sum(), parameters) / (len(batch) * quaternion.shape[1])
    return total


def _flat(loss: Tensor, parameters: Sequence[Tensor], **keys: bool) -> Float[Tensor, " n"]:
    """The gradient as one vector."""
    found = torch.autograd.grad(loss, parameters, materialize_grads=True, **keys)
    return torch.cat([g.flatten() for g in found])


def _checkpoint(
    run: Trained,
    step: int,
    index: Int[Array, "batch sample"],
    quaternion: Float[Tensor, "batch sample rotation 4"],
    settings: GradientSettings,
    device: str,
) -> xr.Dataset:
    """One checkpoint as a dataset."""
    model = run.model(step, getattr(torch, settings.dtype)).to(device)
    batches = [run.task.batch(i) for i in index]
    pieces = []
    for b, batch in enumerate(batches):
        pieces.append(part_gradients(Objective(model, run.task, batch, quaternion[b], settings.chunk, unbiased=True)))
        if not (pieces[-1][0].isfinite().all() and np.isfinite(pieces[-1][1]).all()):
            culprit = _culprit(model, run.task, index[b], quaternion[b])
            raise UserError(f"gradient, step {step}", "finite losses and gradients", culprit)
    rows = torch.stack([g for g, _ in pieces])
    total = total_gradient(model, run.task, batches[0], quaternion[0], settings.chunk)
    identity = ((total - rows[0].sum(0)).norm() / total.norm()).item()
    loss = np.array([values for _, values in pieces]).T
    update = flat_update(model, run.update(step))
    return dataset_of(rows, loss, update, layers_of(model, settings.layer_depth), settings.samples, identity)


def _culprit(
    model: torch.nn.Module, task: Task, index: Int[Array, " sample"], quaternion: Float[Tensor, "sample rotation 4"]
) -> str:
    """Which sample, in which rotation, gives what is not finite."""
    like = next(model.parameters())
    for sample, each in zip(index, quaternion, strict=True):
        one = task.batch(sample[None])
        for k, rotation in enumerate(so3.matrix(each)):
            turned = task.rotate(one.to("cpu", torch.float64), rotation[None]).to(like.device, like.dtype)
            out = model(turned.inputs)
            if not all(out[t.name].isfinite().all() for t in task.terms):
                return f"a prediction that is not, of sample {sample} in rotation {k}"
    return f"finite predictions with a gradient that is not, on samples {', '.join(map(str, index))}"


def dataset_of(
    rows: Float[Tensor, "batch part n"],
    loss: Float[Array, "part batch"],
    update: Float[Tensor, " n"] | None,
    layers: dict[str, Int[Array, " parameter"]],
    samples: int,
    identity: float,
) -> xr.Dataset:
    """What is stored of one checkpoint: inner products by layer, their sum as the layer `whole`, and statistics."""
    flat = rows.flatten(0, 1)
    change = torch.full_like(flat[0], torch.nan) if update is None else update.to(flat)
    products, squares = [], []
    for places in layers.values():
        here, step = flat[:, places].double(), change[places].double()
        products.append(torch.cat([here, step[None]]) @ here.T)
        squares.append((step @ step).item())
    each = torch.stack([sum(products), *products]).cpu().numpy()
    shape = (len(each), len(rows), 2)
    gram = each[:, :-1].reshape(*shape, *shape[1:]).transpose(0, 2, 4, 1, 3)
    along = each[:, -1].reshape(shape).transpose(0, 2, 1)
    arrays = with_errors(Batches(gram, loss, along, samples))
    arrays |= {
        "gradient_gram": np.stack([gram[:, p, q] for p, q in PRODUCTS.values()], 1),
        "update_product": along,
        "update_square": np.array([sum(squares), *squares]),
        "batch_loss": loss,
        "identity_error": np.float64(identity),
    }
    coordinates = {"layer": [WHOLE, *layers], "part": PARTS, "split_part": PARTS[:2], "product": list(PRODUCTS)}
    sizes = [len(places) for places in layers.values()]
    return xr.Dataset(
        {name: (VARIABLES[name].dims[1:], np.asarray(value)) for name, value in arrays.items()}
        | {"layer_parameters": ("layer", np.array([sum(sizes), *sizes], np.int64))},
        {name: np.array(values, object) for name, values in coordinates.items()},
    )

"""Gradients of both parts of the loss at one checkpoint: inner products by layer, among them and with the update.

Products with the update are those of the gradients halfway through it, at weights that are not averaged. Their sum over
layers is the change of the loss along the update, but for third derivatives (midpoint rule). A checkpoint with averaged
weights lies elsewhere, and gradients after the update lack its second derivatives.

The loss is the squared error, whatever the training loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Float, Int, Sequence, Tensor
from ..contracts import Batch, Evaluation, Task
from ..errors import UserError
from ..estimators.gradient_statistics import PARTS, Batches, with_errors
from ..geometry import so3
from ..losses import balanced, mse
from ..runtime.precision import differentiable
from ..runtime.progress import counted
from ..settings.gradient import GradientSettings
from ..storage.arrays.gradient import GRADIENT
from .objective import Objective

WHOLE = "whole"  # name of all layers together
PRODUCTS = {"mean_mean": (0, 0), "mean_equiv": (0, 1), "equiv_equiv": (1, 1)}


class Update(NamedTuple):
    """Optimiser step that led to a checkpoint: the change of each parameter, and the model halfway through it."""

    change: dict[str, Tensor]
    halfway: torch.nn.Module


class Along(NamedTuple):
    """Products of an update with the gradients of both parts on every batch, and its square, by layer."""

    product: Float[Array, "layer part batch"]
    square: Float[Array, " layer"]


def choose_batches(index: Int[Array, " known"], settings: GradientSettings) -> Int[Array, "batch sample"]:
    """Random samples of every batch, each drawn from the whole split, so that batches are independent."""
    return np.random.default_rng(settings.seed).choice(index, (settings.batches, settings.samples))


def layers_of(model: torch.nn.Module, depth: int) -> dict[str, Int[Array, " parameter"]]:
    """Layers in the order of the model, with the positions of their parameters in the vector of trained parameters.

    The name of a layer is the path of the module that owns the parameter, cut after `depth` names. Parameters of the
    model itself are in the layer `model`. Frozen parameters are in no layer.
    """
    found: dict[str, list[Array]] = {}
    start = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            layer = ".".join(name.split(".")[:-1][:depth]) or "model"
            found.setdefault(layer, []).append(np.arange(start, start + parameter.numel()))
            start += parameter.numel()
    return {layer: np.concatenate(places) for layer, places in found.items()}


def flat_update(model: torch.nn.Module, update: dict[str, Tensor]) -> Float[Tensor, " n"]:
    """Update of the trained parameters as one vector."""
    return torch.cat([update[n].flatten() for n, p in model.named_parameters() if p.requires_grad])


def part_gradients(objective: Objective) -> tuple[Float[Tensor, "part n"], list[float]]:
    """Gradients of mean and equiv on the samples of an objective, and both losses; one chunk at a time in memory."""
    parameters = objective.parameters
    total, values = parameters.new_zeros(2, len(parameters)), [0.0, 0.0]
    with differentiable():
        for chunk in objective.chunks:
            found = objective.losses(parameters, chunk)
            for i, part in enumerate(PARTS[:2]):
                values[i] += chunk.share * found[part].item()
                if found[part].requires_grad:
                    total[i] += chunk.share * _flat_gradient(found[part], [parameters], retain_graph=True)
    return total, values


def total_gradient(
    evaluation: Evaluation, batch: Batch, quaternion: Float[Tensor, "sample rotation 4"]
) -> Float[Tensor, " n"]:
    """Gradient of the mean squared error of rotated samples against rotated targets, without split or twist."""
    model, task = evaluation.model, evaluation.task
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = 0.0
    with differentiable():
        for start in range(0, len(batch), evaluation.chunk):
            some = slice(start, start + evaluation.chunk)
            rotation = so3.matrix(quaternion[some].reshape(-1, 4))
            part = batch.to("cpu", torch.float64).map(lambda t, some=some: t[some]).repeat(quaternion.shape[1])
            turned = task.rotate(part, rotation).to(parameters[0].device, parameters[0].dtype)
            out = model(turned.inputs)
            terms = [t.weight * mse(out[t.name], turned.targets[t.name], turned.weights[t.name]) for t in task.terms]
            total = total + _flat_gradient(sum(terms).sum(), parameters) / (len(batch) * quaternion.shape[1])
    return total


def _flat_gradient(loss: Tensor, parameters: Sequence[Tensor], **keys: bool) -> Float[Tensor, " n"]:
    """Gradient as one vector."""
    found = torch.autograd.grad(loss, parameters, materialize_grads=True, **keys)
    return torch.cat([g.flatten() for g in found])


def measure(
    evaluation: Evaluation,
    index: Int[Array, "batch sample"],
    quaternion: Float[Tensor, "batch sample rotation 4"],
    settings: GradientSettings,
    update: Update | None,
    step: int,
) -> xr.Dataset:
    """Dataset of one checkpoint.

    Args:
        evaluation: the model; its `chunk` is the number of samples differentiated at once.
        index: samples of every batch.
        quaternion: rotations of every sample.
        update: optimiser step that led to the checkpoint; None at step 0.
        step: step of the checkpoint, for error messages.

    Raises:
        UserError: a loss or gradient is not finite.
    """
    model, task = evaluation.model, evaluation.task
    every, size, pieces = balanced(task.batch(index.ravel())), index.shape[1], []
    batches = [every.map(lambda t, s=s: t[s : s + size]) for s in range(0, index.size, size)]
    objective = Objective(model, task, batches[0], quaternion[0], evaluation.chunk, unbiased=True)
    for b, batch in enumerate(counted(batches, "batch")):
        pieces.append(part_gradients(objective.on(batch, quaternion[b])))
        if not (pieces[-1][0].isfinite().all() and np.isfinite(pieces[-1][1]).all()):
            cause = _cause_of_nonfinite(model, task, index[b], quaternion[b])
            raise UserError(f"gradient, step {step}", "finite losses and gradients", cause)
    rows = torch.stack([g for g, _ in pieces])
    total = total_gradient(evaluation, batches[0], quaternion[0])
    identity = ((total - rows[0].sum(0)).norm() / total.norm()).item()
    loss = np.array([values for _, values in pieces]).T
    layers, change = layers_of(model, settings.layer_depth), None
    if update is not None:
        halfway = replace(evaluation, model=update.halfway)
        change = along(halfway, batches, quaternion, flat_update(model, update.change), layers)
    return dataset_of(rows, loss, change, layers, settings.samples, identity)


def along(
    evaluation: Evaluation,
    batches: Sequence[Batch],
    quaternion: Float[Tensor, "batch sample rotation 4"],
    update: Float[Tensor, " n"],
    layers: dict[str, Int[Array, " parameter"]],
) -> Along:
    """Products of an update with the gradients of both parts on every batch, by layer.

    Args:
        evaluation: of the model halfway through the update.
        update: change of the trained parameters.
    """
    pairs, chunk = [], evaluation.chunk
    objective = Objective(evaluation.model, evaluation.task, batches[0], quaternion[0], chunk, unbiased=True)
    for batch, turns in zip(counted(batches, "update on batch"), quaternion, strict=True):
        rows = part_gradients(objective.on(batch, turns))[0]
        change = update.to(rows)
        pairs.append([(rows[:, at].double() @ change[at].double()).cpu().numpy() for at in layers.values()])
    squares = [float(update[at].double().square().sum()) for at in layers.values()]
    return Along(np.moveaxis(np.array(pairs), 0, -1), np.array(squares))


def _cause_of_nonfinite(
    model: torch.nn.Module, task: Task, index: Int[Array, " sample"], quaternion: Float[Tensor, "sample rotation 4"]
) -> str:
    """Text that names the first sample and rotation with a prediction that is not finite."""
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
    update: Along | None,
    layers: dict[str, Int[Array, " parameter"]],
    samples: int,
    identity: float,
) -> xr.Dataset:
    """Dataset of one checkpoint: inner products by layer, their sum as the layer `whole`, and statistics."""
    flat = rows.flatten(0, 1)
    products = [flat[:, at].double() @ flat[:, at].double().T for at in layers.values()]
    each = torch.stack([sum(products), *products]).cpu().numpy()
    shape = (len(each), len(rows), 2)
    gram = each.reshape(*shape, *shape[1:]).transpose(0, 2, 4, 1, 3)
    none = Along(np.full((len(layers), 2, len(rows)), np.nan), np.full(len(layers), np.nan))
    product, square = (np.concatenate([a.sum(0, keepdims=True), a]) for a in update or none)
    arrays = with_errors(Batches(gram, loss, product, samples))
    arrays |= {
        "gradient_gram": np.stack([gram[:, p, q] for p, q in PRODUCTS.values()], 1),
        "update_product": product,
        "update_square": square,
        "batch_loss": loss,
        "identity_error": np.float64(identity),
    }
    coordinates = {"layer": [WHOLE, *layers], "part": PARTS, "split_part": PARTS[:2], "product": list(PRODUCTS)}
    sizes = [len(places) for places in layers.values()]
    return xr.Dataset(
        {name: (GRADIENT[name].dims[1:], np.asarray(value)) for name, value in arrays.items()}
        | {"layer_parameters": ("layer", np.array([sum(sizes), *sizes], np.int64))},
        {name: np.array(values, object) for name, values in coordinates.items()},
    )

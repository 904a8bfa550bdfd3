"""Twisted predictions of any model on any task, and their inner products: all that the estimators need."""

from __future__ import annotations

import numpy as np
import torch

from . import action, so3
from .contracts import Batch, Task, Term
from .hints import Array, Callable, Float, Int, Mapping, Tensor
from .losses import inner

Products = dict[str, Array]  # gram [term, sample, K, K], cross [term, sample, K], square [term, sample], see below


class Given(Task):
    """A task on samples that are given, for measuring a model without a config.

    Args:
        batch: the samples, their targets and weights.
        turns: irreps of the last axis of each input; what is not named does not turn.
        irreps: irreps of the last axis of each prediction, by term.
    """

    def __init__(self, batch: Batch, turns: Mapping[str, str], irreps: Mapping[str, str]):
        self._batch, self.turns = batch, dict(turns)
        self.terms = tuple(Term(name, text) for name, text in irreps.items())

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """The samples with these places in the batch."""
        return self._batch.map(lambda t: t[torch.from_numpy(index).to(t.device)])

    def __len__(self) -> int:
        return len(self._batch)


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
    labels: bool = False,
) -> Products:
    """Gram matrix of the twisted predictions, their products with the target, and its square, by term.

    Rotations are stacked into the batch; the memory of the network depends on `chunk` alone, not on the number of
    samples or rotations.

    Args:
        model: maps inputs to predictions, as `contracts.Model` does.
        chunk: rotated samples in memory at once.
        labels: whether to add `label` [2, label], the shares of the labels of `Task.attribution` in total and equiv.
    """
    size = max(chunk // quaternion.shape[1], 1)
    pieces, sums = [], []
    for start in range(0, len(index), size):
        part = slice(start, start + size)
        batch = task.batch(index[part]).to(device, dtype)
        z = _rows(model, task, batch, quaternion[part], chunk)
        pieces.append([_products(z[t.name], batch, t.name) for t in task.terms])
        if labels:
            sums.append(_label_sums(task, z, batch))
    names = ("gram", "cross", "square")
    found = {
        name: np.stack([np.concatenate([p[t][i] for p in pieces]) for t in range(len(task.terms))])
        for i, name in enumerate(names)
    }
    return found | ({"label": sum(sums) / len(index)} if labels else {})


@torch.no_grad()
def predictions(
    model: Callable,
    task: Task,
    index: Int[Array, " sample"],
    quaternion: Float[Tensor, "sample rotation 4"],
    chunk: int = 256,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, Float[Tensor, "sample rotation *v c"]]:
    """The twisted predictions themselves, by term: for a few samples."""
    return _rows(model, task, task.batch(index).to(device, dtype), quaternion, chunk)


def _rows(
    model: Callable, task: Task, batch: Batch, quaternion: Float[Tensor, "sample rotation 4"], chunk: int
) -> dict[str, Float[Tensor, "sample rotation *v c"]]:
    """Twisted predictions of every sample under its rotations, `chunk` rotated samples at a time."""
    copies, like = batch.repeat(quaternion.shape[1]), next(iter(batch.targets.values()))
    rotation = so3.matrix(quaternion.reshape(-1, 4)).to(like)
    slices = [slice(s, s + chunk) for s in range(0, len(copies), chunk)]
    found = [twisted(model, task, copies.map(lambda t, s=s: t[s]), rotation[s]) for s in slices]
    joined = {t.name: torch.cat([z[t.name] for z in found]) for t in task.terms}
    return {name: z.reshape(len(batch), -1, *z.shape[1:]) for name, z in joined.items()}


def _products(
    z: Float[Tensor, "sample rotation *v c"], batch: Batch, term: str
) -> tuple[Float[Array, "sample rotation rotation"], Float[Array, "sample rotation"], Float[Array, " sample"]]:
    """Inner products of one chunk and term, summed in float64."""
    target, weights, z = batch.targets[term].double(), batch.weights[term].double(), z.double()
    root = weights.sqrt()[..., None] / target.shape[-1] ** 0.5  # so that plain dot products are the inner products
    flat = (z * root[:, None]).flatten(2)
    y = (target * root).flatten(1)
    gram = flat @ flat.transpose(1, 2)
    cross = (flat @ y[..., None]).squeeze(-1)
    return gram.cpu().numpy(), cross.cpu().numpy(), inner(target, target, weights).cpu().numpy()


def with_weighted(task: Task, products: Products) -> Products:
    """The products with one more term, `weighted`: the split is linear in them, so it is that of the weighted loss."""
    weight = np.array([t.weight for t in task.terms])
    linear = {k: v for k, v in products.items() if k != "label"}
    return products | {k: np.concatenate([v, np.tensordot(weight, v, 1)[None]]) for k, v in linear.items()}


def _label_sums(task: Task, z: dict[str, Tensor], batch: Batch) -> Float[Array, "2 label"]:
    """Total loss and equivariance error of one chunk as sums over the vectors of each label (`Task.attribution`).

    Unbiased as in `estimators.split`; the sums over labels are those of the term.
    """
    term, key, labels = task.attribution
    target, weights, z = batch.targets[term].double(), batch.weights[term].double(), z[term].double()
    total = ((z - target[:, None]) ** 2).mean((1, -1)) * weights
    equiv = z.var(1).mean(-1) * weights
    chosen = [(batch.inputs[key] == label) & (weights > 0) for label in labels]
    return np.array([[part[c].sum().item() for c in chosen] for part in (total, equiv)])

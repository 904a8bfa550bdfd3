"""Twisted predictions of any model on any task, and their inner products, from which the estimators compute."""

from __future__ import annotations

import numpy as np
import torch

from .._typing import Array, Bool, Callable, Float, Index, Int, Irreps, Mapping, Sequence, Tensor
from ..contracts import Batch, Evaluation, Task, Term, as_index
from ..estimators import loss_split
from ..geometry import action, so3
from ..losses import has_target, inner, loss_of
from ..runtime.progress import counted
from .checks.model_and_task import check_batch

Products = dict[str, Array]  # gram [term, sample, K, K], cross [term, sample, K], square, known [term, sample], below
# axis of the samples
AXIS = {"gram": 1, "cross": 1, "square": 1, "known": 1, "centred_square": 1, "signal": 1, "convex": 3}

Losses = Mapping[str, Mapping[str, str]]  # by any name: the kind of loss of each term


class FixedBatchTask(Task):
    """Task on the samples of one batch, to measure a model without a config.

    Args:
        batch: the samples, their targets and weights.
        irreps_in: irreps of the last axis of each input, strings or e3nn `Irreps`; inputs not named do not turn.
        irreps_out: irreps of the last axis of each prediction, by term.
        reflections: whether reflections are also a symmetry; O(3) is then measured besides SO(3).
    """

    def __init__(
        self,
        batch: Batch,
        irreps_in: Mapping[str, Irreps],
        irreps_out: Mapping[str, Irreps],
        *,
        reflections: bool = False,
    ):
        self._batch, self.irreps_in, self.reflections = batch, dict(irreps_in), reflections
        self.terms = tuple(Term(name, irreps) for name, irreps in irreps_out.items())

    def batch(self, index: Index) -> Batch:
        """Samples at these positions of the batch."""
        places = torch.from_numpy(as_index(index, len(self)))
        return self._batch.map(lambda t: t[places.to(t.device)])

    def __len__(self) -> int:
        return len(self._batch)


def twisted(model: Callable, task: Task, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> dict[str, Tensor]:
    """Twisted predictions z(g) = rho(g)^-1 f(g x) of each sample under its rotation, by term."""
    response = model(task.rotate(batch, rotation).inputs)
    return {t.name: action.twist(t.irreps, rotation, response[t.name]) for t in task.terms}


@torch.no_grad()
def inner_products(
    evaluation: Evaluation,
    index: Index,
    quaternion: Float[Tensor, "sample rotation 4"],
    labels: bool = False,
    parity: Int[Array, " rotation"] | None = None,
    losses: Losses | None = None,
    centred: bool = False,
) -> Products:
    """Gram matrix of the twisted predictions, their products with the target, and the square of the target, by term.

    `known` is True for samples that have a target; products of the others are 0. A forward pass takes one chunk of
    rotated samples. Labels and losses other than the squared error are measured without the rotoreflections.

    Args:
        index: samples of the task: indices as an array, tensor or list, or a mask.
        quaternion: rotations of each sample.
        labels: whether to add `label` [2, label], the shares of the labels of `Task.attribution` in total and equiv.
        parity: 1 for a rotation, -1 for a rotoreflection; None if all are rotations.
        losses: losses other than the squared error. They add `convex` [loss, 4, term, sample]: total, mean and equiv
            by jackknife, and the loss of predicting zero.
        centred: whether the mean prediction over rotations is subtracted from predictions and target, so that no digits
            of a small error cancel. It adds `centred_square` of the target, and `signal`, the mean square prediction.

    Raises:
        UserError: indices of no samples, weights that are no shares of a sample, or targets that are not finite.
    """
    index = as_index(index)
    parity = np.ones(quaternion.shape[1], np.int8) if parity is None else parity
    task, size, pieces = evaluation.task, max(evaluation.chunk // quaternion.shape[1], 1), []
    for start in counted(range(0, len(index), size), "chunk of samples"):
        part = slice(start, start + size)
        batch = evaluation.batch(index[part])
        check_batch(task, batch)
        z = _predict_twisted(evaluation, batch, quaternion[part], parity)
        pieces.append(_products(task, z, batch, parity == 1 if centred else None))
        rotated = {name: values[:, parity == 1] for name, values in z.items()}
        pieces[-1] |= _other_losses(task, rotated, batch, losses or {}) | _label_sums(task, rotated, batch, labels)
    return _gathered(task, pieces)


def _gathered(task: Task, pieces: Sequence[Products]) -> Products:
    """The products of all chunks."""
    found = {name: np.concatenate([p[name] for p in pieces], AXIS[name]) for name in pieces[0] if name in AXIS}
    if "label" in pieces[0]:
        number = [t.name for t in task.terms].index(task.attribution[0])
        found["label"] = sum(p["label"] for p in pieces) / max(found["known"][number].sum(), 1)
    return found


@torch.no_grad()
def twisted_predictions(
    evaluation: Evaluation, index: Int[Array, " sample"], quaternion: Float[Tensor, "sample rotation 4"]
) -> dict[str, Float[Tensor, "sample rotation *v c"]]:
    """Twisted predictions of a few samples, by term."""
    return _predict_twisted(evaluation, evaluation.batch(index), quaternion)


def _predict_twisted(
    evaluation: Evaluation,
    batch: Batch,
    quaternion: Float[Tensor, "sample rotation 4"],
    parity: Int[Array, " rotation"] | None = None,
) -> dict[str, Float[Tensor, "sample rotation *v c"]]:
    """Twisted predictions of every sample under its rotations; a forward pass takes one chunk."""
    model, task, chunk = evaluation.model, evaluation.task, evaluation.chunk
    copies, where = batch.repeat(quaternion.shape[1]), (evaluation.device, evaluation.dtype)
    sign = torch.from_numpy(np.tile(parity, len(batch))) if parity is not None else 1
    rotation = so3.matrix(quaternion.reshape(-1, 4), sign).to(*where)
    slices = [slice(s, s + chunk) for s in range(0, len(copies), chunk)]
    pieces = [twisted(model, task, copies.map(lambda t, s=s: t[s]), rotation[s]) for s in slices]
    found = {t.name: torch.cat([z[t.name] for z in pieces]) for t in task.terms}
    return {name: z.reshape(len(batch), -1, *z.shape[1:]) for name, z in found.items()}


def _products(
    task: Task, z: dict[str, Tensor], batch: Batch, centre: Bool[Array, " rotation"] | None = None
) -> Products:
    """Inner products of one chunk, computed in float64; about the mean over the rotations of `centre`, if given."""
    each = []
    for term in task.terms:
        target, weights = batch.targets[term.name].double(), batch.weights[term.name].double()
        root = weights.sqrt()[..., None] / target.shape[-1] ** 0.5  # makes dot products the inner products
        flat = (z[term.name].double() * root[:, None]).flatten(2)
        y = (target * root).flatten(1)
        found = {"square": inner(target, target, weights)}
        if centre is not None:
            found["signal"] = flat.square().sum(-1).mean(1)
            origin = flat[:, torch.from_numpy(centre)].mean(1)
            flat, y = flat - origin[:, None], y - origin
            found["centred_square"] = y.square().sum(-1)
        found |= {"gram": flat @ flat.transpose(1, 2), "cross": (flat @ y[..., None]).squeeze(-1)}
        each.append({name: t.cpu().numpy() for name, t in found.items()})
    known = has_target(batch)
    known = np.stack([known[t.name].cpu().numpy() for t in task.terms])
    return {name: np.stack([e[name] for e in each]) for name in each[0]} | {"known": known}


def square_of(products: Mapping[str, Array]) -> Float[Array, "*step term sample"]:
    """Square of the target about the origin of the Gram matrices."""
    return products["centred_square"] if "centred_square" in products else products["square"]


def _other_losses(task: Task, z: dict[str, Tensor], batch: Batch, losses: Losses) -> Products:
    """Losses of one chunk other than the squared error: `convex` [loss, 4, term, sample]."""
    found = [[_convex(z[t.name], batch, t.name, kinds[t.name]) for t in task.terms] for kinds in losses.values()]
    return {"convex": np.array(found).swapaxes(1, 2)} if found else {}


def _convex(z: Float[Tensor, "sample rotation *v c"], batch: Batch, term: str, kind: str) -> Float[Array, "4 sample"]:
    """Total, mean and equivariance error of one loss by jackknife, and the loss of predicting zero."""
    K, loss = z.shape[1], loss_of(kind)
    z, target, weights = z.double(), batch.targets[term].double(), batch.weights[term].double()
    copies = (target.repeat_interleave(K, 0), weights.repeat_interleave(K, 0))
    centre = z.mean(1)
    without = (K * centre[:, None] - z) / (K - 1)
    each, left = (loss(p.flatten(0, 1), *copies).reshape(len(z), K).cpu().numpy() for p in (z, without))
    whole, zero = (loss(p, target, weights).cpu().numpy() for p in (centre, torch.zeros_like(target)))
    return np.stack([*loss_split.split_convex(each, whole, left), zero])


def with_weighted(task: Task, products: Products) -> Products:
    """The products for means over samples, with the term `weighted` added, the weighted sum of the terms.

    The products of a term are multiplied by the number of samples over that of the samples with a target. So their
    means over samples are means over the samples with a target, by term, and their weighted sum is the loss.
    """
    weight = np.array([t.weight for t in task.terms])
    factor = over_known(products["known"])
    found = dict(products)
    for name, axis in {"gram": 0, "cross": 0, "square": 0, "centred_square": 0, "signal": 0, "convex": 2}.items():
        if name in products:
            each = products[name] * factor.reshape((-1,) + (1,) * (products[name].ndim - axis - 1))
            found[name] = np.concatenate([each, np.expand_dims(np.tensordot(weight, each, (0, axis)), axis)], axis)
    found["known"] = np.concatenate([products["known"], products["known"].any(0, keepdims=True)])
    return found


def over_known(known: Bool[Array, "term sample"]) -> Float[Array, " term"]:
    """Number of samples over that of the samples with a target, by term; 1 where no sample has one."""
    count = known.sum(1)
    return np.where(count > 0, known.shape[1] / np.maximum(count, 1), 1.0)


def _label_sums(task: Task, z: dict[str, Tensor], batch: Batch, wanted: bool) -> Products:
    """Total loss and equivariance error of one chunk, summed over the vectors of each label, if wanted: `label`.

    Unbiased as in `loss_split.split`. Summed over labels they are the losses of the term.
    """
    if not wanted:
        return {}
    term, key, labels = task.attribution
    target, weights, z = batch.targets[term].double(), batch.weights[term].double(), z[term].double()
    total = ((z - target[:, None]) ** 2).mean((1, -1)) * weights
    equiv = z.var(1).mean(-1) * weights
    chosen = [(batch.inputs[key] == label) & (weights > 0) for label in labels]
    return {"label": np.array([[part[c].sum().item() for c in chosen] for part in (total, equiv)])}

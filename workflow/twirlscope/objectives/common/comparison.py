"""Losses of rows, and the difference between two views of a sample."""

from __future__ import annotations

import torch

from ..._typing import Float, Int, Tensor
from ...contracts import Batch, Task
from ...errors import UserError
from ...geometry import action
from ...losses import inner, loss_of
from ...objective import Rows

Named = dict[str, Tensor]


def row_losses(task: Task, prediction: Named, batch: Batch) -> Float[Tensor, " row"]:
    """The training loss of each row, summed over terms with their weights; its mean is `losses.weighted_loss`."""
    each = {
        t.name: loss_of(t.loss)(prediction[t.name], batch.targets[t.name], batch.weights[t.name]) for t in task.terms
    }
    return sum(t.weight * each[t.name] for t in task.terms)


def sample_means(values: Float[Tensor, " row"], rows: Rows) -> Float[Tensor, " sample"]:
    """Mean of the rows of each sample."""
    place = rows.sample.to(values.device)
    counts = torch.bincount(place).to(values)
    return values.new_zeros(len(rows)).index_add(0, place, values) / counts


def twisted(task: Task, prediction: Named, rows: Rows) -> Named:
    """Predictions turned back by the rotation of each row, by term, in the dtype of the targets."""
    targets = rows.batch.targets
    return {t.name: action.twist(t.irreps, rows.rotation, prediction[t.name].to(targets[t.name])) for t in task.terms}


def squares(task: Task, tensors: Named, weights: Named) -> Float[Tensor, " row"]:
    """|.|^2 per component of each row, summed over terms with their weights."""
    return sum(t.weight * inner(tensors[t.name], tensors[t.name], weights[t.name]) for t in task.terms)


def paired_rows(rows: Rows) -> Int[Tensor, " pair"]:
    """First row of every sample with two rows."""
    return (rows.sample[1:] == rows.sample[:-1]).nonzero()[:, 0]


def half_squared_differences(task: Task, prediction: Named, rows: Rows) -> Float[Tensor, " pair"]:
    """|z_1 - z_2|^2 / 2 of every sample with two rows: its mean is the equivariance error, for independent rotations.

    Source: Shen, Nowara, Maser, Cho, TMLR 12/2025, arXiv:2512.02303.
    """
    z = twisted(task, prediction, rows)
    first = paired_rows(rows).to(rows.rotation.device)
    difference = {name: v.index_select(0, first) - v.index_select(0, first + 1) for name, v in z.items()}
    return squares(task, difference, {name: w.index_select(0, first) for name, w in rows.batch.weights.items()}) / 2


def squared(task: Task) -> bool:
    """True if the loss of every term that counts is the squared error."""
    return all(term.loss == "mse" for term in task.terms if term.weight)


def require_squares(task: Task, where: str) -> None:
    """Refuse losses other than the squared error: two views split no other loss without bias.

    Raises:
        UserError: it names the losses.
    """
    if not squared(task):
        got = ", ".join(f"{term.loss} for {term.name}" for term in task.terms)
        raise UserError(where, "the squared error (`mse`) in every term", got)

"""Samples, halves and orientations of a measurement of features, the same at every checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..._typing import Array, Bool, Float, Int, Sequence, Tensor
from ...contracts import Batch, Evaluation, Task
from ...errors import UserError
from ...estimators.bootstrap import Clusters
from ...geometry import action, so3
from ...geometry.rotation_sets import FINITE_GROUPS
from ...losses import has_target
from ...settings.layers import LayersSettings
from ...settings.twirl import TwirlSettings
from ..panel import Panel, panel_of
from ..twisting import over_known


@dataclass(frozen=True)
class Design:
    """Samples of a measurement.

    index: samples.
    cluster: of each sample.
    fitted: True for the half on which generators are fitted.
    quaternion: orientations of each sample.
    panel: a few samples under many rotations; None for none.
    """

    index: Int[Array, " sample"]
    cluster: Int[Array, " sample"]
    fitted: Bool[Array, " sample"]
    quaternion: Float[Tensor, "sample rotation 4"]
    panel: Panel | None


def design_of(task: Task, index: Int[Array, " sample"], settings: LayersSettings, cluster: Clusters = None) -> Design:
    """Random samples of these, in two halves of whole clusters; of samples, where all are of one cluster.

    Raises:
        UserError: a task on grids, or fewer than four samples.
    """
    if task.group in FINITE_GROUPS or any(action.field_and_irreps(t.irreps)[0] for t in task.terms):
        expected = (
            "a task on points: the rows of features of a grid move under rotations, and no generator acts on them"
        )
        raise UserError("layers", expected, f"a task on grids, {type(task).__name__}")
    if len(index) < 4:
        raise UserError("layers.samples", "four samples or more", len(index))
    cluster = np.arange(len(index)) if cluster is None else cluster
    random = np.random.default_rng([settings.seed, 3])
    chosen = np.sort(random.choice(len(index), min(settings.samples, len(index)), replace=False))
    own = cluster[chosen] if len(np.unique(cluster[chosen])) > 1 else chosen
    half = random.permutation(np.unique(own))
    fitted = np.isin(own, half[: (len(half) + 1) // 2])
    generator = torch.Generator().manual_seed(settings.seed + 3)
    quaternion = so3.haar(len(chosen), settings.rotations, generator=generator)
    panel = None
    if settings.panel > 1:
        names = ("panel", "panel_set", "panel_replicates", "seed")
        panel = panel_of(index, TwirlSettings(**{n: getattr(settings, n) for n in names}), cluster=cluster)
    return Design(index[chosen], cluster[chosen], fitted, quaternion, panel)


def rotated_batches(
    evaluation: Evaluation, index: Int[Array, " sample"], quaternion: Float[Tensor, "sample 4"]
) -> Iterator[tuple[Int[Array, " row"], Batch, Float[Tensor, "row 3 3"]]]:
    """Places of samples, their batch and rotations, of samples of equal size: without padding, whose rows mean nothing.

    Yields at most `evaluation.chunk` samples at once.
    """
    size = _sizes(evaluation.task, index)
    for number in np.unique(size):
        same = np.flatnonzero(size == number)
        for places in np.array_split(same, -(-len(same) // evaluation.chunk)):
            rotation = so3.matrix(quaternion[torch.from_numpy(places)]).to(evaluation.device, evaluation.dtype)
            yield places, evaluation.batch(index[places]), rotation


def _sizes(task: Task, index: Int[Array, " sample"]) -> Int[Array, " sample"]:
    """Number of points of each sample that are not padding."""
    batch = task.batch(index)
    if task.points is not None:
        return (batch.inputs[task.points[1]] > 0).sum(1).numpy()
    counts = [(w.reshape(len(w), -1) > 0).sum(1) for w in batch.weights.values()]
    return torch.stack(counts).amax(0).numpy()


def gathered(
    task: Task,
    index: Int[Array, " sample"],
    found: Sequence[tuple[Int[Array, " _"], Float[Array, "*b term _"]]],
) -> Float[Array, "*b every sample"]:
    """Values of all batches in the order of the samples, and their weighted sum over terms, `weighted`, last.

    As in `twisting.with_weighted`, the mean of a term over all samples is that over the samples with a target.
    """
    order = np.concatenate([places for places, _ in found]).argsort()
    known = has_target(task.batch(index))
    factor = over_known(np.stack([known[t.name].numpy() for t in task.terms]))[:, None]
    values = np.concatenate([each for _, each in found], -1)[..., order] * factor
    weighted = np.tensordot([t.weight for t in task.terms], values, (0, -2))
    return np.concatenate([values, weighted[..., None, :]], -2)

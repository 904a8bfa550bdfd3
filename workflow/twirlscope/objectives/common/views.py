"""Rows of an update: the views of its samples.

Views of a sample share its noise and times, which turn with it: a comparison of views sees the model alone. Samples on
a grid turn freely only before they are put on it, so their views are octahedral rotations of one free orientation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..._typing import Array, Float, Int, Tensor
from ...contracts import Task
from ...errors import UserError
from ...geometry import action, so3
from ...geometry.principal_axes import canonical_rotation, frames
from ...losses import balanced
from ...objective import Rows


def single_views(
    task: Task,
    index: Int[Array, " sample"],
    random: np.random.Generator,
    rotation: Float[Tensor, "sample 3 3"] | None,
    device: torch.device | str,
) -> Rows:
    """One row per sample, rotated by its rotation before it becomes a batch; as the data lie for None."""
    return Rows(balanced(task.training_batch(index, random, rotation, device)), torch.arange(len(index)))


def several_views(
    task: Task,
    index: Int[Array, " sample"],
    random: np.random.Generator,
    quaternion: Float[Tensor, "row 4"],
    device: torch.device | str,
    counts: Int[Tensor, " sample"] | int,
    free: torch.Generator | None = None,
) -> Rows:
    """Several rows per sample, each rotated by a rotation of the group of the task.

    Args:
        quaternion: rotations of the rows, sample by sample.
        counts: rows of each sample.
        free: of the free orientation of samples whose group is finite; None leaves them as the data lie.
    """
    start = None
    if free is not None and task.group != "SO3":
        start = so3.matrix(so3.haar(len(index), generator=free)).float()
    base = balanced(task.training_batch(index, random, start, device))
    counts = torch.as_tensor(counts).expand(len(index))
    sample = torch.arange(len(index)).repeat_interleave(counts)
    rotation = so3.matrix(quaternion).float().to(device)
    place = sample.to(device)
    return Rows(task.rotate(base.map(lambda t: t[place]), rotation), sample, rotation)


def in_axes(task: Task, rows: Rows) -> Rows:
    """Each row turned into its principal axes, with the directions in which its points are skewed."""
    points, real = (rows.batch.inputs[name] for name in task.points)
    rotation = canonical_rotation(points, real).to(points)
    return replace(rows, batch=task.rotate(rows.batch, rotation))


def in_frames(task: Task, rows: Rows, choice: Int[Tensor, "sample frame"]) -> Rows:
    """Rows of samples, one row each, in some of their four frames.

    Args:
        choice: numbers of the frames of each sample, 0 to 3.
    """
    points, real = (rows.batch.inputs[name] for name in task.points)
    every = frames(points, real).rotation
    rotation = every[torch.arange(len(every))[:, None], choice].flatten(0, 1).to(points)
    count = choice.shape[1]
    return Rows(task.rotate(rows.batch.repeat(count), rotation), rows.sample.repeat_interleave(count), rotation)


def require_exact(task: Task, where: str) -> None:
    """Refuse a task whose fields are interpolated when they are turned: views would differ by that.

    Raises:
        UserError: it names the term.
    """
    for term in task.terms:
        if task.group == "SO3" and action.field_and_irreps(term.irreps)[0]:
            expected = "a task whose rotations are exact, for an objective that compares or turns views of a sample"
            raise UserError(where, expected, f"term {term.name} of irreps {term.irreps}; take its octahedral action")

"""What a percent does not show: figures of merit of the predictions themselves, and slices through predicted fields."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Float, Int, Tensor
from ..contracts import Batch, Evaluation
from ..geometry import action, rotation_sets, so3
from .twisting import twisted

VIEWS = ("noisy", "prediction", "twirled prediction", "target")


@torch.no_grad()
def metrics(evaluation: Evaluation, index: Int[Array, " sample"]) -> dict[str, float]:
    """The figures of merit that the task knows, means over samples, by name; most tasks know none."""
    prediction = {k: v.cpu() for k, v in evaluation.model(evaluation.batch(index).inputs).items()}
    return {name: float(np.mean(each)) for name, each in evaluation.task.metrics(index, prediction).items()}


def metrics_dataset(measured: list[dict[str, float]]) -> xr.Dataset:
    """The figures of merit of all checkpoints; empty where the task knows none."""
    if not measured[0]:
        return xr.Dataset()
    values = np.array([list(m.values()) for m in measured])
    return xr.Dataset({"merit_value": (("step", "merit"), values)}, {"merit": np.array(list(measured[0]), object)})


@torch.no_grad()
def slices(evaluation: Evaluation, index: Int[Array, " sample"]) -> xr.Dataset:
    """Slices through the first term's fields: input, prediction, twirled prediction and target; empty without fields.

    Each through the channel and the plane with the most of the target in it. Twirled is the mean over the 24 rotations
    of a cube, which act on every grid.
    """
    model, term = evaluation.model, evaluation.task.terms[0]
    if not len(index) or not action.field_and_irreps(term.irreps)[0]:
        return xr.Dataset()
    batch = evaluation.batch(index)
    target = batch.targets[term.name]
    shown = [batch.inputs["grid"], model(batch.inputs)[term.name], _twirled(evaluation, batch, term.name), target]
    planes = []
    for i, true in enumerate(target):
        channel = int(true.sum((0, 1, 2)).argmax())
        height = int(true[..., channel].sum((0, 1)).argmax())
        planes.append(torch.stack([field[i, :, :, height, channel] for field in shown]).cpu().numpy())
    return xr.Dataset(
        {"slice_value": (("look", "view", "row", "column"), np.stack(planes).astype(np.float32))},
        {"view": np.array(VIEWS, object)},
    )


def _twirled(evaluation: Evaluation, batch: Batch, term: str) -> Float[Tensor, "sample x y z c"]:
    """The mean of the twisted predictions over the rotations of a cube."""
    turns = so3.matrix(rotation_sets.rotation_set("O").quaternion).to(batch.targets[term])
    every = [twisted(evaluation.model, evaluation.task, batch, turn.expand(len(batch), 3, 3))[term] for turn in turns]
    return torch.stack(every).mean(0)

"""Task metrics of predictions, and 2-D slices of predicted fields."""

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
    """Metrics of the task by name, as means over samples; most tasks have none."""
    prediction = {k: v.detach().cpu() for k, v in evaluation.model(evaluation.batch(index).inputs).items()}
    return {name: float(np.mean(each)) for name, each in evaluation.task.metrics(index, prediction).items()}


def metrics_dataset(measured: list[dict[str, float]]) -> xr.Dataset:
    """Dataset of the metrics at all checkpoints; empty for a task without metrics."""
    if not measured[0]:
        return xr.Dataset()
    values = np.array([list(m.values()) for m in measured])
    return xr.Dataset({"merit_value": (("step", "merit"), values)}, {"merit": np.array(list(measured[0]), object)})


@torch.no_grad()
def slices(evaluation: Evaluation, index: Int[Array, " sample"]) -> xr.Dataset:
    """Slices of input, prediction, twirled prediction and target of the first term; empty without fields.

    The slice shows the channel and the plane in which the target has the largest sum. The twirled prediction is the
    mean over the 24 rotations of a cube, which act on every grid.
    """
    model, term = evaluation.model, evaluation.task.terms[0]
    if not len(index) or not action.field_and_irreps(term.irreps)[0]:
        return xr.Dataset()
    batch = evaluation.batch(index)
    target = batch.targets[term.name]
    fields = [batch.inputs["grid"], model(batch.inputs)[term.name], _twirled(evaluation, batch, term.name), target]
    planes = []
    for i, true in enumerate(target):
        channel = int(true.sum((0, 1, 2)).argmax())
        height = int(true[..., channel].sum((0, 1)).argmax())
        planes.append(torch.stack([field[i, :, :, height, channel] for field in fields]).cpu().numpy())
    return xr.Dataset(
        {"slice_value": (("look", "view", "row", "column"), np.stack(planes).astype(np.float32))},
        {"view": np.array(VIEWS, object)},
    )


def _twirled(evaluation: Evaluation, batch: Batch, term: str) -> Float[Tensor, "sample x y z c"]:
    """Mean of the twisted predictions over the 24 rotations of a cube."""
    rotations = so3.matrix(rotation_sets.rotation_set("O").quaternion).to(evaluation.device, evaluation.dtype)
    model, task = evaluation.model, evaluation.task
    return torch.stack([twisted(model, task, batch, R.expand(len(batch), 3, 3))[term] for R in rotations]).mean(0)

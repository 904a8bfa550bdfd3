"""The split of the loss of any model on any task, without a workflow."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .._typing import Array, Callable, Int
from ..contracts import Task
from ..geometry import so3
from ..runtime import precision
from ..runtime.devices import device_of
from ..settings.twirl import TwirlSettings
from . import checks
from .heldout import Heldout, heldout_dataset, heldout_of, measure_heldout, summarise
from .twisting import FixedBatchTask

FEW = 16  # samples on which floors and figures of merit are measured


def refuse(model: Callable, task: Task, held: Heldout, device: str) -> None:
    """Refuse what would give wrong numbers; a few passes of a few samples."""
    few = slice(0, 4)
    rotation = so3.matrix(held.quaternion[few, 0]).float().to(device)
    checks.check(model, task, task.batch(held.index[few]).to(device), rotation)


@precision.float32()
def measure(
    model: Callable,
    task: Task,
    index: Int[Array, " sample"] | None = None,
    settings: TwirlSettings | None = None,
) -> xr.Dataset:
    """The split of the loss of any model, without a workflow: a dataset with the variables of the stage.

    Args:
        model: maps `Batch.inputs` to a prediction by term, in evaluation mode.
        task: gives the samples with these indices and says how they turn; `FixedBatchTask` makes one of a batch.
        index: samples to measure; all of a `FixedBatchTask` if left out.

    Example: `measure(model, task, split_index(data, "test"))["percent_equiv"]`
    """
    settings = settings or TwirlSettings()
    index = np.arange(len(task)) if index is None and isinstance(task, FixedBatchTask) else index
    held, device = heldout_of(task, index, settings), device_of(settings.device)
    refuse(model, task, held, device)
    measured = [measure_heldout(model, task, held, settings, device)]
    return summarise(heldout_dataset(task, [0], held, measured), settings).isel(step=0)

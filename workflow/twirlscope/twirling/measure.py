"""Loss split of any model on any task, without a workflow."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .._typing import Array, Callable, Int
from ..contracts import Evaluation, Task
from ..runtime import precision
from ..runtime.devices import device_of
from ..settings.twirl import TwirlSettings
from .checkpoint import check_evaluation
from .heldout import heldout_dataset, heldout_of, measure_heldout, summarise
from .twisting import FixedBatchTask


@precision.float32()
def measure(
    model: Callable,
    task: Task,
    index: Int[Array, " sample"] | None = None,
    settings: TwirlSettings | None = None,
    cluster: Int[Array, " sample"] | None = None,
) -> xr.Dataset:
    """Loss split of any model, without a workflow: a dataset with the variables of the stage `twirl`.

    Args:
        model: maps `Batch.inputs` to a prediction by term, in evaluation mode.
        task: supplies the samples with these indices and rotates them; `FixedBatchTask` makes a task from a batch.
        index: samples to measure; None takes all samples of a `FixedBatchTask`.
        settings: None takes the defaults.
        cluster: number of the cluster of each sample, such as its molecule: intervals resample clusters, because the
            samples of one are not independent. None if all samples are independent.

    Example: `measure(model, task, split_index(data, "test"))["percent_equiv"]`
    """
    settings = settings or TwirlSettings()
    index = np.arange(len(task)) if index is None and isinstance(task, FixedBatchTask) else index
    evaluation = Evaluation(model, task, device_of(settings.device), chunk=settings.chunk)
    held = heldout_of(task, index, settings, cluster)
    check_evaluation(evaluation, held)
    return summarise(heldout_dataset(task, [0], held, [measure_heldout(evaluation, held)]), settings).isel(step=0)

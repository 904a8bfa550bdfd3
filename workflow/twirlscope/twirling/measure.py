"""Loss split of any model on any task, without a workflow."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Callable, Index, Int, Tensor
from ..contracts import Evaluation, Task, as_index
from ..errors import UserError
from ..runtime import precision
from ..runtime.devices import device_of
from ..settings.twirl import TwirlSettings
from .checkpoint import rows_of
from .checks.model_and_task import check_evaluation
from .heldout import Heldout, heldout_dataset, heldout_of, measure_heldout, summarise
from .panel import measure_panel, panel_dataset, panel_of, summarise_panel
from .twisting import FixedBatchTask


@precision.float32()
def measure(
    model: Callable,
    task: Task,
    index: Index | None = None,
    settings: TwirlSettings | None = None,
    cluster: Int[Array, " sample"] | None = None,
    dtype: torch.dtype | None = None,
    panel: bool = False,
) -> xr.Dataset:
    """Loss split of any model, without a workflow: a dataset with the variables of the stage `twirl`.

    A module is measured on the device on which it is. A plain function is called on the device of the settings, by
    default the CPU. Losses are summed in float64 in every case.

    Args:
        model: maps `Batch.inputs` to a prediction by term, in evaluation mode.
        task: supplies the samples with these indices and rotates them; `FixedBatchTask` makes a task from a batch.
        index: samples to measure, as an array, tensor or list of indices, or as a mask; None takes all samples of a
            `FixedBatchTask`.
        settings: None takes the defaults.
        cluster: number of the cluster of each sample, such as its molecule: intervals resample clusters, because the
            samples of one are not independent. None if all samples are independent.
        dtype: of the inputs of the model; None takes that of its weights, or float32 for a plain function. For half
            precision, samples are rotated in float32 before they are rounded.
        panel: whether a panel of the samples is measured under many rotations too, for the spectrum of the error.

    Raises:
        UserError: no samples are named, or fewer than two for a panel; another device in the settings than that of
            the model; see `check_model_and_task` for models and tasks that are refused.

    Example: `measure(model, task, split_index(data, "test"))["percent_equiv"]`
    """
    settings = settings or TwirlSettings()
    evaluation = evaluation_of(model, task, settings, dtype)
    held = heldout_of(task, samples_of(task, index), settings, cluster)
    check_evaluation(evaluation, held.index, held.quaternion, rows_of(evaluation, held))
    result = summarise(heldout_dataset(task, [0], held, [measure_heldout(evaluation, held)]), settings)
    if panel:
        result = result.merge(_panel(evaluation, held, result, settings), combine_attrs="no_conflicts")
    return result.isel(step=0)


def samples_of(task: Task, index: Index | None) -> Int[Array, " sample"]:
    """Indices of the samples to measure; all of a `FixedBatchTask` for None. Raises UserError for another task."""
    if index is None and not isinstance(task, FixedBatchTask):
        raise UserError("measure, index", f"indices of samples, as {type(task).__name__} is no FixedBatchTask", None)
    count = len(task) if isinstance(task, FixedBatchTask) else None
    return np.arange(count) if index is None else as_index(index, count)


def _panel(evaluation: Evaluation, held: Heldout, result: xr.Dataset, settings: TwirlSettings) -> xr.Dataset:
    """Panel of the held-out samples, with the statistics derived from it.

    Raises:
        UserError: fewer than two samples.
    """
    if min(len(held.index), settings.panel) < 2:
        expected = "two samples or more for a panel, in the data and in settings.panel"
        raise UserError("measure, panel", expected, min(len(held.index), settings.panel))
    chosen = panel_of(held.index, settings, evaluation.task.group, held.cluster)
    found = panel_dataset(chosen, [measure_panel(evaluation, chosen)])
    return summarise_panel(found.assign_coords(step=result["step"], term=result["term"]), chosen, settings)


def evaluation_of(model: Callable, task: Task, settings: TwirlSettings, dtype: torch.dtype | None = None) -> Evaluation:
    """Evaluation of a model on its own device and in its own dtype.

    Raises:
        UserError: another device in the settings than that of the model, or a dtype that is not floating-point.
    """
    held = (*model.parameters(), *model.buffers()) if isinstance(model, torch.nn.Module) else ()
    weights = [tensor for tensor in held if tensor.is_floating_point()]
    dtype = dtype or (weights[0].dtype if weights else torch.float32)
    if not dtype.is_floating_point:
        raise UserError("measure, dtype", "a floating-point dtype", dtype)
    device = _device(weights[0].device if weights else None, settings.device)
    wide = torch.promote_types(dtype, torch.float32)
    return Evaluation(model if dtype == wide else Narrow(model, dtype), task, device, wide, settings.chunk)


def _device(own: torch.device | None, wanted: str) -> str:
    """Device of the model, or that of the settings for a plain function."""
    if own is None:
        return "cpu" if wanted == "auto" else device_of(wanted)
    if own.type == "mps":
        raise UserError("measure, model", "a model on a device that has float64, for the sums: model.cpu()", own)
    if wanted not in ("auto", own.type):
        raise UserError("measure, settings.device", f"auto or {own.type}, the device of the model", repr(wanted))
    return str(own)


class Narrow(torch.nn.Module):
    """A model of half precision as one of float32: inputs are rounded to its dtype, predictions become float32.

    narrowed, rounded: the model and its dtype.
    """

    def __init__(self, model: Callable, dtype: torch.dtype):
        super().__init__()
        self.narrowed, self.rounded = model, dtype
        self.training = getattr(model, "training", False)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The prediction in float32; what is no floating-point tensor stays as it is."""
        found = self.narrowed({k: v.to(self.rounded) if v.is_floating_point() else v for k, v in inputs.items()})
        if not isinstance(found, dict):
            return found
        wide = {k: isinstance(v, Tensor) and v.is_floating_point() for k, v in found.items()}
        return {k: v.float() if wide[k] else v for k, v in found.items()}

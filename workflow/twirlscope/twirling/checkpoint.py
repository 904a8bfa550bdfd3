"""Measurements of one checkpoint: held-out losses, panel, rounding error, task metrics, use of degrees.

Samples and rotations are drawn once and are the same at every checkpoint, so that differences are paired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Callable, Float, Int, Sequence, Tensor
from ..contracts import Evaluation, Task
from ..geometry import action, so3
from ..losses import balanced, inner
from ..runtime.progress import part
from ..settings.twirl import TwirlSettings
from .activation_degrees import MAX_SAMPLES, DegreeUse, degrees_dataset, measure_degrees
from .checks.model_and_task import check_evaluation
from .frame_averaging import measure_frames
from .heldout import SPLIT, Heldout, heldout_dataset, heldout_of, measure_heldout, summarise
from .lie_derivative import LieError
from .other_splits import measure_test_sets
from .panel import (
    Panel,
    kept_predictions,
    measure_panel,
    measured_losses,
    panel_dataset,
    panel_of,
    summarise_panel,
    twirling_losses,
)
from .prediction_metrics import metrics, metrics_dataset, slices
from .twisting import Products, twisted

HELD_OUT = 0.6  # share of the time of a checkpoint in which the held-out samples are measured, about
FIRST = slice(0, 16)  # samples on which interpolation error and task metrics are measured
ROUNDED = slice(0, 4)  # samples on which rounding error is measured, which differs little between samples


@dataclass(frozen=True)
class Design:
    """Samples and rotations of a measurement; `panel` is None if there are too few samples for a panel.

    whole: the task under all rotations, with rotations and interpolation error of the same samples; None if its group
        is already that.
    interpolation: see `interpolation_error`.
    full_batch: whether the model is also checked in a batch as large as those of the measurement.
    """

    held: Heldout
    panel: Panel | None
    whole: tuple[Task, Heldout, Float[Array, " term"]] | None = None
    interpolation: Float[Array, " term"] | float = 0.0
    full_batch: bool = True

    @property
    def index(self) -> Int[Array, " sample"]:
        """Indices of the held-out samples."""
        return self.held.index


def design_of(
    task: Task, index: Int[Array, " sample"], settings: TwirlSettings, cluster: Int[Array, " sample"]
) -> Design:
    """Rotations of these samples, which are ascending, and a panel with some of the samples."""
    panel = panel_of(index, settings, task.group, cluster) if min(settings.panel, len(index)) > 1 else None
    held, other, whole = heldout_of(task, index, settings, cluster), task.under_all_rotations(), None
    if other is not None:
        turned = replace(heldout_of(other, index, settings, cluster), losses={})
        whole = other, turned, interpolation_error(other, turned)
    return Design(held, panel, whole, interpolation_error(task, held))


@dataclass(frozen=True)
class Checkpoint:
    """Measurements of one checkpoint; where no panel is measured, `panel` is None and `kept` is empty.

    rounding: equivariance error due to rounding and interpolation, by term, `weighted` last.
    kept: twisted predictions of the first samples of the panel.
    whole: inner products and rounding error under all rotations; None if `held` is that.
    """

    held: Products
    rounding: Float[Array, " term"]
    metrics: dict[str, float]
    degrees: DegreeUse | None
    panel: tuple[Products, LieError | None] | None
    kept: list[Float[Array, "kept rotation component"]]
    whole: tuple[Products, Float[Array, " term"]] | None


def measure_checkpoint(evaluation: Evaluation, exact: Callable, design: Design, settings: TwirlSettings) -> Checkpoint:
    """Checks model and task on a few samples, then measures the checkpoint.

    Args:
        evaluation: the model in its working precision.
        exact: the same model in float64, on the CPU.

    Raises:
        UserError: measurements of this model or task would be wrong.
    """
    rows = rows_of(evaluation, design.held) if design.full_batch else 0
    check_evaluation(evaluation, design.held.index, design.held.quaternion, rows)
    panel = design.panel
    with part(0, HELD_OUT):
        held = measure_heldout(evaluation, design.held)
    return Checkpoint(
        held,
        rounding_error(evaluation, exact, design.held) + design.interpolation,
        metrics(evaluation, design.index[FIRST]),
        measure_degrees(evaluation, design.index),
        None if panel is None else _measure_panel(evaluation, panel),
        [] if panel is None else kept_predictions(evaluation, panel, settings),
        None if design.whole is None else _measure_whole(evaluation, exact, *design.whole),
    )


def _measure_panel(evaluation: Evaluation, panel: Panel) -> tuple[Products, LieError | None]:
    """Inner products of the panel, and its Lie-derivative error, as the second part of the progress."""
    with part(HELD_OUT, 1):
        return measure_panel(evaluation, panel)


def _measure_whole(
    evaluation: Evaluation, exact: Callable, task: Task, held: Heldout, interpolation: Float[Array, " term"]
) -> tuple[Products, Float[Array, " term"]]:
    """Inner products and rounding error under all rotations."""
    evaluation = replace(evaluation, task=task)
    return measure_heldout(evaluation, held), rounding_error(evaluation, exact, held) + interpolation


def rows_of(evaluation: Evaluation, held: Heldout) -> int:
    """Samples in one forward pass of the measurement of the held-out samples."""
    return min(evaluation.chunk, len(held.index) * held.quaternion.shape[1])


def rounding_error(evaluation: Evaluation, exact: Callable, held: Heldout) -> Float[Array, " term"]:
    """Equivariance error of rounding, on a few samples: that of z in the working precision against float64."""
    task, where = evaluation.task, (evaluation.device, evaluation.dtype)
    few, rotation = balanced(task.batch(held.index[ROUNDED])), so3.matrix(held.quaternion[ROUNDED, 0])
    with torch.no_grad():
        precise = twisted(exact, task, few.to("cpu", torch.float64), rotation)
        single = twisted(evaluation.model, task, few.to(*where), rotation.to(*where))
    error = {t.name: single[t.name].double().cpu() - precise[t.name] for t in task.terms}
    return _mean_squares(task, error, few.weights)


def interpolation_error(task: Task, held: Heldout) -> Float[Array, " term"]:
    """Equivariance error of interpolated fields, on a few samples; 0 up to rounding where nothing is interpolated.

    It is the difference between the target of the rotated sample, rotated back, and the target.
    """
    batch, rotation = balanced(task.batch(held.index[FIRST])), so3.matrix(held.quaternion[FIRST, 0])
    batch = batch.to("cpu", torch.float64)
    right = task.rotate(batch, rotation).targets
    error = {t.name: action.twist(t.irreps, rotation, right[t.name]) - batch.targets[t.name] for t in task.terms}
    return _mean_squares(task, error, batch.weights)


def _mean_squares(task: Task, error: dict[str, Tensor], weights: dict[str, Tensor]) -> Float[Array, " term"]:
    """Mean square of an error over the samples, by term, `weighted` last."""
    squares = [inner(error[t.name], error[t.name], weights[t.name].double()).mean().item() for t in task.terms]
    return np.array([*squares, np.dot([t.weight for t in task.terms], squares)])


def checkpoints_dataset(
    evaluation: Evaluation,
    steps: Sequence[int],
    design: Design,
    measured: Sequence[Checkpoint],
    settings: TwirlSettings,
) -> xr.Dataset:
    """Dataset of the measurements of all checkpoints and of the statistics derived from them.

    Args:
        evaluation: of any checkpoint; its model names the modules whose activations are measured.
    """
    result = heldout_dataset(evaluation.task, steps, design.held, [m.held for m in measured])
    result["loss_equiv_floor"] = (("step", "term"), np.stack([m.rounding for m in measured]))
    result = summarise(result, settings).merge(metrics_dataset([m.metrics for m in measured]))
    activations = list(evaluation.model.activations)
    degrees = degrees_dataset(activations, [m.degrees for m in measured], design.held.cluster[:MAX_SAMPLES])
    result = result.merge(degrees)
    if design.whole is not None:
        result = result.assign(_whole(design, steps, measured, settings))
    with_panel = [i for i, m in enumerate(measured) if m.panel is not None]
    if design.panel is None or not with_panel:
        return result
    panels = _panels(result.isel(step=with_panel), design.panel, [measured[i] for i in with_panel], settings)
    return result.merge(panels, join="outer", combine_attrs="no_conflicts")


def _whole(
    design: Design, steps: Sequence[int], measured: Sequence[Checkpoint], settings: TwirlSettings
) -> dict[str, xr.Variable]:
    """Losses under all rotations, by name, `so3_` before each."""
    task, held, _ = design.whole
    found = summarise(heldout_dataset(task, steps, held, [m.whole[0] for m in measured]), settings)
    found["loss_equiv_floor"] = (("step", "term"), np.stack([m.whole[1] for m in measured]))
    names = (f"{name}{end}" for name in (*SPLIT, "percent_equiv") for end in ("", "_low", "_high"))
    kept = (*names, "loss_equiv_floor", *(f"sample_{name}" for name in SPLIT))
    return {f"so3_{name}": found[name].variable for name in kept}


def _panels(result: xr.Dataset, panel: Panel, measured: Sequence[Checkpoint], settings: TwirlSettings) -> xr.Dataset:
    """Dataset of the panel at the checkpoints of `result`, and of the statistics derived from it."""
    found = panel_dataset(panel, [m.panel for m in measured]).assign_coords(step=result["step"], term=result["term"])
    if kept := [k for m in measured for k in m.kept]:
        found["panel_prediction"] = (("step", "kept", "panel_rotation", "component"), np.stack(kept))
    found = summarise_panel(found, panel, settings)
    found["panel_gram"] = found["panel_gram"].astype(np.float32)  # the largest array; single precision is enough
    return found


def measure_last_checkpoint(
    evaluation: Evaluation, data: xr.Dataset, result: xr.Dataset, design: Design, settings: TwirlSettings
) -> xr.Dataset:
    """Measurements of the last checkpoint only: slices, test sets, test-time twirling, generated samples."""
    found = [slices(evaluation, design.index[: settings.kept]), measure_test_sets(evaluation, data, settings)]
    if design.panel is not None:
        measured = measured_losses(evaluation, design.panel, settings)
        found.append(twirling_losses(result, design.panel, settings, measured))
        found.append(measure_frames(evaluation, design.panel.index, settings, design.panel.cluster))
    generated = evaluation.task.generate(evaluation.model, evaluation.device)
    return xr.merge(found if generated is None else [*found, generated], combine_attrs="no_conflicts")

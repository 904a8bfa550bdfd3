"""Stage `twirl`: every checkpoint measured on the held-out split, with the same samples and rotations.

Stored are the Gram matrices of twisted predictions, from which every number follows without running a model again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Callable, Float, Int
from ..contracts import split_index
from ..errors import UserError
from ..geometry import action, so3
from ..losses import inner
from ..runtime import precision
from ..runtime.devices import device_of
from ..runtime.progress import Progress
from ..settings.twirl import TwirlSettings
from ..storage import store
from ..storage.arrays.twirl import TWIRL
from ..training.checkpoints import Trained
from ..twirling.activation_degrees import degrees_dataset, measure_degrees
from ..twirling.frame_averaging import measure_frames
from ..twirling.heldout import Heldout, drawn, heldout_dataset, heldout_of, measure_heldout, summarise
from ..twirling.measure import FEW, refuse
from ..twirling.other_splits import measure_sets
from ..twirling.panel import Panel, kept_predictions, measure_panel, panel_dataset, panel_of, plan, summarise_panel
from ..twirling.prediction_metrics import merits, merits_dataset, slices
from ..twirling.twisting import twisted
from .gather import Share


@precision.float32()
def twirl(train: Path, data: Path, out: Path, settings: TwirlSettings, share: Share | None = None) -> None:
    """Measure all checkpoints of a run, or the share of one job, and write `twirl.zarr.zip`.

    Two passes: few independent rotations on the whole held-out set, for the losses; many on a fixed panel, for the
    spectrum. Models and tasks with which that would be wrong are refused before the first number. What is looked at in
    the last checkpoint alone is left to the job whose share it is in.

    Raises:
        UserError: a checkpoint is missing or damaged, the data have no such split, or the model is refused.
    """
    run = Trained(train, data)
    device, index = device_of(settings.device), _samples(run.samples, settings)
    held = heldout_of(run.task, index, settings)
    panel = panel_of(index, settings, run.task.group) if min(settings.panel, len(index)) > 1 else None
    steps = (share or Share()).of(run.steps)
    progress = Progress("twirl", len(steps), "checkpoint")
    measured, floors, goods, degrees, panels, kept = [], [], [], [], [], []
    for step in steps:
        model = run.model(step).to(device)
        refuse(model, run.task, held, device)
        measured.append(measure_heldout(model, run.task, held, settings, device))
        floors.append(_floor(run, step, held, device))
        goods.append(merits(model, run.task, index[:FEW], device))
        degrees.append(measure_degrees(model, run.task, index, device))
        if panel is not None:
            panels.append(measure_panel(model, run.task, panel, settings, device))
            kept += kept_predictions(model, run.task, panel, settings, device)
        progress.advance(f"step {step}")
    progress.close()
    result = heldout_dataset(run.task, steps, held, measured)
    result["loss_equiv_floor"] = (("step", "term"), np.stack(floors))
    result = summarise(result, settings).assign_attrs(_attributes(run, settings, len(index), device))
    result = result.merge(merits_dataset(goods)).merge(degrees_dataset(list(model.activations), degrees))
    if panel is not None:
        result = result.merge(_panelled(result, panel, panels, kept, settings), combine_attrs="no_conflicts")
    if steps[-1] == run.steps[-1]:
        last = _of_last(result, model, run, index, panel, settings, device)
        result = result.merge(last, combine_attrs="no_conflicts")
    store.save(result, out, TWIRL)


def _panelled(result: xr.Dataset, panel: Panel, panels: list, kept: list, settings: TwirlSettings) -> xr.Dataset:
    """What was measured on the panel at every checkpoint, and what follows from it."""
    found = panel_dataset(panel, panels).assign_coords(step=result["step"], term=result["term"])
    if kept:
        found["panel_prediction"] = (("step", "kept", "panel_rotation", "component"), np.stack(kept))
    found = summarise_panel(found, panel, settings)
    found["panel_gram"] = found["panel_gram"].astype(np.float32)  # the largest array; single precision is enough
    return found


def _of_last(
    result: xr.Dataset, model: Callable, run: Trained, index: Array, panel: Panel | None, settings, device: str
) -> xr.Dataset:
    """What is measured at the last checkpoint alone: slices, test sets, test-time twirling, what the model makes."""
    found = [slices(model, run.task, index[: settings.kept], device)]
    found.append(measure_sets(model, run.task, run.samples, settings, device))
    if panel is not None:
        found.append(plan(model, run.task, result, panel, settings, device))
        found.append(measure_frames(model, run.task, panel.index, settings, device))
    made = run.task.generate(model, device)
    return xr.merge(found if made is None else [*found, made], combine_attrs="no_conflicts")


def _samples(data: xr.Dataset, settings: TwirlSettings) -> Int[Array, " sample"]:
    """The samples that are measured, ascending."""
    try:
        return drawn(split_index(data, settings.split), settings)
    except ValueError as error:
        raise UserError("twirl.split", "a split of the data", repr(settings.split)) from error


def _floor(run: Trained, step: int, held: Heldout, device: str) -> Float[Array, " term"]:
    """Equivariance error that is none of the model's, on a few samples: of rounding, and of turning itself.

    Rounding is the float32 error of z against float64. Turning has an error where fields are interpolated: what the
    right answer for the turned sample lacks of the right answer when it is turned back.
    """
    few, task = slice(0, FEW), run.task
    batch = task.batch(held.index[few])
    rotation, double = so3.matrix(held.quaternion[few, 0]), batch.to("cpu", torch.float64)
    with torch.no_grad():
        exact = twisted(run.model(step, torch.float64), task, double, rotation)
        single = twisted(run.model(step).to(device), task, batch.to(device), rotation.to(device, torch.float32))
        right = task.rotate(double, rotation).targets
    floors = []
    for t in task.terms:
        rounding = single[t.name].double().cpu() - exact[t.name]
        turning = action.twist(t.irreps, rotation, right[t.name]) - double.targets[t.name]
        floors.append(sum(inner(e, e, double.weights[t.name]).mean().item() for e in (rounding, turning)))
    return np.array([*floors, np.dot([t.weight for t in task.terms], floors)])


def _attributes(run: Trained, settings: TwirlSettings, samples: int, device: str) -> dict:
    """What a reader of the store needs to know beside the numbers."""
    words = ("scale", "unit", "loss", "weight", "irreps")
    terms = {f"{word}_{t.name}": getattr(t, word) for t in run.task.terms for word in words}
    if run.task.covariate is not None:
        terms["covariate"] = run.task.covariate[1]
    return {
        "group": run.task.group,
        "rotations": settings.rotations,
        "reflections": settings.reflections if run.task.reflections else 0,
        "samples": samples,
        "split": settings.split,
        "draws": settings.draws,
        "trivial_below": settings.trivial_below,
        **precision.attributes("float32", device),
        "settings": json.dumps(settings.model_dump()),
        "labels": run.labels,
        **terms,
    }

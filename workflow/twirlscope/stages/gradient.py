"""Stage `gradient`: gradients of both parts of the loss at checkpoints, and the share of the update spent on each.

Samples and rotations are drawn once and are the same for all checkpoints, so that differences are paired.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Float, Int, Sequence, Tensor
from ..contracts import Evaluation
from ..curvature import gradients, nearest_symmetric
from ..curvature.gradient_check import certify_gradient
from ..curvature.gradients import Update
from ..curvature.objective import Objective
from ..geometry.rotation_sets import sample_rotations
from ..losses import balanced
from ..runtime import precision
from ..runtime.devices import device_of
from ..runtime.progress import Progress, part, say_found
from ..settings.gradient import GradientSettings
from ..settings.steps import chosen_steps, evenly_spaced
from ..storage import store
from ..storage.arrays.gradient import GRADIENT
from ..training.checkpoints import Job, Trained
from ..twirling.checks.model_and_task import CHECKED, check_batch, check_evaluation
from .gather import Share

CERTIFICATE_SAMPLES = 2  # on which gradients are certified at every checkpoint; of two, one may be padded


@precision.float32()
def gradient(
    train: Path, data: Path, out: Path, settings: GradientSettings, share: Share | None = None, job: Job | None = None
) -> None:
    """Measure the chosen checkpoints of a run, or the share of one job, and write `gradient.zarr.zip`.

    Gradients are taken at the weights of the checkpoint, which are the EMA where the run has one. The update is that of
    the weights that the optimiser changed, in the step that led to the checkpoint. Its products are with the gradients
    halfway through it. Every checkpoint is certified first, in float64 on a few samples.

    Raises:
        UserError: a refused model or task, a wrong gradient, a number that is not finite, no such checkpoint or split.
    """
    run = Trained(train, data, job)
    index = gradients.choose_batches(run.split(settings.split, "gradient.split"), settings)
    quaternion = sample_rotations("independent", index.size, settings.rotations, settings.seed, run.task.group)
    quaternion = quaternion.reshape(*index.shape, settings.rotations, 4)
    device, dtype = "cuda" if device_of(settings.device) == "cuda" else "cpu", getattr(torch, settings.dtype)
    chosen = chosen_steps(run.steps, [], settings.checkpoints, "gradient")
    steps, found, descents = (share or Share()).of(chosen), [], {}
    searched, flat = evenly_spaced(chosen, settings.nearest), run.task.batch(index.ravel())
    check_batch(run.task, flat)
    flat = balanced(flat)
    with Progress("gradient", len(steps), "checkpoint") as progress:
        for step in steps:
            model = run.model(step, dtype).to(device)
            evaluation = Evaluation(model, run.task, device, dtype, settings.chunk)
            _check(evaluation, index.ravel()[:CHECKED], quaternion.flatten(0, 1)[:CHECKED])
            update = Update(run.update(step), run.halfway(step, dtype).to(device)) if step else None
            with part(0, 0.5 if step in searched else 1):
                found.append(gradients.measure(evaluation, index, quaternion, settings, update, step))
            if step in searched:
                objective = Objective(model, run.task, flat, quaternion.flatten(0, 1), settings.chunk, unbiased=True)
                descents[step] = _search(objective, step, settings)
            progress.advance(f"step {step}")
    result = merged(found, steps).assign(nearest_symmetric.columns(descents, steps) if searched else {})
    store.save(result.assign_attrs(_attributes(run, index.size, settings, device)), out, GRADIENT)
    say_found(finding(result))


def _check(
    evaluation: Evaluation, index: Int[Array, " sample"], quaternion: Float[Tensor, "sample rotation 4"]
) -> None:
    """Refuse a checkpoint, on a few samples, whose measurement would be wrong, or its gradients."""
    check_evaluation(evaluation, index, quaternion, rows=quaternion.shape[1] * evaluation.chunk)
    some = slice(CERTIFICATE_SAMPLES)
    pair = evaluation.task.batch(index[some]), quaternion[some]
    certify_gradient(Objective(evaluation.model, evaluation.task, *pair, unbiased=True))


def _search(objective: Objective, step: int, settings: GradientSettings) -> nearest_symmetric.Descent:
    """Search for the nearest more symmetric parameters from a checkpoint, the second part of its progress."""
    with part(0.5, 1):
        found = nearest_symmetric.descend(objective, settings.nearest_share, settings.nearest_steps)
    print(f"nearest: step {step}, {found.share_left:.2g} of the error left", flush=True)
    return found


def finding(result: xr.Dataset) -> str:
    """Norm of the gradient of the equivariance error over that of the twirled prediction error, in words."""
    last = result["gradient_norm_ratio"].sel(layer="whole").isel(step=-1)
    ratio = "unknown, lost in noise" if np.isnan(last) else f"{float(last):.3g}"
    return f"gradient norm, equivariance over twirled prediction error: {ratio}, after {int(last['step']):,} updates"


def _attributes(run: Trained, samples: int, settings: GradientSettings, device: str) -> dict:
    """Attributes of the store: settings, samples, precision, device."""
    return {
        "samples": samples,
        "batches": settings.batches,
        "rotations": settings.rotations,
        "split": settings.split,
        "weights": "moving average" if run.averaged else "as trained",
        **precision.attributes(settings.dtype, device),
        "labels": run.labels,
        "settings": json.dumps(settings.model_dump()),
        **run.made_from("gradient", settings),
    }


def merged(found: Sequence[xr.Dataset], steps: Sequence[int]) -> xr.Dataset:
    """The datasets of all checkpoints as one."""
    result = xr.concat(found, "step", data_vars="all").assign_coords(step=np.array(steps, np.int64))
    return result.assign(layer_parameters=result["layer_parameters"].isel(step=0))

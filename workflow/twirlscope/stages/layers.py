"""Stage `layers`: how features of every layer rotate, and where the equivariance error is made, at some checkpoints.

Samples and rotations are the same for all checkpoints, so that differences are paired.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ..contracts import Evaluation
from ..runtime import precision
from ..runtime.devices import device_of
from ..runtime.progress import Progress, say_found
from ..settings.layers import LayersSettings
from ..settings.steps import chosen_steps
from ..storage import store
from ..storage.arrays.layers import LAYERS
from ..training.checkpoints import Job, Trained
from ..twirling.checks.model_and_task import check_batch
from ..twirling.layers.design import design_of
from ..twirling.layers.measure import layers_dataset
from .gather import Share


@precision.float32()
def layers(
    train: Path, data: Path, out: Path, settings: LayersSettings, share: Share | None = None, job: Job | None = None
) -> None:
    """Measure the chosen checkpoints of a run, or the share of one job, and write `layers.zarr.zip`.

    Raises:
        UserError: the model has no such modules or no forward-mode derivatives, its samples are grids, there are too
            few samples, a checkpoint is missing, or the data have no such split.
    """
    run = Trained(train, data, job)
    index = run.split(settings.split, "layers.split")
    cluster = run.samples["cluster"].values[index] if "cluster" in run.samples else None
    design = design_of(run.task, index, settings, cluster)
    check_batch(run.task, run.task.batch(design.index))
    device = "cuda" if device_of(settings.device) == "cuda" else "cpu"
    chosen = chosen_steps(run.steps, settings.steps, settings.checkpoints, "layers")
    steps, found = (share or Share()).of(chosen), []
    with Progress("layers", len(steps), "checkpoint") as progress:
        for step in steps:
            model = run.model(step, torch.float64).to(device)
            evaluation = Evaluation(model, run.task, device, torch.float64, settings.chunk)
            found.append(layers_dataset(evaluation, design, settings))
            progress.advance(f"step {step}")
    result = xr.concat(found, "step", data_vars="all").assign_coords(step=np.array(steps, np.int64))
    result["feature_components"] = result["feature_components"].isel(step=0)
    attributes = {
        "samples": len(design.index),
        "split": settings.split,
        "tolerance": settings.tolerance,
        **precision.attributes("float64", device),
        "settings": json.dumps(settings.model_dump()),
        **run.made_from("layers", settings),
        "labels": run.labels,
    }
    store.save(result.assign_attrs(attributes), out, LAYERS)
    say_found(finding(result))


def finding(result: xr.Dataset) -> str:
    """The steerable vectors of all features at the last checkpoint, in words."""
    vectors = float(result["feature_multiplicity"].isel(step=-1).sel(degree=1).sum())
    step, features = int(result["step"][-1]), result.sizes["feature"]
    return f"{vectors:.0f} steerable vectors in {features} features after {step:,} updates"

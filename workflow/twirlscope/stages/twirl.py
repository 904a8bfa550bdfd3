"""Stage `twirl`: every checkpoint measured on the held-out split, with the same samples and rotations.

Stored are the Gram matrices of twisted predictions, from which every number follows without running a model again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ..contracts import Evaluation
from ..estimators.loss_split import ROUNDING
from ..runtime import precision
from ..runtime.devices import device_of
from ..runtime.progress import Progress, inside, part, say_found
from ..settings.twirl import TwirlSettings
from ..storage import store
from ..storage.arrays.twirl import TWIRL
from ..training.checkpoints import Job, Trained
from ..twirling.checkpoint import checkpoints_dataset, design_of, measure_checkpoint, measure_last_checkpoint
from ..twirling.heldout import Heldout, choose_samples
from ..twirling.panel import panel_steps
from .gather import Share


@precision.float32()
def twirl(
    train: Path, data: Path, out: Path, settings: TwirlSettings, share: Share | None = None, job: Job | None = None
) -> None:
    """Measure all checkpoints of a run, or the share of one job, and write `twirl.zarr.zip`.

    Two passes: few independent rotations on the whole held-out set, for the losses; many on a fixed panel, for the
    spectrum, at `twirl.panel_checkpoints` of the checkpoints. Models and tasks with which that would be wrong are
    refused before the first number. Test sets and test-time averaging are measured at the last checkpoint alone, by the
    job whose share it is in.

    Raises:
        UserError: a checkpoint is missing or damaged, the data have no such split, or the model is refused.
    """
    run = Trained(train, data, job)
    device, index = device_of(settings.device), choose_samples(run.split(settings.split, "twirl.split"), settings)
    design = design_of(run.task, index, settings, run.samples["cluster"].values[index])
    steps, measured = (share or Share()).of(run.steps), []
    spectra, ends = panel_steps(run.steps, settings), (run.steps[0], run.steps[-1])
    last = run.steps[-1]
    with Progress("twirl", len(steps), "checkpoint") as progress:
        for step in steps:
            evaluation = Evaluation(run.model(step).to(device), run.task, device, chunk=settings.chunk)
            with part(0, 0.5 if step == last else 1):
                chosen = replace(design, panel=design.panel if step in spectra else None, full_batch=step in ends)
                measured.append(measure_checkpoint(evaluation, run.model(step, torch.float64), chosen, settings))
            if step != last:
                progress.advance(f"step {step}")
        result = checkpoints_dataset(evaluation, steps, design, measured, settings)
        result = result.assign_attrs(_attributes(run, settings, design.held, device))
        if steps[-1] == last:
            inside(1, 2, f"step {last}, test sets and averaging")
            with part(0.5, 1):
                found = measure_last_checkpoint(evaluation, run.samples, result, design, settings)
            result = result.merge(found, combine_attrs="no_conflicts")
            progress.advance(f"step {last}")
    store.save(result, out, TWIRL)
    say_found(finding(result))


def finding(result: xr.Dataset) -> str:
    """The equivariance error at the last checkpoint as a share of the primary term of the loss, in words."""
    term = next((str(t) for t in result["term"].values if t != "weighted"), "weighted")
    last = result.sel(term=term).isel(step=-1)
    after = f"after {int(last['step']):,} updates"
    if float(last["loss_equiv"]) < ROUNDING * float(last["loss_equiv_floor"]):
        return f"equivariant up to rounding error {after}"
    percent = f"{float(last['percent_equiv']):.3g} % of the loss ({term}) is equivariance error {after}"
    return f"{percent}; not yet learned" if bool(last["trivial"]) else percent


def _attributes(run: Trained, settings: TwirlSettings, held: Heldout, device: str) -> dict:
    """Attributes of the store: settings, samples, clusters, precision, device."""
    words = ("scale", "unit", "loss", "weight", "irreps")
    terms = {f"{word}_{t.name}": getattr(t, word) for t in run.task.terms for word in words}
    if run.task.covariate is not None:
        terms["covariate"] = run.task.covariate[1]
    return {
        "group": run.task.group,
        "rotations": settings.rotations,
        "reflections": settings.reflections if run.task.reflections else 0,
        "samples": len(held.index),
        "clusters": len(np.unique(held.cluster)),
        "split": settings.split,
        "resamples": settings.resamples,
        "trivial_below": settings.trivial_below,
        **precision.attributes("float32", device),
        "settings": json.dumps(settings.model_dump()),
        **run.made_from("twirl", settings),
        "labels": run.labels,
        **terms,
    }

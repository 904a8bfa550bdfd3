"""Stage `hessian`: the spectra of the curvature of both parts of the loss, at a few checkpoints.

Samples, rotations and probes are the same for all parts, curvatures and checkpoints, so that differences are paired. A
finished checkpoint is kept aside until all are, in a folder named after settings, code, weights, data and device. A job
that was killed goes on with the next checkpoint, and resumes only from results of identical settings, code and weights.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ..contracts import Evaluation
from ..curvature import spectra
from ..curvature.problem import Problem, choose_samples, freeze_outside, problem_of
from ..runtime import precision
from ..runtime.devices import hardware
from ..runtime.identity import locked, short_hash
from ..runtime.progress import Progress, say_found
from ..settings.hessian import HessianSettings
from ..settings.steps import chosen_steps
from ..storage import store
from ..storage.arrays.hessian import HESSIAN
from ..storage.concatenation import concatenated_steps
from ..training.checkpoints import Job, Trained
from ..twirling.checks.model_and_task import check_batch, check_evaluation
from .gather import Share

PARTS = (("mean_plugin", "mean"), ("equiv",))  # names of the two parts of the loss in a store


@precision.float32()
def hessian(
    train: Path, data: Path, out: Path, settings: HessianSettings, share: Share | None = None, job: Job | None = None
) -> None:
    """Measure the chosen checkpoints of a run, or the share of one job, and write `hessian.zarr.zip`.

    Every checkpoint is certified first, in float64 on a few samples.

    Args:
        train: `train.zarr.zip` of the run.
        data: the prepared dataset.
        out: `hessian.zarr.zip`, written last and whole.
        share: of the checkpoints; all if left out.
        job: keys of the task, and the hash of the code.

    Raises:
        UserError: the model or task is refused, derivatives of the model are wrong or not finite, a checkpoint is
            missing, the data have no such split, or the basis does not fit into the memory allowed.
    """
    run = Trained(train, data, job)
    steps = (share or Share()).of(chosen_steps(run.steps, settings.steps, settings.checkpoints, "hessian"))
    problem = _problem(run, steps[0], settings)
    record = run.made_from("hessian", settings)
    identity = record | {"torch": torch.__version__, "device": hardware(problem.device)}
    folder = out.with_name(out.name.removesuffix(".zarr.zip")) / short_hash(identity)
    with locked(folder):
        kept = []
        with Progress("hessian", len(steps), "checkpoint") as progress:
            for step in steps:
                kept.append(_checkpoint(run, step, problem, folder))
                progress.advance(f"step {step}")
        result = concatenated_steps([store.load(path) for path in kept])
        about = _attributes(problem) | {"labels": run.labels} | record
        store.save(result.assign_attrs(about), out, HESSIAN)
    shutil.rmtree(folder.parent)
    say_found(finding(result))


def finding(result: xr.Dataset) -> str:
    """The largest eigenvalues of the Hessians of both parts of the loss at the last checkpoint, in words."""
    top = result["eigenvalue_top"].sel(curvature="hessian").isel(step=-1, rank=0)
    mean, equiv = (float(top.sel(part=next(p for p in names if p in top["part"]))) for names in PARTS)
    after = f"after {int(top['step']):,} updates"
    return (
        f"largest eigenvalue {mean:.3g} of the twirled prediction error, {equiv:.3g} of the equivariance error {after}"
    )


def _problem(run: Trained, step: int, settings: HessianSettings) -> Problem:
    """Random samples of the split, from different clusters if possible, and the size of the block of parameters."""
    known = run.split(settings.split, "hessian.split")
    cluster = run.samples["cluster"].values if "cluster" in run.samples else np.arange(run.samples.sizes["sample"])
    index = choose_samples(known, settings, cluster[known])
    model = run.model(step)
    freeze_outside(model, settings.block)
    size = sum(p.numel() for p in model.parameters() if p.requires_grad)
    problem = problem_of(run.task, index, size, settings, cluster[index], known)
    last = chosen_steps(run.steps, settings.steps, settings.checkpoints, "hessian")[-1]
    return replace(problem, landscape_step=last if settings.landscape else None)


def _checkpoint(run: Trained, step: int, problem: Problem, folder: Path) -> Path:
    """Certificate and spectra of one checkpoint, in a store of its own, kept aside."""
    path = folder / f"step{step:09d}.zarr.zip"
    if path.exists():
        print(f"step {step}: found finished in {folder}", flush=True)
    else:
        model = run.model(step, torch.float64).to(problem.device)
        freeze_outside(model, problem.settings.block)
        spectra.require_finite(model, problem, step)  # its error names sample, rotation and step
        check_batch(problem.task, problem.batch)
        exact = Evaluation(model, problem.task, problem.device, torch.float64)
        check_evaluation(exact, problem.index, problem.quaternion)
        store.save(spectra.measure(model, problem, step), path, HESSIAN)
    return path


def _attributes(problem: Problem) -> dict:
    """Attributes of the store: settings, samples, precision, device."""
    settings, basis = problem.settings, problem.basis
    lanczos = (
        {}
        if basis is None
        else {
            "probes": basis.probes,
            "lanczos_steps": settings.lanczos_steps,
            "basis_dtype": str(basis.dtype).removeprefix("torch."),
        }
    )
    return lanczos | {
        "samples": len(problem.batch),
        "clusters": len(np.unique(problem.cluster)),
        "block": settings.block,
        "exact": problem.exact,
        "sample_index": problem.index.tolist(),
        "split": settings.split,
        "rotations": problem.quaternion.shape[1],
        "rotation_set": settings.rotation_set,
        **precision.attributes(settings.dtype, problem.device),
        "settings": json.dumps(settings.model_dump()),
    }

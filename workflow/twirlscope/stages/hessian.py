"""Stage `hessian`: the spectra of the curvature of both parts of the loss, at a few checkpoints.

Samples, rotations and probes are the same for all parts, curvatures and checkpoints, so that differences are paired. A
finished checkpoint is kept aside until all are, in a folder named by everything that shapes it: a job that was killed
goes on with the next one, and never with what other settings, code or weights have left.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Int
from ..contracts import split_index
from ..curvature.derivative_check import certify
from ..curvature.lanczos import fitting_basis
from ..curvature.spectra import GB, Problem, dataset, require_finite, spectra
from ..errors import UserError
from ..geometry.rotation_sets import sample_rotations
from ..runtime import precision
from ..runtime.devices import device_of, hardware
from ..runtime.identity import identity_of, locked, sha256, short_hash
from ..runtime.progress import Progress
from ..settings.hessian import HessianSettings, chosen_steps
from ..storage import store
from ..storage.arrays.hessian import HESSIAN
from ..storage.concatenation import concatenated_steps
from ..training.checkpoints import Trained
from .gather import Share


@precision.float32()
def hessian(
    train: Path, data: Path, out: Path, settings: HessianSettings, code: str, share: Share | None = None
) -> None:
    """Measure the chosen checkpoints of a run, or the share of one job, and write `hessian.zarr.zip`.

    Every checkpoint is certified first, in float64 on a few samples.

    Args:
        train: `train.zarr.zip` of the run.
        data: the prepared dataset.
        out: `hessian.zarr.zip`, written last and whole.
        code: hash of the code that shapes the result.
        share: of the checkpoints; all if left out.

    Raises:
        UserError: derivatives of the model are wrong or not finite, a checkpoint is missing, the data have no such
            split, or the basis does not fit into the memory allowed.
    """
    run = Trained(train, data)
    steps = (share or Share()).of(chosen_steps(run.steps, settings))
    problem = _problem(run, settings, steps[0])
    shaping = {"settings": settings.model_dump(), "code": code, "train": sha256(train), "data": sha256(data)}
    identity = identity_of(shaping | {"torch": torch.__version__, "device": hardware(problem.device)})
    folder = out.with_name(out.name.removesuffix(".zarr.zip")) / short_hash(identity)
    progress = Progress("hessian", len(steps), "checkpoint")
    with locked(folder):
        kept = [_checkpoint(run, step, problem, folder, progress) for step in steps]
        progress.close()
        result = concatenated_steps([store.load(path) for path in kept])
        store.save(result.assign_attrs(_attributes(problem) | {"labels": run.labels}), out, HESSIAN)
    shutil.rmtree(folder.parent)


def _problem(run: Trained, settings: HessianSettings, step: int) -> Problem:
    """What all checkpoints have in common; any of them says how many parameters there are."""
    index = _samples(run.samples, settings)
    quaternion = sample_rotations(settings.rotation_set, len(index), settings.rotations, settings.seed, run.task.group)
    device = "cuda" if device_of(settings.device) == "cuda" else "cpu"  # others have no float64
    size = sum(p.numel() for p in run.model(step).parameters() if p.requires_grad)
    wanted = getattr(torch, settings.basis_dtype)
    basis = fitting_basis(size, settings.probes, settings.lanczos_steps, wanted, settings.basis_memory * GB)
    text = f"basis: {basis.probes} probes x {settings.lanczos_steps} steps x {size} parameters in {basis.dtype}"
    less = "" if (basis.probes, basis.dtype) == (settings.probes, wanted) else ", less than asked for to fit the memory"
    print(f"{text}, {basis.bytes / GB:.3g} GB of {settings.basis_memory:g} GB{less}", flush=True)
    return Problem(run.task, run.task.batch(index), index, quaternion, settings, device, basis)


def _samples(data: xr.Dataset, settings: HessianSettings) -> Int[Array, " sample"]:
    """The samples in the loss, ascending."""
    try:
        index = split_index(data, settings.split)
    except ValueError as error:
        raise UserError("hessian.split", "a split of the data", repr(settings.split)) from error
    count = min(settings.samples, len(index))
    return np.sort(np.random.default_rng(settings.seed).choice(index, count, replace=False))


def _checkpoint(run: Trained, step: int, problem: Problem, folder: Path, progress: Progress) -> Path:
    """Certificate and spectra of one checkpoint, in a store of its own."""
    path, settings = folder / f"step{step:09d}.zarr.zip", problem.settings
    if path.exists():
        print(f"step {step}: found finished in {folder}", flush=True)
    else:
        model = run.model(step, torch.float64).to(problem.device)
        dtype = getattr(torch, settings.dtype)
        require_finite(model, problem, step)
        few = slice(0, settings.certificate_samples)
        certificate = certify(
            model,
            run.task,
            problem.batch.map(lambda t: t[few]),
            problem.quaternion[few],
            dtype=dtype,
            unbiased=settings.rotation_set == "independent",
            seed=settings.seed,
        )
        found = spectra(model.to(dtype), problem, step, certificate)
        data = dataset(found, certificate, problem, step)
        store.save(data.assign_attrs(product_mode=certificate.mode), path, HESSIAN)
    progress.advance(f"step {step}")
    return path


def _attributes(problem: Problem) -> dict:
    """What a reader of the store needs to know beside the numbers."""
    settings = problem.settings
    return {
        "samples": len(problem.batch),
        "sample_index": problem.index.tolist(),
        "split": settings.split,
        "rotations": problem.quaternion.shape[1],
        "rotation_set": settings.rotation_set,
        "probes": problem.basis.probes,
        "lanczos_steps": settings.lanczos_steps,
        "basis_dtype": str(problem.basis.dtype).removeprefix("torch."),
        **precision.attributes(settings.dtype, problem.device),
        "settings": json.dumps(settings.model_dump()),
    }

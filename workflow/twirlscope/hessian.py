"""Stage `hessian`: the spectra of the Hessians of both parts of the loss, at a few checkpoints.

Samples, rotations and probes are the same for both parts and all checkpoints, so that differences are paired.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from . import store
from .certificate import Certificate, certify
from .checkpoints import Trained
from .contracts import Batch, split_index
from .curvature import PARTS, Objective, rotations
from .errors import UserError
from .hints import Array, Float, Int, Sequence, Tensor
from .lanczos import Spectrum, lanczos, rademacher
from .operators import operator
from .provenance import Progress, device_of, hardware
from .settings.hessian import HessianSettings

GB = 1e9


def hessian(train: Path, data: Path, out: Path, settings: HessianSettings) -> None:
    """Measure the chosen checkpoints of a run and write `hessian.zarr.zip`.

    Every checkpoint is certified first, in float64 on a few samples.

    Raises:
        UserError: derivatives of the model are wrong, a checkpoint is missing, or the data have no such split.
    """
    run = Trained(train, data)
    index = _samples(store.load(data), settings)
    batch = run.task.batch(index)
    quaternion = rotations(settings.rotation_set, len(index), settings.rotations, settings.seed)
    device = "cuda" if device_of(settings.device) == "cuda" else "cpu"  # others have no float64
    steps, found = chosen_steps(run.steps, settings), []
    progress = Progress("hessian", len(steps), "checkpoint")
    for step in steps:
        found.append(_checkpoint(run, step, batch, quaternion, settings, device))
        progress.advance(f"step {step}")
    progress.close()
    result = xr.concat(found, "step", join="outer").assign_coords(step=np.array(steps, np.int64))
    result["parameters"] = result["parameters"].isel(step=0, drop=True)
    about = _attributes(settings, batch, quaternion, device) | {"labels": run.labels}
    store.save(result.assign_attrs(about), out)


def chosen_steps(steps: Sequence[int], settings: HessianSettings) -> list[int]:
    """Steps of the checkpoints that are looked at, ascending.

    Raises:
        UserError: a step without a checkpoint.
    """
    wrong = sorted(set(settings.steps) - set(steps))
    if wrong:
        raise UserError("hessian.steps", "steps of checkpoints", wrong, [str(s) for s in steps])
    if settings.steps:
        return sorted(set(settings.steps))
    if settings.checkpoints == 1:
        return [steps[-1]]
    even = np.linspace(0, len(steps) - 1, min(settings.checkpoints, len(steps)))
    return [steps[int(i)] for i in np.rint(even)]


def _samples(data: xr.Dataset, settings: HessianSettings) -> Int[Array, " sample"]:
    """The samples in the loss, ascending."""
    try:
        index = split_index(data, settings.split)
    except ValueError as error:
        raise UserError("hessian.split", "a split of the data", repr(settings.split)) from error
    count = min(settings.samples, len(index))
    return np.sort(np.random.default_rng(settings.seed).choice(index, count, replace=False))


def _checkpoint(
    run: Trained,
    step: int,
    batch: Batch,
    quaternion: Float[Tensor, "sample rotation 4"],
    settings: HessianSettings,
    device: str,
) -> xr.Dataset:
    """Certificate and spectra of both parts at one checkpoint."""
    dtype, unbiased = getattr(torch, settings.dtype), settings.rotation_set == "independent"
    model = run.model(step, torch.float64).to(device)
    few = slice(0, settings.certificate_samples)
    keys = {"dtype": dtype, "unbiased": unbiased, "seed": settings.seed}
    certificate = certify(model, run.task, batch.map(lambda t: t[few]), quaternion[few], **keys)
    objective = Objective(model.to(dtype), run.task, batch, quaternion, settings.chunk, unbiased)
    probes = rademacher(len(objective.parameters), settings.probes, settings.seed).to(device)
    spectra = {}
    for part in PARTS:
        products = operator(objective, part, keep_bytes=settings.keep_memory * GB)
        keys = {"seed": settings.seed, "noise": torch.finfo(dtype).eps, "trace_probes": settings.trace_probes}
        spectra[part] = lanczos(products, probes, settings.lanczos_steps, **keys)
        print(f"step {step}, L_{part}: {_line(spectra[part], certificate, part)}", flush=True)
    return _dataset(spectra, objective.values(), certificate, settings)


def _line(spectrum: Spectrum, certificate: Certificate, part: str) -> str:
    """What the log says of one spectrum."""
    (top, *_), (error, *_) = spectrum.top(1)
    low, (trace, spread) = spectrum.bottom(1)[0][0], spectrum.trace()
    text = f"eigenvalues {low:.3g} to {top:.4g} ± {error:.1g}, trace {trace:.3g} ± {spread:.1g}"
    return f"{text}, certificate {certificate.error[part]:.0e}"


def _dataset(
    spectra: dict[str, Spectrum], values: dict[str, float], certificate: Certificate, settings: HessianSettings
) -> xr.Dataset:
    """One checkpoint as a dataset; parts in the order of `PARTS`."""
    each = [spectra[p] for p in PARTS]
    top = [s.top(settings.eigenvalues) for s in each]
    bottom = [s.bottom(settings.eigenvalues) for s in each]
    trace = np.array([s.trace() for s in each])
    arrays = {
        "eigenvalue_top": ("part rank", [t[0] for t in top]),
        "eigenvalue_top_error": ("part rank", [t[1] for t in top]),
        "eigenvalue_bottom": ("part rank", [b[0] for b in bottom]),
        "eigenvalue_bottom_error": ("part rank", [b[1] for b in bottom]),
        "ritz_value": ("part ritz", [s.value for s in each]),
        "ritz_error": ("part ritz", [s.error for s in each]),
        "ritz_weight": ("part ritz probe", [s.weight.T for s in each]),
        "trace": ("part", trace[:, 0]),
        "trace_error": ("part", trace[:, 1]),
        "loss_value": ("part", [values[p] for p in PARTS]),
        "certificate_error": ("part", [certificate.error[p] for p in PARTS]),
        "precision_error": ("part", [certificate.precision[p] for p in PARTS]),
        "parameters": ("", np.int64(each[0].size)),
    }
    found = {name: (tuple(dims.split()), np.asarray(values)) for name, (dims, values) in arrays.items()}
    return xr.Dataset(found, {"part": np.array(PARTS, object)})


def _attributes(settings: HessianSettings, batch: Batch, quaternion: Tensor, device: str) -> dict:
    """What a reader of the store needs to know beside the numbers.

    `rank_bound`: components of all predictions; the curvature that comes from the predictions (Gauss-Newton) has no
    larger rank in L_mean, and this times `rotations - 1` in L_equiv.
    """
    components = sum(int((w > 0).sum()) * batch.targets[n].shape[-1] for n, w in batch.weights.items())
    return {
        "samples": len(batch),
        "rotations": quaternion.shape[1],
        "rotation_set": settings.rotation_set,
        "rank_bound": components,
        "dtype": settings.dtype,
        "device": hardware(device),
        "settings": json.dumps(settings.model_dump()),
    }

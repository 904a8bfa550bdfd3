"""Spectra of one checkpoint, for both parts of the loss, both curvatures and groups of the samples."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from ..errors import UserError
from ..estimators.curvature import condition_numbers
from ..estimators.curvature.condition_numbers import MEASURES
from ..estimators.curvature.eigenvalues import Spectrum
from ..runtime import progress
from .dense_spectra import exact_spectra
from .derivative_check import certify
from .lanczos import lanczos
from .landscapes import DIRECTIONS, DRAWS, landscape_arrays, no_landscape
from .objective import Objective, rademacher
from .operators import operator
from .problem import GB, CheckpointSpectra, Problem
from .spectra_dataset import dataset

SPECTRA = 0.8  # share of the time of a checkpoint with a landscape that its spectra take, about


def measure(model: torch.nn.Module, problem: Problem, step: int) -> xr.Dataset:
    """Dataset with the spectra of one checkpoint, computed after a certificate in float64 on a few samples.

    Args:
        model: in float64, on the device of the problem.
        step: step of the checkpoint, for error messages and the log.

    Raises:
        UserError: derivatives are wrong or not finite.
    """
    settings, first = problem.settings, slice(0, problem.settings.certificate_samples)
    dtype = getattr(torch, settings.dtype)
    require_finite(model, problem, step)
    batch, unbiased = problem.batch.map(lambda t: t[first]), "mean_plugin" in problem.parts
    some = Objective(model, problem.task, batch, problem.quaternion[first], unbiased=unbiased)
    certificate = certify(some, dtype=dtype, seed=settings.seed)
    try:
        with progress.part(0, 1 if problem.landscape_step is None else SPECTRA):
            found = (exact_spectra if problem.exact else krylov_spectra)(model.to(dtype), problem, certificate.mode)
    except FloatingPointError as error:
        raise nonfinite_error(model, problem, step) from error
    for (curvature, part), one in found.spectra.items():
        print(f"step {step}, {curvature} of L_{part}: {_summary(one)}", flush=True)
    result = dataset(found, certificate, problem, step).assign_attrs(product_mode=certificate.mode)
    if problem.landscape_step is None:
        return result
    if step == problem.landscape_step:
        with progress.part(SPECTRA, 1):
            arrays = landscape_arrays(model, problem, found.hessian, float(found.spectra["hessian", "total"].error[0]))
    else:
        arrays = no_landscape(problem)
    result = result.assign({name: (("step", *dims.split()), v[None]) for name, (dims, v) in arrays.items()})
    return result.assign_coords(draws=np.array(DRAWS, object), direction=np.array(DIRECTIONS, object))


def krylov_spectra(model: torch.nn.Module, problem: Problem, mode: str) -> CheckpointSpectra:
    """Spectra from Lanczos runs on all samples and, at half the depth, on each of the groups.

    Args:
        mode: certified mode of the products.

    Raises:
        FloatingPointError: products are not finite.
    """
    whole = problem.objective(model)
    some = [problem.objective(model, group) for group in problem.groups]
    found = CheckpointSpectra({}, {}, {}, whole.values())
    for key in progress.counted(list(problem.matrices()), "matrix"):
        make = [operator(o, key[1], key[0], mode, problem.settings.keep_memory * GB) for o in (whole, *some)]
        with progress.part(0, 0.5):
            found.spectra[key] = _spectrum(make[0], problem, 1)
        with progress.part(0.5, 1):
            found.replicates[key] = [_spectrum(o, problem, 2) for o in progress.counted(make[1:], "group")]
        found.products[key] = sum(o.products for o in make)
    return found


def _spectrum(products, problem: Problem, depth: int) -> Spectrum:
    """Spectrum of an operator from 1/`depth` of the Lanczos steps."""
    settings, basis = problem.settings, problem.basis
    noise, steps = torch.finfo(getattr(torch, settings.dtype)).eps, settings.lanczos_steps // depth
    probes = rademacher(products.size, basis.probes, settings.seed).to(problem.device, basis.dtype)
    fresh = settings.trace_probes if depth == 1 else 0
    return lanczos(products, probes, steps, seed=settings.seed, noise=noise, trace_probes=fresh)


def _summary(spectrum: Spectrum) -> str:
    """Summary of one spectrum for the log."""
    (top, *_), (error, *_) = spectrum.top(1)
    low, (trace, spread) = spectrum.bottom(1)[0][0], spectrum.trace()
    kappa = condition_numbers.estimate(spectrum, MEASURES["kappa_E90"][0])
    text = f"eigenvalues {low:.3g} to {top:.4g} ± {error:.1g}, {spectrum.converged.sum()} converged"
    half = "" if spectrum.complete else f" (at half depth {kappa.value - kappa.depth_bias:.3g})"
    return f"{text}, trace {trace:.3g} ± {spread:.1g}, kappa_E90 {kappa.value:.3g}{half}"


def require_finite(model: torch.nn.Module, problem: Problem, step: int) -> None:
    """Refuses a model whose curvature is not finite for some sample and rotation.

    Raises:
        UserError: it names the step, the sample and the rotation.
    """
    objective = problem.objective(model)
    if (
        not operator(objective, "total", keep_bytes=0.0)(torch.ones_like(objective.parameters)[:, None])
        .isfinite()
        .all()
    ):
        raise nonfinite_error(model, problem, step)


def nonfinite_error(model: torch.nn.Module, problem: Problem, step: int) -> UserError:
    """Error for products that are not finite; names the first sample and rotation with such a product."""
    where, expected = f"hessian, step {step}", "finite products with the curvature of the loss"
    for s, sample in enumerate(problem.index.tolist()):
        batch = problem.batch.map(lambda t, s=s: t[s : s + 1])
        for r, quaternion in enumerate(problem.quaternion[s]):
            one = Objective(model, problem.task, batch, quaternion[None, None])
            product = operator(one, "total")(torch.ones_like(one.parameters)[:, None])
            if not product.isfinite().all():
                turned = ", ".join(f"{q:.4f}" for q in quaternion.tolist())
                return UserError(where, expected, f"NaN or infinity for sample {sample}, rotation {r} ({turned})")
    return UserError(where, expected, f"NaN or infinity in {problem.settings.dtype}, for no sample and rotation alone")

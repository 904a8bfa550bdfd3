"""Spectra of one checkpoint, for both parts of the loss, both curvatures and groups of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Float, Int, Tensor
from ..contracts import Batch, Task
from ..errors import UserError
from ..estimators import condition_numbers
from ..estimators.condition_numbers import MEASURES, SIDES
from ..estimators.eigenvalues import Spectrum, converged
from ..geometry.rotation_sets import sample_rotations
from ..losses import balanced
from ..runtime.devices import device_of
from ..settings.hessian import HessianSettings
from .derivative_check import Certificate, certify
from .lanczos import Basis, dense, fitting_basis, lanczos
from .objective import PARTS, Objective, rademacher
from .operators import CURVATURES, operator

GB = 1e9
ENDS = ("", "_low", "_high")

Key = tuple[str, str]  # curvature, part


@dataclass(frozen=True)
class Problem:
    """Samples, their rotations and the settings of the spectra; the same at every checkpoint."""

    task: Task
    batch: Batch
    index: Int[Array, " sample"]
    quaternion: Float[Tensor, "sample rotation 4"]
    settings: HessianSettings
    device: str
    basis: Basis

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the loss; if `mean` is corrected for its bias, also `mean_plugin`, which is not corrected."""
        return ("mean", "mean_plugin", "equiv") if self.settings.rotation_set == "independent" else PARTS

    @property
    def curvatures(self) -> tuple[str, ...]:
        """Names of the matrices: the Hessian, and the Gauss-Newton matrix if it is measured."""
        return CURVATURES if self.settings.gauss_newton else CURVATURES[:1]

    @property
    def uncorrected_mean(self) -> str:
        """Name of the mean part without the correction, which adds negative eigenvalues to its curvature."""
        return "mean_plugin" if "mean_plugin" in self.parts else "mean"

    @property
    def groups(self) -> list[slice]:
        """Groups of the samples, by their position; none if there are fewer than two."""
        count = min(self.settings.groups, len(self.batch))
        return [slice(k, None, count) for k in range(count)] if count > 1 else []

    def objective(self, model: torch.nn.Module, some: slice = slice(None)) -> Objective:
        """Loss on some of the samples."""
        batch, unbiased = balanced(self.batch.map(lambda t: t[some])), "mean_plugin" in self.parts
        return Objective(model, self.task, batch, self.quaternion[some], self.settings.chunk, unbiased)

    def matrices(self) -> Iterator[Key]:
        """All matrices, without the Gauss-Newton matrix of a corrected mean, which is indefinite."""
        for curvature in self.curvatures:
            for part in self.parts:
                if curvature == "hessian" or part != "mean" or self.uncorrected_mean == "mean":
                    yield curvature, part


def choose_samples(index: Int[Array, " known"], settings: HessianSettings) -> Int[Array, " some"]:
    """Random samples of a split for the loss, ascending."""
    count = min(settings.samples, len(index))
    return np.sort(np.random.default_rng(settings.seed).choice(index, count, replace=False))


def problem_of(task: Task, index: Int[Array, " sample"], size: int, settings: HessianSettings) -> Problem:
    """Samples with their rotations, and the largest basis that fits into the memory; the log states its size.

    Args:
        index: samples in the loss.
        size: number of trained parameters.
    """
    quaternion = sample_rotations(settings.rotation_set, len(index), settings.rotations, settings.seed, task.group)
    device = "cuda" if device_of(settings.device) == "cuda" else "cpu"  # other devices have no float64
    wanted = getattr(torch, settings.basis_dtype)
    basis = fitting_basis(size, settings.probes, settings.lanczos_steps, wanted, settings.basis_memory * GB)
    text = f"basis: {basis.probes} probes x {settings.lanczos_steps} steps x {size} parameters in {basis.dtype}"
    less = (
        ""
        if (basis.probes, basis.dtype) == (settings.probes, wanted)
        else ", less than requested, to fit into the memory"
    )
    print(f"{text}, {basis.bytes / GB:.3g} GB of {settings.basis_memory:g} GB{less}", flush=True)
    return Problem(task, task.batch(index), index, quaternion, settings, device, basis)


@dataclass(frozen=True)
class CheckpointSpectra:
    """Spectra of one checkpoint.

    replicates: spectra of groups of the samples, with half of the Lanczos steps; empty if there are none.
    products: number of products with each matrix.
    values: losses by part.
    """

    spectra: dict[Key, Spectrum]
    replicates: dict[Key, list[Spectrum]]
    products: dict[Key, int]
    values: dict[str, float]


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
    found = spectra(model.to(dtype), problem, step, certificate)
    return dataset(found, certificate, problem, step).assign_attrs(product_mode=certificate.mode)


def spectra(model: torch.nn.Module, problem: Problem, step: int, certificate: Certificate) -> CheckpointSpectra:
    """All spectra of the model, with products in the certified mode.

    Raises:
        UserError: products are not finite; the message names the step, and the sample and rotation.
    """
    whole = problem.objective(model)
    some = [problem.objective(model, group) for group in problem.groups]
    found = CheckpointSpectra({}, {}, {}, whole.values())
    for key in problem.matrices():
        make = [
            operator(o, key[1], key[0], certificate.mode, problem.settings.keep_memory * GB) for o in (whole, *some)
        ]
        try:
            found.spectra[key] = one = _spectrum(make[0], problem, 1)
            found.replicates[key] = [_spectrum(o, problem, 2) for o in make[1:]]
        except FloatingPointError as error:
            raise nonfinite_error(model, problem, step) from error
        found.products[key] = sum(o.products for o in make)
        print(f"step {step}, {key[0]} of L_{key[1]}: {_summary(one)}", flush=True)
    return found


def _spectrum(products, problem: Problem, depth: int) -> Spectrum:
    """Spectrum of an operator from 1/`depth` of the Lanczos steps; exact if that takes no more products."""
    settings, basis = problem.settings, problem.basis
    noise, steps = torch.finfo(getattr(torch, settings.dtype)).eps, settings.lanczos_steps // depth
    if basis.probes * settings.lanczos_steps >= products.size:
        return dense(products, products.size, noise=noise)
    probes = rademacher(products.size, basis.probes, settings.seed).to(problem.device, basis.dtype)
    fresh = settings.trace_probes if depth == 1 else 0
    return lanczos(products, probes, steps, seed=settings.seed, noise=noise, trace_probes=fresh)


def _summary(spectrum: Spectrum) -> str:
    """Summary of one spectrum for the log."""
    (top, *_), (error, *_) = spectrum.top(1)
    low, (trace, spread) = spectrum.bottom(1)[0][0], spectrum.trace()
    kappa = condition_numbers.estimate(spectrum, MEASURES["kappa_E90"][0])
    text = f"eigenvalues {low:.3g} to {top:.4g} ± {error:.1g}, {spectrum.converged.sum()} converged"
    half = kappa.value - kappa.depth_bias
    return f"{text}, trace {trace:.3g} ± {spread:.1g}, kappa_E90 {kappa.value:.3g} (at half depth {half:.3g})"


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


def dataset(found: CheckpointSpectra, certificate: Certificate, problem: Problem, step: int) -> xr.Dataset:
    """Dataset of one checkpoint; NaN for matrices that were not measured."""
    each = {key: _spectrum_arrays(spectrum, problem) for key, spectrum in found.spectra.items()}
    errors = {"hessian": certificate.error, "gauss_newton": certificate.gauss_newton}
    for (curvature, part), arrays in each.items():
        groups = [_condition_numbers(s) for s in found.replicates[curvature, part]]
        groups = groups or [np.full((len(SIDES), len(MEASURES)), np.nan)]
        arrays["condition_replicate"] = ("side measure replicate", np.stack(groups, -1))
        arrays["certificate_error"] = ("", np.array(errors[curvature][part]))
        arrays["products"] = ("", np.array(found.products[curvature, part]))
    missing = {n: (dims, _missing_like(v)) for n, (dims, v) in next(iter(each.values())).items()}
    rows = [[each.get((c, p), missing) for p in problem.parts] for c in problem.curvatures]
    stacked = {
        name: (f"curvature part {dims}", np.array([[a[name][1] for a in row] for row in rows]))
        for name, (dims, _) in missing.items()
    }
    stacked |= _ratios(found, problem)
    stacked["loss_value"] = ("part", np.array([found.values[p] for p in problem.parts]))
    stacked["precision_error"] = ("part", np.array([certificate.precision[p] for p in problem.parts]))
    size = next(iter(found.spectra.values())).size
    shared = {
        "rank_bound": ("part", np.array(_rank_bounds(problem))),
        "parameters": ((), np.int64(size)),
        "definition": ("measure", np.array([text for _, text in MEASURES.values()], object)),
    }
    names = {"curvature": problem.curvatures, "part": problem.parts, "side": SIDES, "measure": tuple(MEASURES)}
    names["replicate"] = [f"group {k + 1}" for k in range(max(1, len(problem.groups)))]
    coordinates = {k: np.array(v, object) for k, v in names.items()}
    at_step = {name: (("step", *dims.split()), values[None]) for name, (dims, values) in stacked.items()}
    return xr.Dataset(at_step | shared, {"step": np.array([step], np.int64)} | coordinates)


def _rank_bounds(problem: Problem) -> list[int]:
    """Upper bound on the rank of each part's Gauss-Newton matrix, a sum over the components of all predictions."""
    batch, spread = problem.batch, problem.quaternion.shape[1] - 1
    components = sum(int((w > 0).sum()) * batch.targets[n].shape[-1] for n, w in batch.weights.items())
    return [components * (spread if part == "equiv" else 1) for part in problem.parts]


def _missing_like(value: Array) -> Array:
    """Array of the same shape and dtype, filled with NaN, or 0 for integers."""
    return np.full(value.shape, np.nan if value.dtype.kind == "f" else 0, value.dtype)


def _spectrum_arrays(spectrum: Spectrum, problem: Problem) -> dict[str, tuple[str, Array]]:
    """Stored arrays of one spectrum, by name: dimensions and values."""
    count, half = problem.settings.eigenvalues, spectrum.half or spectrum
    (top, top_error), (bottom, bottom_error) = spectrum.top(count), spectrum.bottom(count)
    estimates = [[condition_numbers.estimate(spectrum, m, side) for m, _ in MEASURES.values()] for side in SIDES]
    trace, trace_error = spectrum.trace()
    named = {"": "value", "_error": "error", "_depth_bias": "depth_bias", "_converged": "converged"}
    return {
        "eigenvalue_top": ("rank", top),
        "eigenvalue_top_error": ("rank", top_error),
        "eigenvalue_top_converged": ("rank", converged(top, top_error)),
        "eigenvalue_bottom": ("rank", bottom),
        "eigenvalue_bottom_error": ("rank", bottom_error),
        "eigenvalue_bottom_converged": ("rank", converged(bottom, bottom_error)),
        "ritz_value": ("ritz", spectrum.value),
        "ritz_error": ("ritz", spectrum.error),
        "ritz_weight": ("ritz probe", spectrum.weight.T),
        "ritz_weight_deflated": ("ritz probe", spectrum.deflated.T),
        "half_ritz_value": ("ritz_half", half.value),
        "half_ritz_weight_deflated": ("ritz_half probe", half.deflated.T),
        "trace": ("", np.asarray(trace)),
        "trace_error": ("", np.asarray(trace_error)),
    } | {
        f"condition{end}": ("side measure", np.array([[getattr(e, field) for e in row] for row in estimates]))
        for end, field in named.items()
    }


def _condition_numbers(spectrum: Spectrum) -> Float[Array, "side measure"]:
    """All condition numbers and ranks of one spectrum."""
    return np.array([[condition_numbers.estimate(spectrum, m, s).value for m, _ in MEASURES.values()] for s in SIDES])


def _ratios(found: CheckpointSpectra, problem: Problem) -> dict[str, tuple[str, Array]]:
    """Ratios of each condition number of the mean part to that of the equivariance part, with intervals."""
    each = []
    for curvature in problem.curvatures:
        keys = [(curvature, part) for part in (problem.uncorrected_mean, "equiv")]
        pair, groups = [found.spectra[k] for k in keys], list(zip(*(found.replicates[k] for k in keys), strict=True))
        each.append([[condition_numbers.ratio(*pair, m, s, groups) for m, _ in MEASURES.values()] for s in SIDES])
    each = np.array(each)
    return {f"condition_ratio{end}": ("curvature side measure", each[..., i]) for i, end in enumerate(ENDS)}

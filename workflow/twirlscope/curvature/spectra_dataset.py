"""Dataset of the spectra of one checkpoint."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .._typing import Array, Float
from ..estimators.curvature import condition_numbers
from ..estimators.curvature.condition_numbers import MEASURES, SIDES
from ..estimators.curvature.eigenvalues import Spectrum, converged
from ..estimators.curvature.exact_ratios import exact_ratio
from .derivative_check import Certificate
from .problem import CheckpointSpectra, Problem

ENDS = ("", "_low", "_high")


def dataset(found: CheckpointSpectra, certificate: Certificate, problem: Problem, step: int) -> xr.Dataset:
    """Dataset of one checkpoint; NaN for matrices that were not measured."""
    each = {key: _spectrum_arrays(spectrum, problem) for key, spectrum in found.spectra.items()}
    errors = {"hessian": certificate.error, "gauss_newton": certificate.gauss_newton}
    for (curvature, part), arrays in each.items():
        groups = [_condition_numbers(s) for s in found.replicates[curvature, part]]
        groups = groups or [np.full((len(SIDES), len(MEASURES)), np.nan)] * max(1, len(problem.groups))
        arrays["condition_replicate"] = ("side measure replicate", np.stack(groups, -1))
        arrays["certificate_error"] = ("", np.array(errors[curvature].get(part, certificate.split)))
        arrays["products"] = ("", np.array(found.products[curvature, part]))
    missing = {n: (dims, _missing_like(v)) for n, (dims, v) in next(iter(each.values())).items()}
    rows = [[each.get((c, p), missing) for p in problem.parts] for c in problem.curvatures]
    stacked = {
        name: (f"curvature part {dims}", np.array([[a[name][1] for a in row] for row in rows]))
        for name, (dims, _) in missing.items()
    }
    stacked |= _ratios(found, problem)
    stacked["loss_value"] = ("part", np.array([found.values[p] for p in problem.parts]))
    stacked["precision_error"] = ("part", np.array([certificate.precision.get(p, np.nan) for p in problem.parts]))
    size = next(iter(found.spectra.values())).size
    shared = {
        "rank_bound": ("part", np.array(_rank_bounds(problem))),
        "parameters": ((), np.int64(size)),
        "definition": ("measure", np.array([text for _, text in MEASURES.values()], object)),
    }
    names = {"curvature": problem.curvatures, "part": problem.parts, "side": SIDES, "measure": tuple(MEASURES)}
    kind = "all but group" if problem.exact else "group"
    names["replicate"] = [f"{kind} {k + 1}" for k in range(max(1, len(problem.groups)))]
    coordinates = {k: np.array(v, object) for k, v in names.items()}
    at_step = {name: (("step", *dims.split()), values[None]) for name, (dims, values) in stacked.items()}
    return xr.Dataset(at_step | shared, {"step": np.array([step], np.int64)} | coordinates)


def _rank_bounds(problem: Problem) -> list[int]:
    """Upper bound on the rank of each part's Gauss-Newton matrix, a sum over the components of all predictions."""
    batch, spread = problem.batch, problem.quaternion.shape[1] - 1
    components = sum(int((w > 0).sum()) * batch.targets[n].shape[-1] for n, w in batch.weights.items())
    factor = {"equiv": spread, "total": spread + 1}
    return [components * factor.get(part, 1) for part in problem.parts]


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
        ratio = exact_ratio if problem.exact else condition_numbers.ratio
        each.append([[ratio(*pair, m, s, groups) for m, _ in MEASURES.values()] for s in SIDES])
    each = np.array(each)
    return {f"condition_ratio{end}": ("curvature side measure", each[..., i]) for i, end in enumerate(ENDS)}

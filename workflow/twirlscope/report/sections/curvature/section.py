"""Section on the curvature of both parts of the loss."""

from __future__ import annotations

import math

import xarray as xr

from ...._typing import Sequence
from ...section import Section
from ...trainings import Training, by_run
from ...wording import say, slug
from . import condition_numbers, density, eigenvalues, spectra


def curvature_sentence(training: Training) -> str:
    """What the curvature of both parts is at the last checkpoint, in words: every number with its definition."""
    data = training.hessian.sel(curvature="hessian").isel(step=-1)
    mean = "mean_plugin" if "mean_plugin" in data["part"].values else "mean"
    top = data[["eigenvalue_top", "eigenvalue_top_error", "eigenvalue_top_converged"]].isel(rank=0)
    said = {p: _eigenvalue(top.sel(part=p)) for p in (mean, "equiv")}
    samples = f", {training.hessian.attrs['samples']} samples" if "samples" in training.hessian.attrs else ""
    text = (
        f"{training.label}, step {int(data['step'])}{samples}: the largest eigenvalue of the Hessian is {said[mean]} "
        f"for the twirled prediction error and {said['equiv']} for the equivariance error."
    )
    for measure, name in (("kappa_E90", "condition number κ_E90"), ("effective_rank", "effective rank")):
        one = data.sel(side="absolute", measure=measure)
        numbers = [_condition(one.sel(part=p)) for p in (mean, "equiv")]
        text += f" The {name} ({one['definition'].item()}) is {' and '.join(numbers)}{_ratio(one)}."
    return text


def _eigenvalue(one: xr.Dataset) -> str:
    """An eigenvalue, with its residual bound where that can be seen in three digits."""
    value, bound = float(one["eigenvalue_top"]), float(one["eigenvalue_top_error"])
    text = say(value) + (f" ± {bound:.2g}" if bound > 5e-3 * abs(value) else "")
    return text + ("" if one["eigenvalue_top_converged"] else " (not converged)")


def _condition(one: xr.Dataset) -> str:
    """A condition number with its standard error where there is one; with its value at half the depth where that is
    another."""
    value, error = float(one["condition"]), float(one["condition_error"])
    if not one["condition_converged"]:
        return f"not converged ({say(value)}; at half the depth {say(value - float(one['condition_depth_bias']))})"
    return say(value) + (f" ± {error:.2g}" if math.isfinite(error) else "")


def _ratio(number: xr.Dataset) -> str:
    """The ratio of both parts with its interval, or that there is none to be given."""
    value, low, high = (float(number[f"condition_ratio{end}"]) for end in ("", "_low", "_high"))
    if not math.isfinite(low):
        return ", from too few probes for an interval of their ratio"
    text = f", a ratio of {say(value)} (95 % interval {say(low)} to {say(high)}"
    return text + (", which does not tell which is larger)" if low < 1 < high else ")")


def section(trainings: Sequence[Training]) -> Section:
    """Condition numbers, densities and spectra are drawn for the first seed of a run."""
    curved = [t for t in trainings if t.hessian is not None]
    missing = "; ".join(t.label for t in trainings if t.hessian is None)
    said = [curvature_sentence(t) for t in curved]
    said += [f"The Hessian was not computed for: {missing}."] if missing else []
    shown = [eigenvalues.eigenvalues(curved)] if curved else []
    for training in (seeds[0] for seeds in by_run(curved).values()):
        name = f"{slug(training.run)}_seed{training.seed}"
        shown.append(condition_numbers.conditions(training, f"condition_{name}"))
        shown.append(density.densities(training, f"density_{name}"))
        shown.append(spectra.spectra(training, f"spectra_{name}"))
    return Section("curvature", "Curvature", said, shown)

"""Curvature of the two parts of the loss.

Question: is the loss landscape of the equivariance error better conditioned than that of the prediction error?
"""

from __future__ import annotations

import math

import xarray as xr

from ...._typing import Sequence
from ...figures.figure import tabbed
from ...questions import WHY
from ...section import Section
from ...trainings import Training, by_run, first_seeds
from ...wording import say, slug
from . import condition_numbers, cumulative, density, eigenvalues, exact, landscape
from .exact import is_exact
from .landscape import has_landscape


def curvature_sentence(training: Training) -> str:
    """Largest eigenvalues and condition numbers of both parts at the last checkpoint, with their definitions."""
    data = training.hessian.sel(curvature="hessian").isel(step=-1)
    mean = "mean_plugin" if "mean_plugin" in data["part"].values else "mean"
    top = data[["eigenvalue_top", "eigenvalue_top_error", "eigenvalue_top_converged"]].isel(rank=0)
    largest = {p: _eigenvalue(top.sel(part=p)) for p in (mean, "equiv")}
    samples = f", {training.hessian.attrs['samples']} samples" if "samples" in training.hessian.attrs else ""
    text = (
        f"{training.label}, step {int(data['step'])}{samples}: the largest eigenvalue of the Hessian is "
        f"{largest[mean]} for the twirled prediction error and {largest['equiv']} for the equivariance error."
    )
    for measure, name in (("kappa_E90", "condition number κ_E90"), ("effective_rank", "effective rank")):
        one = data.sel(side="absolute", measure=measure)
        values = [condition_numbers.number_words(one.sel(part=p)) for p in (mean, "equiv")]
        text += f" The {name} ({one['definition'].item()}; ± over probes) is {' and '.join(values)}{_ratio(one)}."
    return text


def _eigenvalue(one: xr.Dataset) -> str:
    """An eigenvalue, with its residual bound if that is visible in three digits."""
    value, bound = float(one["eigenvalue_top"]), float(one["eigenvalue_top_error"])
    text = say(value) + (f" ± {bound:.2g}" if bound > 5e-3 * abs(value) else "")
    return text + ("" if one["eigenvalue_top_converged"] else " (not converged)")


def _ratio(one: xr.Dataset) -> str:
    """The ratio of both parts with its interval.

    Without an interval for fewer than three probes or groups of samples, without a value unless both have converged.
    """
    if not condition_numbers.ratio_converged(one):
        return ", which leaves their ratio open"
    value, low, high = (float(one[f"condition_ratio{end}"]) for end in ("", "_low", "_high"))
    if not math.isfinite(low):
        return f", a ratio of {say(value)}, from too few probes or groups of samples for an interval"
    text = f", a ratio of {say(value)} (95 % interval over probes, depth and samples {say(low)} to {say(high)}"
    return text + (": it is open which is larger)" if low < 1 < high else ")")


def section(trainings: Sequence[Training]) -> Section:
    """Ratios of condition numbers where all eigenvalues are known, else those of Lanczos runs; landscapes."""
    measured = [t for t in trainings if t.hessian is not None]
    known, estimated = [t for t in measured if is_exact(t)], [t for t in measured if not is_exact(t)]
    missing = "; ".join(t.label for t in trainings if t.hessian is None)
    table = exact.ratio_numbers(known) if known else None
    sentences = [exact.sentence(run, seeds, table) for run, seeds in by_run(known).items()]
    sentences += [curvature_sentence(t) for t in estimated]
    sentences += [f"The Hessian was not computed for: {missing}."] if missing else []
    figures = [exact.ratios(known, table)] if known else []
    figures += [eigenvalues.eigenvalues(measured)] if measured else []
    for training in first_seeds(estimated):
        name = f"{slug(training.run)}_seed{training.seed}"
        if condition_numbers.any_converged(training):
            figures.append(condition_numbers.conditions(training, f"condition_{name}"))
        else:
            sentences.append(
                f"{training.label}: no condition number has converged; a higher hessian.lanczos_steps would help."
            )
        figures.append(density.densities(training, f"density_{name}"))
        figures.append(cumulative.distribution(training, f"spectra_{name}"))
    shown = [t for t in measured if has_landscape(t)]
    figures += tabbed([landscape.landscapes(t, f"landscape_{slug(t.run)}_seed{t.seed}") for t in first_seeds(shown)])
    remarks = [words for t in first_seeds(estimated) for words in condition_numbers.remarks(t)]
    tables = [("Ratios of condition numbers", exact.ratio_table(table))] if known else []
    tables += [("Roughness of landscapes", landscape.roughness_table(shown))] if shown else []
    return Section(WHY, "curvature", "Curvature", sentences, figures, tables, remarks=list(dict.fromkeys(remarks)))

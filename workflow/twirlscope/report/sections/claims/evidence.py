"""Evidence for claims: one number with its interval per training, or per comparison of trainings.

Only trainings that can tell how symmetry is learned count: networks without built-in symmetry, on turned samples.
"""

from __future__ import annotations

import json
import math

import numpy as np
from scipy import stats

from ...._typing import Array, Callable, Sequence
from ...trainings import Training, claims_equivariance, with_term
from ...wording import say
from ..price.comparison import LEARNED, axes, comparisons, pairs
from .judge import Evidence

LAST = 10_000  # updates within which the error should become small
EARLY = 0.1  # share of the updates that is start-up, left out of claims on all of training
LEVELS = 1.5  # sizes are different if the largest is at least this many times the smallest
POINTS = 5  # least number of checkpoints for a fit
# variables of the stores of curvature and gradients that the evidence needs
CURVATURE = ("condition_ratio", "condition_ratio_low", "condition_ratio_high", "condition_converged")
GRADIENTS = ("relative_equiv", "gradient_norm_ratio", "nearest_distance", "nearest_loss_equiv")
IDLE = {"device", "save_every", "checkpoints_per_decade"}  # keys of the `train` section that change no weight
MAY_VARY = {  # by kind of group, the keys of the `train` section that may differ within it
    "size": {"learning_rate"},
    "samples": {"samples"},
    "optimiser": {"optimiser", "learning_rate", "momentum", "weight_decay"},
}


def percent(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Percentage of the loss that is equivariance error, at the last checkpoint of the first 10,000 updates."""
    found = []
    for training in _learners(trainings, term):
        data = training.twirl.sel(term=term)
        data = data.isel(step=np.flatnonzero(data["step"].values <= LAST))
        if data.sizes["step"] and not bool(data["trivial"][-1]):
            numbers = [float(data[f"percent_equiv{end}"][-1]) for end in ("", "_low", "_high")]
            enough = int(data["step"][-1]) >= LAST or int(training.twirl["step"][-1]) > LAST
            found.append(Evidence(_task(training), training.label, *numbers, final=enough))
    return found


def percent_by(kind: str) -> Callable[[Sequence[Training], str], list[Evidence]]:
    """`percent` for groups of trainings that differ only in `kind`, and have two levels of it at least.

    Args:
        kind: `size`, `samples` or `optimiser`.
    """

    def evidence(trainings: Sequence[Training], term: str) -> list[Evidence]:
        groups: dict[str, list[Training]] = {}
        for training in _learners(trainings, term):
            groups.setdefault(_all_but(training, kind), []).append(training)
        chosen = [t for group in groups.values() if _varies([_level(t, kind) for t in group]) for t in group]
        return percent(chosen, term)

    return evidence


def penalty(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Largest loss penalty [%], equivariance error over twirled prediction error, after the first tenth of training."""
    found = []
    for training in _learners(trainings, term):
        data = training.twirl.sel(term=term)
        later = (data["step"].values >= EARLY * data["step"].values[-1]) & ~data["trivial"].values
        if later.any():
            ends = {end: _odds(data[f"percent_equiv{end}"].values[later]) for end in ("", "_low", "_high")}
            at = int(np.argmax(ends[""]))
            found.append(Evidence(_task(training), training.label, *(float(v[at]) for v in ends.values())))
    return found


def conditions(measure: str, flat: bool = False) -> Callable[[Sequence[Training], str], list[Evidence]]:
    """Condition number of the twirled prediction error over that of the equivariance error, at the last checkpoint.

    Args:
        measure: name of the condition number.
        flat: True for a measure that is large where the eigenvalues are alike, whose ratio is inverted.
    """

    def evidence(trainings: Sequence[Training], term: str) -> list[Evidence]:
        found = []
        for training in _learners(trainings, term):
            if training.hessian is None:
                continue
            last = training.hessian.isel(step=-1).sel(curvature="hessian", side="absolute", measure=measure)
            mean = "mean_plugin" if "mean_plugin" in last["part"].values else "mean"
            if bool(last["condition_converged"].sel(part=[mean, "equiv"]).all()):
                numbers = [float(last[f"condition_ratio{end}"]) for end in ("", "_low", "_high")]
                found.append(Evidence(_task(training), training.label, *(_inverse(*numbers) if flat else numbers)))
        return found

    return evidence


def gradients(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Correlation over checkpoints between the ratio of gradient norms and the relative error, both as logarithms."""
    found = []
    for training in _learners(trainings, term):
        if training.gradient is not None:
            x, y = gradient_points(training)
            if len(x) >= POINTS and np.ptp(x) > 0 and np.ptp(y) > 0:
                result = stats.pearsonr(np.log(x), np.log(y))
                ends = result.confidence_interval(0.95)
                found.append(Evidence(_task(training), training.label, float(result.statistic), *map(float, ends)))
    return found


def exponents(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Exponent of the equivariance error against the distance to the nearest more symmetric parameters."""
    found = []
    for training in _learners(trainings, term):
        if training.gradient is not None and "nearest_distance" in training.gradient:
            fit = exponent(*nearest_points(training))
            if fit is not None:
                found.append(Evidence(_task(training), training.label, *fit))
    return found


def per_time(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Loss without built-in symmetry over loss with it, at the longest common training time, on one device.

    The loss is that of all terms, whatever `term`.
    """
    found = []
    for comparison in comparisons(trainings):
        for axis in axes(comparison, ["time"]):
            ends = pairs(axis, 0.0, comparison.learned).get(LEARNED)
            if ends is not None:
                numbers = (ends.ratio, ends.ratio_low, ends.ratio_high)  # of the family that is ahead over the other
                numbers = _inverse(*numbers) if ends.ahead == 1 else numbers
                task = _task(next(iter(comparison.runs[LEARNED].values()))[0])
                found.append(Evidence(task, f"dataset {comparison.dataset} after {say(ends.end)} s", *numbers))
    return found


def gradient_points(training: Training) -> tuple[Array, Array]:
    """Relative equivariance error and ratio of gradient norms, at the checkpoints where both are above zero."""
    data = training.gradient.sel(layer="whole")
    x, y = data["relative_equiv"].values, data["gradient_norm_ratio"].values
    good = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
    return x[good], y[good]


def nearest_points(training: Training) -> tuple[Array, Array]:
    """Distance to the nearest more symmetric parameters, and equivariance error, at checkpoints that have learned.

    Earlier checkpoints are near a network without any output, which is symmetric, too. Points at or below zero are left
    out.
    """
    data = training.gradient
    x, y = (data[n].values for n in ("nearest_distance", "nearest_loss_equiv"))
    trivial = training.twirl["trivial"].sel(term="weighted", drop=True)
    learned = ~trivial.reindex(step=data["step"].values, fill_value=False).values.astype(bool)
    good = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0) & learned
    return x[good], y[good]


def exponent(x: Array, y: Array) -> tuple[float, float, float] | None:
    """Slope of log y against log x with its 95 % interval (least squares, Student's t); None for too few points."""
    if len(x) < POINTS or np.ptp(x) == 0:
        return None
    fit = stats.linregress(np.log(x), np.log(y))
    half = float(stats.t.ppf(0.975, len(x) - 2) * fit.stderr)
    return float(fit.slope), float(fit.slope) - half, float(fit.slope) + half


def _learners(trainings: Sequence[Training], term: str) -> list[Training]:
    """Trainings with turned samples of networks without built-in symmetry."""
    chosen = [t for t in with_term(trainings, term) if t.spec]
    return [t for t in chosen if t.spec["train"].get("augment") != "none" and not claims_equivariance(t)]


def _task(training: Training) -> str:
    """The name of the task, for which a verdict is given."""
    return str(training.spec["task"]["name"])


def _all_but(training: Training, kind: str) -> str:
    """The settings that all trainings of a group share, as text."""
    run = training.spec
    kept = {k: v for k, v in run["train"].items() if k not in MAY_VARY[kind] | IDLE}
    model = {"name": run["model"]["name"]} if kind == "size" else run["model"]
    return json.dumps([run.get("dataset"), run["task"], model, kept], sort_keys=True)


def _level(training: Training, kind: str) -> float | str:
    """The value of the key that varies in a group."""
    attribute = {"size": "parameters", "samples": "training_samples"}.get(kind)
    return float(training.attrs.get(attribute, 0)) if attribute else str(training.spec["train"].get(kind))


def _varies(levels: Sequence[float | str]) -> bool:
    """True if the levels differ; sizes by a factor of `LEVELS` at least."""
    if isinstance(levels[0], str):
        return len(set(levels)) > 1
    return max(levels) >= LEVELS * min(levels) > 0


def _odds(share: Array) -> Array:
    """A percentage of the whole as a percentage of the rest."""
    return np.where(share < 100, 100 * share / np.maximum(100 - share, 1e-300), math.inf)


def _inverse(value: float, low: float, high: float) -> tuple[float, float, float]:
    """The inverse of a positive number, with its interval."""
    value, low, high = (1 / n if n else math.inf for n in (value, high, low))
    return value, low, high

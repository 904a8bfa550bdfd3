"""Evidence for claims: one number with its interval per training, or per comparison of trainings.

Only trainings that can tell how symmetry is learned count: networks without built-in symmetry, on turned samples. None
of them is left out because its number is missing or doubtful: it stays as a number with a doubt.
"""

from __future__ import annotations

import json
import math

import numpy as np
import xarray as xr

from ...._typing import Array, Callable, Float, Sequence
from ....estimators import heavy_tails
from ....estimators.bootstrap import FEW_CLUSTERS
from ....estimators.simultaneous import lower_bound_of_largest
from ....estimators.trajectories import POINTS, correlation_of_changes, power_law
from ...trainings import Training, claims_equivariance, with_term
from ...wording import listed, plural, say
from ..price.comparison import LEARNED, axes, comparisons, pairs
from .judge import Evidence

LAST = 10_000  # updates within which the error should become small
EARLY = 0.1  # share of the updates that is start-up, left out of claims on all of training
UNTRAINED = "has not learned by its last checkpoint"
LEVELS = 1.5  # sizes are different if the largest is at least this many times the smallest
# variables of the stores that the evidence needs, beside numbers per checkpoint
CURVATURE = ("condition_ratio", "condition_ratio_low", "condition_ratio_high", "condition_converged")
SAMPLES = ("cluster", *(f"{group}sample_loss_{part}" for group in ("", "so3_") for part in ("mean", "equiv")))
GRADIENTS = ("relative_equiv", "gradient_norm_ratio", "nearest_distance", "nearest_loss_equiv")
IDLE = {"device", "save_every", "checkpoints_per_decade"}  # keys of the `train` section that change no weight
MAY_VARY = {  # by kind of group, the keys of the `train` section that may differ within it
    "size": {"learning_rate"},
    "samples": {"samples"},
    "optimiser": {"optimiser", "learning_rate", "momentum", "weight_decay"},
}


def percent(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Percentage of the loss that is equivariance error, at the last checkpoint of the first 10,000 updates."""
    return [_percent(training, term) for training in _learners(trainings, term)]


def _percent(training: Training, term: str) -> Evidence:
    data, bound = _measured(training, term)
    early = data.isel(step=np.flatnonzero(data["step"].values <= LAST))
    scope, label = _task(training), training.label
    if not early.sizes["step"] or bool(early["trivial"][-1]):
        return Evidence(scope, label, doubt=f"has not learned by update {LAST:,}")
    last = early.isel(step=-1)
    value, low, high = (float(last[f"percent_equiv{end}"]) for end in ("", "_low", "_high"))
    enough = int(last["step"]) >= LAST or int(training.twirl["step"][-1]) > LAST
    return Evidence(scope, label, value, low - _turning(last), high, enough, _tails(last), bound)


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
    """Largest loss penalty [%], equivariance error over twirled prediction error, after the first tenth of training.

    The interval is that of the largest of all checkpoints, not that of the checkpoint at which the estimate is largest.
    """
    return [_penalty(training, term) for training in _learners(trainings, term)]


def _penalty(training: Training, term: str) -> Evidence:
    data, bound = _measured(training, term)
    later = (data["step"].values >= EARLY * data["step"].values[-1]) & ~data["trivial"].values
    scope, label = _task(training), training.label
    if not later[-1]:
        return Evidence(scope, label, doubt=UNTRAINED)
    data = data.isel(step=np.flatnonzero(later))
    equiv, mean = (data[f"sample_loss_{part}"].values for part in ("equiv", "mean"))
    value = float(_odds(data["percent_equiv"].values).max())
    high = float(_odds(data["percent_equiv_high"].values).max())
    doubt = next(filter(None, (_tails(data.isel(step=k)) for k in range(data.sizes["step"]))), "")
    low = 100 * lower_bound_of_largest(equiv, mean, _clusters(data)) - max(
        _turning(data.isel(step=k)) for k in range(len(equiv))
    )
    return Evidence(scope, label, value, low, high, doubt=doubt, bound=bound)


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
            numbers = [float(last[f"condition_ratio{end}"]) for end in ("", "_low", "_high")]
            numbers = _inverse(*numbers) if flat else tuple(numbers)
            converged = bool(last["condition_converged"].sel(part=[mean, "equiv"]).all())
            doubt = "" if converged else "has condition numbers that have not converged"
            found.append(Evidence(_task(training), training.label, *numbers, doubt=_untrained(training, term) or doubt))
        return found

    return evidence


def gradients(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Correlation between the changes of the ratio of gradient norms and of the relative error, both as logarithms."""
    chosen = [t for t in _learners(trainings, term) if t.gradient is not None]
    return [
        _along(t, correlation_of_changes(*(np.log(values) for values in gradient_points(t))), _untrained(t, term))
        for t in chosen
    ]


def exponents(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Exponent of the equivariance error against the distance to the nearest more symmetric parameters."""
    chosen = [t for t in _learners(trainings, term) if t.gradient is not None and "nearest_distance" in t.gradient]
    return [_along(t, power_law(*nearest_points(t)), _untrained(t, term)) for t in chosen]


def _along(training: Training, found: tuple[float, float, float] | None, doubt: str) -> Evidence:
    """A statistic of the checkpoints of one training, None for too few of them."""
    few = "" if found else f"has fewer than {POINTS} checkpoints with both numbers"
    return Evidence(_task(training), training.label, *(found or ()), doubt=doubt or few)


def per_time(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Loss without built-in symmetry over loss with it, at the longest common training time, on one device.

    The loss is that of all terms, whatever `term`.
    """
    found = []
    for comparison in comparisons(trainings):
        for axis in axes(comparison, ["time"]):
            ends = pairs(axis, 0.0, comparison).get(LEARNED)
            if ends is not None:
                numbers = (ends.ratio, ends.ratio_low, ends.ratio_high)  # of the family that is ahead over the other
                numbers = _inverse(*numbers) if ends.ahead == 1 else numbers
                task = _task(next(iter(comparison.runs[LEARNED].values()))[0])
                label = f"dataset {comparison.dataset} after {say(ends.end)} s"
                doubt = f"compares one seed of {listed(comparison.alone)}" if comparison.alone else ""
                found.append(Evidence(task, label, *numbers, doubt=doubt))
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


def _learners(trainings: Sequence[Training], term: str) -> list[Training]:
    """Trainings with turned samples of networks without built-in symmetry."""
    chosen = [t for t in with_term(trainings, term) if t.spec]
    return [t for t in chosen if t.spec["train"].get("augment") != "none" and not claims_equivariance(t)]


def _measured(training: Training, term: str) -> tuple[xr.Dataset, bool]:
    """Losses of the training under all rotations, and False; or under the 24 of a cube, a lower bound, and True."""
    data = training.twirl.sel(term=term)
    if "so3_percent_equiv" in data:
        whole = [name for name in data.variables if name.startswith("so3_")]
        return data.drop_vars([n.removeprefix("so3_") for n in whole], errors="ignore").rename(
            {n: n.removeprefix("so3_") for n in whole}
        ), False
    return data, str(training.twirl.attrs.get("group", "SO3")) != "SO3"


def _untrained(training: Training, term: str) -> str:
    """A doubt if the last checkpoint has not learned; else empty."""
    return UNTRAINED if bool(training.twirl["trivial"].sel(term=term)[-1]) else ""


def _tails(data: xr.Dataset) -> str:
    """A doubt if heavy tails make the interval of the percentage at one checkpoint doubtful; else empty."""
    equiv, mean = (data[f"sample_loss_{part}"].values for part in ("equiv", "mean"))
    cluster = _clusters(data)
    count = len(equiv if cluster is None else np.unique(cluster))
    if count < FEW_CLUSTERS:
        return f"has {plural(count, 'independent cluster')} of held-out samples, too few to see heavy tails"
    heavy = heavy_tails.is_heavy(equiv, cluster) | heavy_tails.is_heavy(equiv + mean, cluster)
    return "has heavy tails: a few samples carry its loss" if heavy else ""


def _clusters(data: xr.Dataset) -> Array | None:
    """Clusters of the samples; None where the store does not hold them."""
    return data["cluster"].values if "cluster" in data else None


def _turning(data: xr.Dataset) -> float:
    """Percentage of the loss at one checkpoint that rounding and interpolation alone make."""
    return 100 * float(data["loss_equiv_floor"]) / float(data["loss_total"]) if "loss_equiv_floor" in data else 0.0


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


def _odds(share: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """A percentage of the whole as a percentage of the rest."""
    return np.where(share < 100, 100 * share / np.maximum(100 - share, 1e-300), math.inf)


def _inverse(value: float, low: float, high: float) -> tuple[float, float, float]:
    """The inverse of a positive number, with its interval."""
    value, low, high = (1 / n if n else math.inf for n in (value, high, low))
    return value, low, high

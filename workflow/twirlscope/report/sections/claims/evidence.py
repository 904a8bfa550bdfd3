"""Evidence for claims: one number with its interval per training, or per comparison of trainings.

Only trainings that can tell how symmetry is learned count: networks without built-in symmetry, on turned samples. None
of them is left out because its number is missing or doubtful: it stays as a number with a doubt.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from ...._typing import Array, Bool, Callable, Float, Sequence
from ....estimators import heavy_tails
from ....estimators.bootstrap import FEW_CLUSTERS, Clusters
from ....estimators.simultaneous import lower_bound_of_largest
from ....estimators.trajectories import POINTS, correlation_of_changes, power_law
from ...trainings import PRIMARY, Training, claims_equivariance, primary_term, under_all_rotations, with_term
from ...wording import listed, plural, say
from ..price.comparison import LEARNED, axes, comparisons, pairs
from ..price.schedules import ended_together
from .judge import Evidence

UNFAIR = "compares runs in the middle of their schedules: none end together, and none have a constant learning rate"
UNTRAINED = "has not learned by its last checkpoint"
# variables of the stores that the evidence needs, beside numbers per checkpoint
CURVATURE = ("condition_ratio", "condition_ratio_low", "condition_ratio_high", "condition_converged")
LOSSES = tuple(f"{group}sample_loss_{part}" for group in ("", "so3_") for part in ("mean", "equiv"))
SAMPLES = ("cluster", "sample_covariate", *LOSSES)
GRADIENTS = ("relative_equiv", "gradient_norm_ratio", "nearest_distance", "nearest_loss_equiv")


def penalty(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Largest loss penalty [%], equivariance error over twirled prediction error, from the first learned checkpoint on.

    The interval is that of the largest of all checkpoints, not that of the checkpoint at which the estimate is largest.
    """
    return [_penalty(training, term_of(training, term)) for training in learners(trainings, term)]


def _penalty(training: Training, term: str) -> Evidence:
    data, bound = under_all_rotations(training, term)
    learned = ~data["trivial"].values.astype(bool)
    scope, label = task_of(training), training.label
    if not learned[-1]:
        return Evidence(scope, label, doubt=UNTRAINED)
    data = data.isel(step=np.flatnonzero(learned))
    equiv, mean = (data[f"sample_loss_{part}"].values for part in ("equiv", "mean"))
    value = float(_odds(data["percent_equiv"].values).max())
    high = float(_odds(data["percent_equiv_high"].values).max())
    cluster = clusters_of(data)
    doubt = next(filter(None, (tails(e, e + m, cluster) for e, m in zip(equiv, mean, strict=True))), "")
    low = 100 * lower_bound_of_largest(equiv, mean, cluster) - float(turning(data).max())
    return Evidence(scope, label, value, low, high, doubt=doubt, bound=bound)


def conditions(measure: str, flat: bool = False) -> Callable[[Sequence[Training], str], list[Evidence]]:
    """Condition number of the twirled prediction error over that of the equivariance error, at the last checkpoint.

    Numbers that have not converged are unknown. Those of one layer leave a claim about the landscape open.

    Args:
        measure: name of the condition number.
        flat: True for a measure that is large where the eigenvalues are alike, whose ratio is inverted.
    """

    def evidence(trainings: Sequence[Training], term: str) -> list[Evidence]:
        found = []
        for training in learners(trainings, term):
            if training.hessian is None:
                continue
            last = training.hessian.isel(step=-1).sel(curvature="hessian", side="absolute", measure=measure)
            mean = "mean_plugin" if "mean_plugin" in last["part"].values else "mean"
            numbers = [float(last[f"condition_ratio{end}"]) for end in ("", "_low", "_high")]
            numbers = _inverse(*numbers) if flat else tuple(numbers)
            block = training.hessian.attrs.get("block", "")
            doubt = f"was measured in one layer alone, {block}" if block else ""
            if not last["condition_converged"].sel(part=[mean, "equiv"]).all():
                numbers, doubt = (math.nan,) * 3, "has condition numbers that have not converged"
            doubt = _untrained(training, term) or doubt
            found.append(Evidence(task_of(training), training.label, *numbers, doubt=doubt))
        return found

    return evidence


def gradients(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Correlation between the changes of the ratio of gradient norms and of the relative error, both as logarithms."""
    chosen = [t for t in learners(trainings, term) if t.gradient is not None]
    return [
        _along(t, correlation_of_changes(*(np.log(values) for values in gradient_points(t))), _untrained(t, term))
        for t in chosen
    ]


def exponents(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Exponent of the equivariance error against the distance to the nearest more symmetric parameters."""
    chosen = [t for t in learners(trainings, term) if t.gradient is not None and "nearest_distance" in t.gradient]
    return [_along(t, power_law(*nearest_points(t)), _untrained(t, term)) for t in chosen]


def _along(training: Training, found: tuple[float, float, float] | None, doubt: str) -> Evidence:
    """A statistic of the checkpoints of one training, None for too few of them."""
    few = "" if found else f"has fewer than {POINTS} checkpoints with both numbers"
    return Evidence(task_of(training), training.label, *(found or ()), doubt=doubt or few)


def per_time(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Loss without built-in symmetry over loss with it, after the same training time, on one device.

    In the middle of a schedule a network has the high loss of a high learning rate. Compared are therefore runs whose
    schedules end at this time, or whose learning rate is constant. Without such runs the number is doubtful. The loss
    is that of all terms, whatever `term`.
    """
    found = []
    for comparison in comparisons(trainings):
        fair = ended_together(comparison)
        for axis in axes(fair or comparison, ["time"]):
            ends = pairs(axis, 0.0, fair or comparison).get(LEARNED)
            if ends is not None:
                numbers = (ends.ratio, ends.ratio_low, ends.ratio_high)  # of the family that is ahead over the other
                numbers = _inverse(*numbers) if ends.ahead == 1 else numbers
                task = task_of(next(iter(comparison.runs[LEARNED].values()))[0])
                label = f"dataset {comparison.dataset} after {say(ends.end)} s"
                alone = (fair or comparison).alone
                doubt = f"compares one seed of {listed(alone)}" if alone else ""
                found.append(Evidence(task, label, *numbers, doubt=doubt if fair else UNFAIR))
    return found


def gradient_points(training: Training) -> tuple[Array, Array]:
    """Relative equivariance error and ratio of gradient norms, at the checkpoints that have learned.

    Estimates of squares may be zero or negative by noise: they are censored, that is, put at the smallest positive one.
    Without a positive one there is no point.
    """
    data = training.gradient.sel(layer="whole")
    x, y = data["relative_equiv"].values, data["gradient_norm_ratio"].values
    good = np.isfinite(x) & np.isfinite(y) & learned_steps(training, data["step"].values)
    x, y = x[good], y[good]
    return (_censored(x), _censored(y)) if (x > 0).any() and (y > 0).any() else (x[:0], y[:0])


def _censored(values: Float[Array, " step"]) -> Float[Array, " step"]:
    """The values, with the smallest positive one in place of those at or below zero."""
    return np.maximum(values, values[values > 0].min())


def learned_steps(training: Training, steps: Array) -> Bool[Array, " step"]:
    """True at checkpoints that have learned, as far as the stage twirl has measured them."""
    trivial = training.twirl["trivial"].sel(term=primary_term(training), drop=True)
    return ~trivial.reindex(step=steps, fill_value=False).values.astype(bool)


def nearest_points(training: Training) -> tuple[Array, Array]:
    """Distance to the nearest more symmetric parameters, and equivariance error, at checkpoints that have learned.

    Earlier checkpoints are near a network without any output, which is symmetric, too. Points at or below zero are left
    out.
    """
    data = training.gradient
    x, y = (data[n].values for n in ("nearest_distance", "nearest_loss_equiv"))
    good = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0) & learned_steps(training, data["step"].values)
    return x[good], y[good]


def learners(trainings: Sequence[Training], term: str) -> list[Training]:
    """Trainings with turned samples of networks without built-in symmetry."""
    chosen = [t for t in (trainings if term == PRIMARY else with_term(trainings, term)) if t.spec]
    return [t for t in chosen if t.augmented and not claims_equivariance(t)]


def term_of(training: Training, term: str) -> str:
    """The term itself, or the first one of the training for `PRIMARY`."""
    return primary_term(training) if term == PRIMARY else term


def _untrained(training: Training, term: str) -> str:
    """A doubt if the last checkpoint has not learned; else empty."""
    return UNTRAINED if bool(training.twirl["trivial"].sel(term=term_of(training, term))[-1]) else ""


def tails(equiv: Float[Array, " sample"], total: Float[Array, " sample"], cluster: Clusters) -> str:
    """A doubt if heavy tails make the interval of the percentage at one checkpoint doubtful; else empty."""
    count = len(equiv if cluster is None else np.unique(cluster))
    if count < FEW_CLUSTERS:
        return f"has {plural(count, 'independent cluster')} of held-out samples, too few to see heavy tails"
    heavy = heavy_tails.is_heavy(equiv, cluster) | heavy_tails.is_heavy(total, cluster)
    return "has heavy tails: a few samples carry its loss" if heavy else ""


def clusters_of(data: xr.Dataset) -> Array | None:
    """Clusters of the samples; None where the store does not hold them."""
    return data["cluster"].values if "cluster" in data else None


def turning(data: xr.Dataset) -> Float[Array, " step"]:
    """Percentage of the loss at each checkpoint that rounding and interpolation alone make."""
    total = data["loss_total"].values
    return 100 * data["loss_equiv_floor"].values / total if "loss_equiv_floor" in data else np.zeros(len(total))


def task_of(training: Training) -> str:
    """The name of the task, for which a verdict is given."""
    return str(training.spec["task"]["name"])


def _odds(share: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """A percentage of the whole as a percentage of the rest."""
    return np.where(share < 100, 100 * share / np.maximum(100 - share, 1e-300), math.inf)


def _inverse(value: float, low: float, high: float) -> tuple[float, float, float]:
    """The inverse of a positive number, with its interval."""
    value, low, high = (1 / n if n else math.inf for n in (value, high, low))
    return value, low, high

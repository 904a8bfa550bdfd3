"""Evidence of the published trainings for the claims, by the same definitions as that of the trainings of the report.

Intervals hold the error of reading the figures alone: there is no other on the curves. A published percentage looks
like a mean of ratios over batches. Only for the penalty are losses used: there the first learned point is the first
whose loss is a tenth below that of the first point, because the loss of predicting zero is not published.
"""

from __future__ import annotations

import numpy as np

from ...._typing import Array, Callable, Float
from ....estimators.trajectories import correlation_of_changes
from ...published.curves import PublishedCurve, published_curves
from ..course.courses import bin_of
from .judge import Evidence
from .percentages import LAST, SMALL

ROTATIONS = {"force_field": 10, "flow_matching": 10, "voxel_denoising": 4}  # of each estimate, K
LEARNED = 0.9  # of the first loss: a lower one has learned
LEVELS = {  # by kind of group: task, model and variant of the trainings, where they begin so
    "size": (
        ("force_field", "", "adam_1e-5"),
        ("flow_matching", "", "pdb_1.0"),
        ("voxel_denoising", "", "data_100pct"),
    ),
    "samples": (
        ("force_field", "escaip_6M", "adam_1e-5"),
        ("force_field", "escaip_6M", "samples_"),
        ("flow_matching", "proteina_60M", "pdb_"),
        ("voxel_denoising", "voxmol_111M", "data_"),
    ),
    "optimiser": (("force_field", "escaip_6M", "adam_1e-"), ("force_field", "escaip_6M", "sgd_")),
}

Published = Callable[[], list[Evidence]]


def _evidence(curve: PublishedCurve, value: float, final: bool = True, doubt: str = "") -> Evidence:
    """A number of a published percentage."""
    scope = curve.task if curve.time is None else f"{curve.task}, {bin_of(curve.time)}"
    ends = value * (1 - curve.error), value * (1 + curve.error)
    return Evidence(scope, curve.label, value, *ends, final, curve.remark or doubt)


def _percentages(kind: str = "") -> list[PublishedCurve]:
    """The published percentages, all or those of a kind of group."""
    starts = LEVELS.get(kind, (("", "", ""),))
    found = [c for c in published_curves(quantity="percent_equiv") if c.complete]
    return [c for c in found if any(_begins(c, start) for start in starts)]


def _begins(curve: PublishedCurve, start: tuple[str, str, str]) -> bool:
    """True if task, model and variant begin so."""
    return all(name.startswith(s) for name, s in zip((curve.task, curve.model, curve.variant), start, strict=True))


def reached(kind: str = "") -> Published:
    """Lowest published percentage within 10,000 updates.

    Args:
        kind: of group, `size`, `samples` or `optimiser`; empty for all trainings.
    """

    def found() -> list[Evidence]:
        return [_lowest(c) for c in _percentages(kind)]

    return found


def _lowest(curve: PublishedCurve) -> Evidence:
    early = curve.value[curve.step <= LAST]
    return _evidence(curve, float(early.min()), bool(curve.step[-1] >= LAST))


def stays() -> list[Evidence]:
    """Highest published percentage after the first one at or below 2 %."""
    return [_highest(c) for c in _percentages()]


def _highest(curve: PublishedCurve) -> Evidence:
    small = np.flatnonzero(curve.value <= SMALL)
    if not len(small):
        scope = _evidence(curve, 0.0).scope
        return Evidence(scope, curve.label, doubt=curve.remark or f"is never at {SMALL:g} % or below")
    return _evidence(curve, float(curve.value[small[0] :].max()))


def at_end() -> list[Evidence]:
    """Last published percentage."""
    return [_evidence(c, float(c.value[-1])) for c in _percentages()]


def penalty() -> list[Evidence]:
    """Largest published equivariance error in percent of the twirled prediction error, from the first learned point."""
    found = []
    for equiv in published_curves(quantity="loss_equiv"):
        means = [c for c in published_curves(equiv.task, "loss_mean") if _same(c, equiv)]
        if means:
            found.append(_penalty(equiv, means[0]))
    return found


def _same(one: PublishedCurve, other: PublishedCurve) -> bool:
    """True for two quantities of one training and time."""
    return one.training == other.training and one.time == other.time


def _penalty(equiv: PublishedCurve, mean: PublishedCurve) -> Evidence:
    share = 1 / ROTATIONS[equiv.task]  # L_mean is too high by L_equiv / K
    inside = (equiv.step >= mean.step[0]) & (equiv.step <= mean.step[-1])
    step, top = equiv.step[inside], equiv.value[inside]
    below = interpolated(mean, step) - share * top
    total = top + below
    learned = total <= LEARNED * total[0]
    if not learned.any():
        return _evidence(equiv, np.nan, doubt="has not learned")
    return _evidence(equiv, float((100 * top / below)[learned.argmax() :].max()))


def interpolated(curve: PublishedCurve, step: Float[Array, " step"]) -> Float[Array, " step"]:
    """The values of a curve at other steps, linear in logarithms."""
    return np.exp(np.interp(np.log(step), np.log(curve.step), np.log(curve.value)))


def gradients() -> list[Evidence]:
    """Correlation of the changes of the published ratio of gradient norms and of the percentage (force field)."""
    found = []
    for ratio in published_curves(quantity="gradient_ratio"):
        (percent,) = [c for c in published_curves(ratio.task, "percent_equiv") if _same(c, ratio)]
        pair = np.log(ratio.value), np.log(interpolated(percent, ratio.step))
        found.append(Evidence(ratio.task, ratio.label, *(correlation_of_changes(*pair) or ())))
    return found

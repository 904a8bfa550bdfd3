"""Evidence for claims on the percentage: when it becomes small, whether it stays so, and whether it is so at the end.

Each is a percentage that can be compared with the limit: the lowest one within 10,000 updates, the highest one after
the first small one, and the last one. Flow matching has them for all times together, and for bins of times.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np

from ...._typing import Array, Bool, Callable, Float, Int, Sequence
from ....estimators import loss_split
from ....estimators.bootstrap import Clusters
from ....estimators.course import interval_of_highest, interval_of_lowest
from ...trainings import Training, by_run, under_all_rotations
from ..course.courses import RESAMPLES, TimeBin, time_bins
from .evidence import clusters_of, learners, tails, task_of, term_of, turning
from .judge import Evidence

SMALL = 2.0  # percent
LAST = 10_000  # updates within which the error should become small
DIVERGED = "has a loss that is not a number"
LEVELS = 1.5  # sizes are different if the largest is at least this many times the smallest
IDLE = {"device", "save_every", "checkpoints_per_decade"}  # keys of the `train` section that change no weight
MAY_VARY = {  # by kind of group, the keys of the `train` section that may differ within it
    "size": {"learning_rate"},
    "samples": {"samples"},
    "optimiser": {"optimiser", "learning_rate", "momentum"},
}


@dataclass(frozen=True)
class Curve:
    """The percentage of one training over all its checkpoints, of all samples or of a bin of times.

    floor: percentage that rounding and interpolation alone make.
    bound: True if the percentages are lower bounds.
    """

    scope: str
    label: str
    step: Int[Array, " step"]
    percent: Float[Array, " step"]
    low: Float[Array, " step"]
    high: Float[Array, " step"]
    learned: Bool[Array, " step"]
    total: Float[Array, "step sample"]
    equiv: Float[Array, "step sample"]
    cluster: Clusters
    floor: Float[Array, " step"]
    bound: bool

    def at(self, chosen: Bool[Array, " step"]) -> Curve:
        """Some of the checkpoints."""
        names = ("step", "percent", "low", "high", "learned", "total", "equiv", "floor")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    @property
    def doubt(self) -> str:
        """A reason not to trust the interval of the percentage at any of the checkpoints; empty for none."""
        found = (tails(e, t, self.cluster) for e, t in zip(self.equiv, self.total, strict=True))
        return next(filter(None, found), "")

    def evidence(self, value: float, low: float, high: float, final: bool = True, doubt: str = "") -> Evidence:
        """Evidence of these checkpoints."""
        low = low - float(self.floor.max(initial=0.0))
        return Evidence(self.scope, self.label, value, low, high, final, doubt or self.doubt, self.bound)

    def unknown(self, doubt: str) -> Evidence:
        """No number, and why."""
        return Evidence(self.scope, self.label, doubt=doubt, bound=self.bound)


def curves(training: Training, term: str) -> list[Curve]:
    """The percentage of all samples and, for flow matching, of bins of times."""
    return [_curve(training, term, part) for part in (None, *time_bins(training))]


def _curve(training: Training, term: str, part: TimeBin | None) -> Curve:
    data, bound = under_all_rotations(training, term)
    equiv, mean = (data[f"sample_loss_{name}"].values for name in ("equiv", "mean"))
    scope, cluster = task_of(training), clusters_of(data)
    if part is None:
        ends = [data[f"percent_equiv{end}"].values for end in ("", "_low", "_high")]
    else:
        equiv, mean, cluster = equiv[:, part.chosen], mean[:, part.chosen], cluster[part.chosen]
        drawn = loss_split.percent_interval(equiv + mean, equiv, RESAMPLES, 0, cluster)
        ends, scope = [loss_split.percent((equiv + mean).mean(-1), equiv.mean(-1)), *drawn], f"{scope}, {part.words}"
    steps = data["step"].values
    learned = ~data["trivial"].values.astype(bool)
    return Curve(scope, training.label, steps, *ends, learned, equiv + mean, equiv, cluster, turning(data), bound)


def reached(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Lowest percentage at a checkpoint of the first 10,000 updates that has learned."""
    return _each(trainings, term, _reached)


def stays(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Highest percentage after the first checkpoint at or below 2 %."""
    return _each(trainings, term, _stays)


def at_end(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Percentage at the last checkpoint."""
    return _each(trainings, term, _at_end)


def _each(trainings: Sequence[Training], term: str, evidence: Callable[[Curve], Evidence]) -> list[Evidence]:
    return [evidence(c) for t in learners(trainings, term) for c in curves(t, term_of(t, term))]


def _reached(curve: Curve) -> Evidence:
    early = curve.at(curve.step <= LAST)
    if not early.learned[-1:].any():
        return curve.unknown(f"has not learned by update {LAST:,}")
    early = early.at(early.learned)
    if not np.isfinite(early.percent).all():
        return curve.unknown(DIVERGED)
    low, high = interval_of_lowest(early.total, early.equiv, early.low, early.high, curve.cluster)
    lowest = early.at(np.arange(len(early.step)) == early.percent.argmin())
    final = bool(curve.step[-1] >= LAST)
    return lowest.evidence(float(lowest.percent[0]), low, high, final)


def _stays(curve: Curve) -> Evidence:
    small = np.flatnonzero(curve.learned & (curve.percent <= SMALL))
    if not len(small):
        return curve.unknown(f"is at {SMALL:g} % or below at no checkpoint that has learned")
    later = curve.at(curve.learned & (np.arange(len(curve.step)) >= small[0]))
    if not np.isfinite(later.percent).all():
        return curve.unknown(DIVERGED)
    low, high = interval_of_highest(later.total, later.equiv, later.low, later.high, curve.cluster)
    value, end = float(later.percent.max()), int(curve.step[-1])
    early = f"ends at update {end:,}, too early to show that it stays" if end < LAST and value <= SMALL else ""
    return later.evidence(value, low, high, doubt=early)


def _at_end(curve: Curve) -> Evidence:
    if not curve.learned[-1]:
        return curve.unknown("has not learned by its last checkpoint")
    last = curve.at(np.arange(len(curve.step)) == len(curve.step) - 1)
    was_small = bool((curve.learned & (curve.percent <= SMALL)).any())
    final = was_small or bool(curve.step[-1] >= LAST)  # otherwise a longer training might end lower
    return last.evidence(float(last.percent[0]), float(last.low[0]), float(last.high[0]), final)


def by(
    kind: str, evidence: Callable[[Sequence[Training], str], list[Evidence]]
) -> Callable[[Sequence[Training], str], list[Evidence]]:
    """Evidence of groups of trainings that differ only in `kind`, and have two levels of it at least.

    Of several learning rates of an optimiser the run with the lowest loss at the end counts.

    Args:
        kind: `size`, `samples` or `optimiser`.
    """

    def found(trainings: Sequence[Training], term: str) -> list[Evidence]:
        groups: dict[str, list[Training]] = {}
        for training in learners(trainings, term):
            groups.setdefault(_all_but(training, kind), []).append(training)
        groups = {name: _best_rates(group, term) if kind == "optimiser" else group for name, group in groups.items()}
        chosen = [t for group in groups.values() if _varies([_level(t, kind) for t in group]) for t in group]
        return evidence(chosen, term)

    return found


def _all_but(training: Training, kind: str) -> str:
    """The settings that all trainings of a group share, as text."""
    run = training.spec
    kept = {k: v for k, v in run["train"].items() if k not in MAY_VARY[kind] | IDLE}
    model = {"name": run["model"]["name"]} if kind == "size" else run["model"]
    return json.dumps([run.get("dataset"), run["task"], model, kept], sort_keys=True)


def _best_rates(group: Sequence[Training], term: str) -> list[Training]:
    """The trainings of the run with the lowest mean loss at the end, of every optimiser; NaN counts last."""
    runs: dict[str, list[tuple[float, list[Training]]]] = {}
    for seeds in by_run(group).values():
        loss = float(np.mean([t.last(term_of(t, term))["loss_total"] for t in seeds]))
        runs.setdefault(str(_level(seeds[0], "optimiser")), []).append((loss, seeds))
    best = [min(found, key=lambda one: (math.isnan(one[0]), one[0])) for found in runs.values()]
    return [t for _, seeds in best for t in seeds]


def _level(training: Training, kind: str) -> float | str:
    """The value of the key that varies in a group."""
    attribute = {"size": "parameters", "samples": "training_samples"}.get(kind)
    return float(training.attrs.get(attribute, 0)) if attribute else str(training.spec["train"].get(kind))


def _varies(levels: Sequence[float | str]) -> bool:
    """True if the levels differ; sizes by a factor of `LEVELS` at least."""
    if isinstance(levels[0], str):
        return len(set(levels)) > 1
    return max(levels) >= LEVELS * min(levels) > 0

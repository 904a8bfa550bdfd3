"""Loss against cost for families of runs, and the cost at which one family overtakes another, with its interval.

The curve of a run has a point for every checkpoint after step 0: its cost, and the lowest loss of any checkpoint so
far. Both are geometric means over seeds of means over held-out samples. The minimum is taken after the mean over seeds,
so that a lucky checkpoint of one seed does not set it. Between points the logarithm of the loss is linear in that of
the cost; beyond the last point the loss stays, because a training may be stopped. The curve of a family is the lowest
curve of its runs at every cost: the run that is best for a budget.

A family OVERTAKES at the last cost at which it gets ahead, and is ahead from there to the end of the measured range.
Crossings before that are noise or detours. Intervals contain the variation between held-out samples and that between
seeds. Samples are drawn once for all runs (bootstrap), which are thereby paired. The mean over the seeds of a run
varies as Student's t, all checkpoints together, with Welch's degrees of freedom of the difference between two runs.
Two seeds a run therefore give wide intervals. One seed has no variation that could be measured: nothing has an
interval there.

docs/calibration.md has the coverage of the crossing and of the loss ratio with 2, 3 and 5 seeds, for several shares of
seeds and samples in the noise. Intervals are too wide where the noise is of samples in one training, since it is both
between seeds and between samples.
Source: Welch, Biometrika 34, 28 (1947).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ...._typing import Array, Float, Int, Sequence
from ....estimators.bootstrap import Clusters, resampled_means

RESAMPLES = 1000
UNCERTAINTY = ("low", "high", "crossing", "throughout", "behind", "ratio_low", "ratio_high")


@dataclass(frozen=True)
class Run:
    """All seeds of a run at every checkpoint after step 0.

    name: of the trainings. Runs of one name are the same trainings, used in another way: seeds are drawn together.
    cost: of the training up to the checkpoint, positive.
    loss: of every held-out sample.
    sample: numbers of these samples, the same for all runs that are compared.
    serving: cost of one inference, all its forward passes together.
    cluster: of every sample; None if they are independent.
    """

    name: str
    cost: Float[Array, "seed step"]
    loss: Float[Array, "seed step sample"]
    sample: Int[Array, " sample"]
    serving: float = 0.0
    cluster: Clusters = None


class Curves(NamedTuple):
    """Logarithms of the curve of a run: the estimate first, then one curve per bootstrap resample."""

    cost: Float[Array, "resample step"]
    loss: Float[Array, "resample step"]


@dataclass(frozen=True)
class Crossover:
    """The family that is ahead at the end of the measured range, of two, and the cost from which it is ahead.

    ahead: 0 for the first, 1 for the second.
    cost: from which it is ahead; None if it is ahead throughout, without a crossing.
    low, high: ends of the 95 % interval of that cost; 0 and infinity if they lie before or beyond the range.
    start, end: the measured range, from the cost at which either family has learned to the lower of their last costs.
    crossing, throughout, behind: shares of the resamples in which that family overtakes within the range, is ahead in
        all of it, or is behind at its end.
    ratio, ratio_low, ratio_high: its loss at the end over that of the other family, with its 95 % interval.

    Intervals and shares are NaN where a run has one seed.
    """

    ahead: int
    cost: float | None
    low: float
    high: float
    start: float
    end: float
    crossing: float
    throughout: float
    behind: float
    ratio: float
    ratio_low: float
    ratio_high: float

    def alone(self) -> Crossover:
        """The same without intervals and shares, for runs of one seed."""
        return replace(self, **dict.fromkeys(UNCERTAINTY, math.nan))


def resampled(runs: Sequence[Run], resamples: int = RESAMPLES, seed: int = 0) -> list[Curves]:
    """The curves of the runs: the estimate from all seeds and samples, and their bootstrap resamples.

    Raises:
        ValueError: the runs were measured on different held-out samples, or a cost is not positive.
    """
    for run in runs:
        if not np.array_equal(run.sample, runs[0].sample):
            raise ValueError("runs that are compared need the same held-out samples")
        if not (run.cost > 0).all():
            raise ValueError("a training has a positive cost at every checkpoint after step 0")
    names = list(dict.fromkeys(run.name for run in runs))
    freedom = _freedom([next(run for run in runs if run.name == name) for name in names])
    scale = np.sqrt(freedom / np.random.default_rng([seed, len(names)]).chisquare(freedom, resamples))
    return [_resampled(run, scale, seed, names.index(run.name)) for run in runs]


def _freedom(runs: Sequence[Run]) -> float:
    """Welch's degrees of freedom of a difference of two runs at their last checkpoints, of the pair with the fewest."""
    several = [run for run in runs if len(run.cost) > 1]
    counts = np.array([len(run.cost) for run in several], float)
    with np.errstate(invalid="ignore", divide="ignore"):
        ends = [np.log(run.loss[:, -1].mean(-1)) for run in several]
    variance = np.array([end.var(ddof=1) / len(end) for end in ends])
    pairs = [[i, j] for i, j in combinations(range(len(several)), 2) if np.isfinite(variance[[i, j]]).all()]
    found = [variance[p].sum() ** 2 / (variance[p] ** 2 / (counts[p] - 1)).sum() for p in pairs if variance[p].any()]
    return float(min([*found, *(counts - 1 if not found else [])], default=1.0))


def _resampled(run: Run, scale: Float[Array, " resample"], seed: int, stream: int) -> Curves:
    """The curve of a run.

    Args:
        scale: of Student's t over the normal distribution, the same for all runs.
        stream: number of the name of the run, and of the random numbers that vary its seeds.
    """
    weight = _weights(len(run.cost), scale, np.random.default_rng([seed, stream]))
    means = resampled_means(run.loss, len(scale), seed, run.cluster)  # the same seed for all runs: the same samples
    means = np.concatenate([run.loss.mean(-1)[..., None], means], -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(means > 0, np.log(means), np.inf)  # estimates of a twirled loss may be negative by noise
    loss = np.einsum("ws,skw->wk", weight, np.where(np.isinf(logs), 0, logs))
    loss = np.where(np.isinf(logs).any(0).T, np.inf, loss)
    cost = np.maximum.accumulate(weight @ np.log(run.cost), 1)
    return Curves(cost, np.minimum.accumulate(loss, 1))


def _weights(seeds: int, scale: Float[Array, " resample"], random: np.random.Generator) -> Float[Array, "one seed"]:
    """Weights of the seeds in a mean that varies as Student's t; they sum to 1, and the first are all the same."""
    weight = np.full((len(scale) + 1, seeds), 1 / seeds)
    if seeds > 1:
        normal = random.standard_normal((len(scale), seeds))
        normal -= normal.mean(1, keepdims=True)
        weight[1:] += scale[:, None] * normal / math.sqrt(seeds * (seeds - 1))
    return weight


def served(curves: Curves, serving: float, inferences: float) -> Curves:
    """The curves against the cost of training and of a number of inferences together."""
    if inferences == 0 or serving == 0:
        return curves
    return curves._replace(cost=np.logaddexp(curves.cost, math.log(inferences * serving)))


def best(family: Sequence[Curves], cost: Float[Array, "#resample point"]) -> Float[Array, "resample point"]:
    """Logarithm of the lowest loss of the family at these costs; infinite below its first checkpoint."""
    return np.min([_loss_at(curves, cost) for curves in family], 0)


def _loss_at(curves: Curves, cost: Float[Array, "#resample point"]) -> Float[Array, "resample point"]:
    """The curve of a run at these costs."""
    x, y = curves
    passed = (x[:, None] <= cost[..., None]).sum(-1)
    before, after = np.maximum(passed - 1, 0), np.minimum(passed, x.shape[1] - 1)
    (x0, y0), (x1, y1) = ([np.take_along_axis(v, place, 1) for v in (x, y)] for place in (before, after))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(before == after, y0, y0 + (y1 - y0) * (cost - x0) / (x1 - x0))
    return np.where((passed == 0) | np.isinf(y0), np.inf, found)


def measured_range(families: Sequence[Sequence[Curves]], learned: float) -> tuple[float, float] | None:
    """Logarithms of the costs between which families can be compared; None if no family has learned.

    Args:
        learned: a network has learned below this loss.
    """
    firsts = [[Curves(c.cost[:1], c.loss[:1]) for c in family] for family in families]
    points = np.unique(np.concatenate([c.cost[0] for family in firsts for c in family]))
    passed = np.min([best(family, points[None])[0] for family in firsts], 0) <= math.log(learned)
    start, end = points[np.argmax(passed)], min(max(c.cost[0, -1] for c in family) for family in firsts)
    return (float(start), float(end)) if passed.any() and start < end else None


def crossover(one: Sequence[Curves], other: Sequence[Curves], learned: float) -> Crossover | None:
    """The family that is ahead at the end of the measured range, of two; None if neither has learned.

    Args:
        one, other: the families, curves of their runs from one call of `resampled`.
        learned: a network has learned below this loss; the comparison begins there.
    """
    limits = measured_range((one, other), learned)
    if limits is None:
        return None
    points = np.concatenate([c.cost for c in (*one, *other)] + [np.tile(limits, (len(one[0].cost), 1))], 1)
    points = np.sort(points.clip(*limits), 1)
    gap = difference(best(one, points), best(other, points))
    sign = 1 if gap[0, -1] <= 0 else -1
    at, cost, behind = sign * gap[:, -1], last_change(points, gap), sign * gap[1:, -1] > 0
    overtaken = np.where(behind, np.inf, cost[1:])
    ends = [np.quantile(v, [0.025, 0.975], method="inverted_cdf") for v in (overtaken, at[1:])]  # with infinities
    return Crossover(
        ahead=0 if sign == 1 else 1,
        cost=math.exp(cost[0]) if np.isfinite(cost[0]) else None,
        low=math.exp(ends[0][0]),
        high=math.exp(ends[0][1]),
        start=math.exp(limits[0]),
        end=math.exp(limits[1]),
        crossing=float(np.isfinite(overtaken).mean()),
        throughout=float((overtaken == -np.inf).mean()),
        behind=float(behind.mean()),
        ratio=math.exp(at[0]),
        ratio_low=math.exp(ends[1][0]),
        ratio_high=math.exp(ends[1][1]),
    )


def difference(
    first: Float[Array, "resample point"], second: Float[Array, "resample point"]
) -> Float[Array, "resample point"]:
    """Difference of logarithms of losses; 0 where both are infinite."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(first) & np.isinf(second), 0.0, first - second)


def last_change(
    points: Float[Array, "resample point"], gap: Float[Array, "resample point"]
) -> Float[Array, " resample"]:
    """The place of the last change of sign of `gap`, linear between points; -inf if the sign never changes.

    A family that costs more to serve has no loss below some cost; it gets ahead there by a jump.
    """
    changed = (gap[:, :-1] > 0) != (gap[:, -1:] > 0)
    last = (changed.shape[1] - 1 - np.argmax(changed[:, ::-1], 1))[:, None]
    (x0, g0), (x1, g1) = ([np.take_along_axis(v, place, 1)[:, 0] for v in (points, gap)] for place in (last, last + 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(np.isfinite(g0) & np.isfinite(g1), x0 + (x1 - x0) * g0 / (g0 - g1), x1)
    return np.where(changed.any(1), found, -np.inf)

"""The headline of a training: its last checkpoint in numbers and in a sentence, and when its error became small."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from .._typing import Array, Bool, Float, Int, Sequence
from ..estimators import heavy_tails
from ..estimators.bootstrap import FEW_CLUSTERS
from .trainings import PRIMARY, Training, at_floor, primary_term, under_all_rotations
from .wording import plural


@dataclass(frozen=True)
class Crossing:
    """The steps at which the percentage falls below the threshold, among checkpoints that have learned.

    first: the first step below; None if there is none.
    lasting: the step from which every checkpoint is below; None if the last one is not.
    """

    first: int | None
    lasting: int | None


@dataclass(frozen=True)
class Headline:
    """The last checkpoint of a training, for one term of the loss; percentages in percent.

    trivial: True if the learned fraction is below its limit `learned_from`, NaN if that is unknown.
    penalty: 100 loss_equiv / loss_mean, the loss that the twirled prediction would save.
    heavy_tailed: True if heavy tails make the interval approximate, although there are enough clusters.
    top_share: share of the equivariance error that the top 1 % of clusters carry; NaN if unknown.
    top_count: number of these clusters, and of all; at least one is the top.
    floor: equivariance error by rounding and turning alone; NaN if unknown.
    at_floor: True if the equivariance error is rounding error.
    bound: True if the percentage is a lower bound, under the rotations of a cube alone.
    """

    run: str
    seed: int
    term: str
    step: int
    loss: float
    loss_zero: float
    percent: float
    low: float
    high: float
    learned: float
    trivial: bool
    learned_from: float
    penalty: float
    crossing: Crossing
    heavy_tailed: bool
    top_share: float
    top_count: tuple[int, int]
    floor: float
    at_floor: bool = False
    bound: bool = False

    @property
    def floor_percent(self) -> float:
        """The floor in percent of the loss."""
        return 100 * self.floor / self.loss if self.loss else math.nan


# numbers


def crossing(
    step: Int[Array, " step"], percent: Float[Array, " step"], trivial: Bool[Array, " step"], threshold: float
) -> Crossing:
    """First step below the threshold, and the step from which all are below. NaN is not below."""
    below = (percent < threshold) & ~trivial
    if not below.any():
        return Crossing(None, None)
    first = int(step[np.argmax(below)])
    if not below[-1]:
        return Crossing(first, None)
    above = np.flatnonzero(~below)
    return Crossing(first, int(step[above[-1] + 1 if len(above) else 0]))


def headline(training: Training, term: str, threshold: float) -> Headline:
    """The headline of one training for one term."""
    data, last = training.of_term(term), training.last(term)
    mean = float(last["loss_mean"])
    return Headline(
        run=training.run,
        seed=training.seed,
        term=primary_term(training) if term == PRIMARY else term,
        step=int(last["step"]),
        loss=float(last["loss_total"]),
        loss_zero=float(data["loss_zero"]),
        percent=float(last["percent_equiv"]),
        low=float(last["percent_equiv_low"]),
        high=float(last["percent_equiv_high"]),
        learned=float(last["learned_fraction"]),
        trivial=bool(last["trivial"]),
        learned_from=float(training.twirl.attrs.get("trivial_below", math.nan)),
        penalty=100 * float(last["loss_equiv"]) / mean if mean > 0 else math.nan,
        crossing=crossing(*(data[n].values for n in ("step", "percent_equiv", "trivial")), threshold),
        heavy_tailed=is_heavy(last),
        top_share=top_share(last),
        top_count=top_count(last),
        floor=float(last["loss_equiv_floor"]) if "loss_equiv_floor" in last else math.nan,
        at_floor=bool(at_floor(training, term)[-1]),
        bound=term == PRIMARY and under_all_rotations(training, primary_term(training))[1],
    )


def top_share(data: xr.Dataset) -> float:
    """Share of the equivariance error carried by the top 1 % of clusters, at least one; NaN if they are not stored."""
    if "sample_loss_equiv" not in data:
        return math.nan
    return float(heavy_tails.top_share(data["sample_loss_equiv"].values, cluster=data["cluster"].values))


def top_count(data: xr.Dataset) -> tuple[int, int]:
    """Number of clusters that are the top 1 %, and of all clusters; 0 if they are not stored."""
    count = len(np.unique(data["cluster"].values)) if "cluster" in data else 0
    return math.ceil(count / 100), count


def is_heavy(data: xr.Dataset) -> bool:
    """True if heavy tails of the equivariance error or of the loss make intervals at one checkpoint approximate.

    False for few clusters, which have a note of their own, and if samples are not stored.
    """
    if "sample_loss_equiv" not in data or len(np.unique(data["cluster"])) < FEW_CLUSTERS:
        return False
    equiv, cluster = data["sample_loss_equiv"].values, data["cluster"].values
    parts = [equiv, equiv + data["sample_loss_mean"].values] if "sample_loss_mean" in data else [equiv]
    return any(bool(heavy_tails.is_heavy(part, cluster)) for part in parts)


def physical_error(training: Training, term: str) -> tuple[float, str]:
    """Root mean square error of a component at the last checkpoint, and its unit (eV becomes meV).

    Every sample counts the same, as in the loss. `benchmarks` pools the atoms of all samples, as is usual for forces.
    """
    attrs = training.twirl.attrs
    loss = float(training.last(term)["loss_total"])
    value = math.sqrt(loss) * float(attrs[f"scale_{term}"]) if loss >= 0 else math.nan
    unit = str(attrs.get(f"unit_{term}", "1"))
    return (1000 * value, "m" + unit) if unit.startswith("eV") else (value, unit)


def with_scale(training: Training) -> list[str]:
    """The terms whose error has a unit of the data."""
    terms = [str(t) for t in training.twirl["term"].values if t != "weighted"]
    return [t for t in terms if f"scale_{t}" in training.twirl.attrs]


# sentences


def _enough(line: Headline) -> str:
    """`at least 10 %`: the least learned fraction at which a percentage counts."""
    return f"at least {100 * line.learned_from:g} %" if math.isfinite(line.learned_from) else "enough"


def summary(lines: Sequence[Headline], threshold: float) -> str:
    """All trainings in a few sentences."""
    total, exact = len(lines), sum(line.at_floor for line in lines)
    lines = [line for line in lines if not line.at_floor] or lines
    lasting = [line.crossing.lasting for line in lines if line.crossing.lasting is not None]
    text = f"In {len(lasting) or 'none'} of {plural(len(lines), 'training')} the equivariance error ends below "
    text += f"{threshold:g} % of the held-out loss"
    if lasting:
        first, last = min(lasting), max(lasting)
        text += f", for good from step {first} on" + (f" at the earliest, {last} at the latest" if first < last else "")
    text += "."
    if trivial := [line for line in lines if line.trivial]:
        text += f" In {len(trivial)} the last checkpoint does not have {_enough(trivial[0])} learned."
    if bounds := sum(line.bound and not line.at_floor for line in lines):
        text += f" In {bounds} the percentage is a lower bound, under the rotations of a cube alone."
    return text + (f" In {exact} more it is rounding error." if exact < total and exact else "")

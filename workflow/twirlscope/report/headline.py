"""What was found, in numbers and in words: the headline of every training, and when its error became small."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from .._typing import Array, Bool, Float, Int, Sequence
from ..estimators import heavy_tails
from .trainings import Training, at_floor
from .wording import say, words


@dataclass(frozen=True)
class Crossing:
    """When the percent is below the threshold; checkpoints where nothing is learned do not count.

    first: first step below, None if there is none.
    lasting: from this step on it is below at every checkpoint, "the time to"; None if it is not below at the end.
    """

    first: int | None
    lasting: int | None


@dataclass(frozen=True)
class Headline:
    """The last checkpoint of a training in one row, for one term of the loss; percentages in percent."""

    run: str
    seed: int
    term: str
    step: int
    checkpoints: int
    loss: float
    loss_zero: float
    percent: float
    low: float
    high: float
    learned: float
    trivial: bool
    penalty: float  # 100 loss_equiv / loss_mean: how much the twirled prediction would save
    untrained: tuple[int, float]  # step and percent of the first checkpoint
    start: tuple[int, float] | None  # step and percent of the first checkpoint where something is learned
    crossing: Crossing
    doubtful: bool  # whether heavy tails make the interval doubtful
    heavy: float  # share of the equivariance error carried by the top 1 % of samples, NaN if unknown
    floor: float  # equivariance error that rounding and turning make, NaN if unknown
    group: str = "SO3"  # of the rotations it is relative to
    at_floor: bool = False  # whether the equivariance error is no more than that


def crossing(
    step: Int[Array, " step"], percent: Float[Array, " step"], trivial: Bool[Array, " step"], threshold: float
) -> Crossing:
    """First step below the threshold, and the step from which it stays below. NaN is not below."""
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
    data = training.twirl.sel(term=term)
    last = data.isel(step=-1)
    learned = np.flatnonzero(~data["trivial"].values)
    start = (int(data["step"][learned[0]]), float(data["percent_equiv"][learned[0]])) if len(learned) else None
    mean = float(last["loss_mean"])
    return Headline(
        run=training.run,
        seed=training.seed,
        term=term,
        step=int(last["step"]),
        checkpoints=data.sizes["step"],
        loss=float(last["loss_total"]),
        loss_zero=float(data["loss_zero"]),
        percent=float(last["percent_equiv"]),
        low=float(last["percent_equiv_low"]),
        high=float(last["percent_equiv_high"]),
        learned=float(last["learned_fraction"]),
        trivial=bool(last["trivial"]),
        penalty=100 * float(last["loss_equiv"]) / mean if mean > 0 else math.nan,
        untrained=(int(data["step"][0]), float(data["percent_equiv"][0])),
        start=start,
        crossing=crossing(*(data[n].values for n in ("step", "percent_equiv", "trivial")), threshold),
        doubtful="sample_loss_equiv" in last and bool(heavy_tails.is_heavy(last["sample_loss_equiv"].values)),
        heavy=top_share(last),
        floor=float(last["loss_equiv_floor"]) if "loss_equiv_floor" in last else math.nan,
        group=training.twirl.attrs.get("group", "SO3"),
        at_floor=bool(at_floor(training, term)[-1]),
    )


def top_share(data: xr.Dataset) -> float:
    """Share of the equivariance error carried by the top 1 % of samples, at least one; NaN if they are not stored."""
    if "sample_loss_equiv" not in data:
        return math.nan
    return float(heavy_tails.top_share(data["sample_loss_equiv"].values))


def physical_error(training: Training, term: str) -> tuple[float, str]:
    """Root mean square error of a component at the last checkpoint, in the unit of the data (eV becomes meV)."""
    attrs = training.twirl.attrs
    loss = float(training.twirl["loss_total"].sel(term=term)[-1])
    value = math.sqrt(loss) * float(attrs[f"scale_{term}"]) if loss >= 0 else math.nan
    unit = str(attrs.get(f"unit_{term}", "1"))
    return (1000 * value, "m" + unit) if unit.startswith("eV") else (value, unit)


def with_scale(training: Training) -> list[str]:
    """The terms whose error can be said in the unit of the data."""
    terms = [str(t) for t in training.twirl["term"].values if t != "weighted"]
    return [t for t in terms if f"scale_{t}" in training.twirl.attrs]


def sentence(line: Headline, threshold: float) -> str:
    """What was found in one training, in words with numbers."""
    percent = f"{say(line.percent)} % (95 % interval {say(line.low)} to {say(line.high)} %)"
    name = f"In run {line.run} (seed {line.seed})"
    subject = f"{name} the equivariance error, as a share of the held-out loss ({words(line.term)}),"
    if line.at_floor:
        text = f"{subject} is {say(line.percent)} % at step {line.step}, no more than rounding and turning make: the "
        return f"{text}network has none that can be seen. {_group_words(line)}{_loss(line).capitalize()}."
    if line.start is None:
        text = f"{subject} is {percent} at step {line.step}, but nothing was learned at any checkpoint, "
        return text + f"so this percent means nothing: {_loss(line)}."
    if line.checkpoints == 1:
        text = f"{subject} is {percent} at step {line.step}, the only checkpoint."
    elif line.start[0] == line.step:
        text = f"{subject} is {percent} at step {line.step}, the first checkpoint at which anything is learned."
    else:
        verb = "fell" if line.percent < line.start[1] else "went"
        text = f"{subject} {verb} from {say(line.start[1])} % at step {line.start[0]}, the first checkpoint at which "
        text += f"anything is learned{_untrained(line)}, to {percent} at step {line.step}."
    about = _group_words(line) + _floor_words(line) + _crossing_words(line, threshold)
    return f"{text} {about} {_loss(line).capitalize()}."


def _untrained(line: Headline) -> str:
    """Where it began, if that is not where something was first learned."""
    step, percent = line.untrained
    return f" (at step {step} it was {say(percent)} %)" if step < line.start[0] else ""


def _group_words(line: Headline) -> str:
    """What the percent is relative to, where that is not every rotation."""
    if line.group != "octahedral":
        return ""
    return "It is relative to the 24 rotations of a cube: a lower bound of the error under all rotations. "


def _floor_words(line: Headline) -> str:
    """What of the percent turning makes, where it can be seen."""
    floor = 100 * line.floor / line.loss if line.loss > 0 else math.nan
    return f"Turning fields by interpolation makes {say(floor)} % of its own. " if floor > 1e-3 * line.percent else ""


def _loss(line: Headline) -> str:
    return f"the final held-out loss is {say(line.loss / line.loss_zero)} of the loss of predicting zero"


def _crossing_words(line: Headline, threshold: float) -> str:
    first, lasting, limit = line.crossing.first, line.crossing.lasting, f"{threshold:g} %"
    doubt = f" Its interval at the end reaches above {limit}." if line.high >= threshold else ""
    if line.trivial:
        return "At the last checkpoint nothing is learned, so the final percent means nothing."
    if first is None:
        return f"It is not below {limit} at any checkpoint at which something is learned."
    if lasting is None:
        return f"It is first below {limit} at step {first}, but not at the last checkpoint."
    if line.checkpoints == 1:
        return f"It is below {limit} there.{doubt}"
    if first == lasting:
        return f"It is below {limit} from step {lasting} on, at every later checkpoint.{doubt}"
    return f"It is first below {limit} at step {first} and stays below from step {lasting} on.{doubt}"


def summary(lines: Sequence[Headline], threshold: float) -> str:
    """All trainings in one sentence."""
    total, exact = len(lines), sum(line.at_floor for line in lines)
    lines = [line for line in lines if not line.at_floor] or lines
    lasting = [line.crossing.lasting for line in lines if line.crossing.lasting is not None]
    trivial = sum(line.trivial for line in lines)
    trainings = f"{len(lines)} trainings" if len(lines) > 1 else "1 training"
    if lasting:
        first, last = min(lasting), max(lasting)
        steps = f"at step {first}" if first == last else f"between step {first} and step {last}"
        text = (
            f"In {len(lasting)} of {trainings} the equivariance error ends below {threshold:g} % of the held-out loss "
        )
        text += f"with something learned, reached for good {steps}."
    else:
        text = f"In none of {trainings} does the equivariance error end below {threshold:g} % of the held-out loss "
        text += "with something learned."
    text += f" In {trivial} of them nothing is learned at the last checkpoint." if trivial else ""
    return text + (
        f" In {exact} more it is no more than what rounding and turning make." if exact < total and exact else ""
    )

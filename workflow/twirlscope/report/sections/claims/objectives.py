"""Claims of papers on objectives of training: REMUL, TransIP, and symmetry losses against augmentation.

Each compares geometric means over seeds, three per side or more, of trainings whose FLOPs agree within 5 %.
"""

from __future__ import annotations

import math

from ...._typing import Callable, Sequence
from ....estimators import over_seeds
from ...trainings import Training, claims_equivariance, primary_term
from ..objectives.comparison import Comparison, comparisons, flops_of, words
from .judge import Claim, Evidence

REMUL = "arXiv 2410.17878"
STRENGTHS = 4  # least number of different strengths
SEEDS = 3
PENALTIES = ("equiv_penalty", "remul", "latent", "lie_penalty")
EQUAL = 0.05  # relative difference of FLOPs
MATCHED = 0.1  # relative difference of the numbers of parameters

Value = Callable[[Training], float]


def last(name: str) -> Value:
    """A number of the primary term at the last checkpoint."""
    return lambda training: float(training.last(primary_term(training))[name])


def force_error(training: Training) -> float:
    """Mean length of the error vectors at the last checkpoint; NaN where it was not measured."""
    data = training.last(primary_term(training))
    known = "convex_loss_total" in data and "l2" in data["convex"].values
    return float(data["convex_loss_total"].sel(convex="l2")) if known else math.nan


def seconds(training: Training) -> float:
    """Time of an inference [s]."""
    return math.nan if training.train is None else float(training.train.get("seconds_inference", math.nan))


def of_name(comparison: Comparison, name: str) -> dict[str, list[Training]]:
    """The trainings of an objective, whatever its settings."""
    return {w: trainings for w, trainings in comparison.seeds.items() if trainings[0].objective["name"] == name}


def compared(
    comparison: Comparison,
    over: Sequence[Training],
    under: Sequence[Training],
    value: Value,
    doubt: str = "",
) -> Evidence:
    """Ratio of the geometric means of two sides, with a doubt where the comparison is not a fair one."""
    found = over_seeds.ratio([value(t) for t in over], [value(t) for t in under])
    label = " over ".join(_named(side[0]) for side in (over, under))
    if min(len(over), len(under)) < SEEDS:
        doubt = f"has fewer than {SEEDS} seeds on a side"
    if not math.isfinite(found.low):
        return Evidence(comparison.task, label, doubt=doubt or "was not measured")
    return Evidence(comparison.task, label, *found, doubt=doubt)


def _named(training: Training) -> str:
    """The objective of a training in words, or the name of the run of an equivariant network."""
    return training.run if claims_equivariance(training) else words(training.objective)


def unequal(one: Sequence[Training], other: Sequence[Training]) -> str:
    """A doubt if the FLOPs of two trainings differ; else empty."""
    a, b = (flops_of(side[0]) for side in (one, other))
    return "" if abs(a / b - 1) <= EQUAL else f"has FLOPs that differ by more than {100 * EQUAL:g} %"


def controllable(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Equivariance error at the strongest over that at the weakest of the strengths beta / alpha of REMUL."""
    found = []
    for one in comparisons(trainings):
        by_strength = {
            t[0].objective["beta"] / t[0].objective["alpha"]: t
            for t in of_name(one, "remul").values()
            if t[0].objective["balance"] == "fixed" and t[0].objective["alpha"]
        }
        if len(by_strength) >= 2:
            few = len(by_strength) < STRENGTHS
            sides = by_strength[max(by_strength)], by_strength[min(by_strength)]
            doubt = f"has fewer than {STRENGTHS} strengths" if few else unequal(*sides)
            found.append(compared(one, *sides, last("loss_equiv"), doubt))
    return found


def against_built_in(value: Value, inverse: bool) -> Callable[[Sequence[Training], str], list[Evidence]]:
    """Every REMUL training against every equivariant network with as many parameters.

    Args:
        inverse: True for the equivariant network over REMUL.
    """

    def evidence(trainings: Sequence[Training], term: str) -> list[Evidence]:
        found = []
        for one in comparisons(trainings):
            for mine in of_name(one, "remul").values():
                for theirs in one.built_in.values():
                    sizes = [float(side[0].attrs["parameters"]) for side in (mine, theirs)]
                    doubt = "" if abs(sizes[0] / sizes[1] - 1) <= MATCHED else "has another number of parameters"
                    if value is seconds and mine[0].attrs.get("device") != theirs[0].attrs.get("device"):
                        doubt = "was timed on another device"
                    sides = (theirs, mine) if inverse else (mine, theirs)
                    found.append(compared(one, *sides, value, doubt))
        return found

    return evidence


def latent(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Mean length of the force error of the latent objective over that of augmentation."""
    return [
        compared(one, mine, one.reference, force_error, unequal(mine, one.reference))
        for one in comparisons(trainings)
        for mine in of_name(one, "latent").values()
        if one.reference and one.task == "force_field"
    ]


def penalties(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Loss of every penalty over that of augmentation: the verdict allows for the choice of the lowest."""
    return [
        compared(one, mine, one.reference, last("loss_total"), unequal(mine, one.reference))
        for one in comparisons(trainings)
        for name in PENALTIES
        for mine in of_name(one, name).values()
        if one.reference
    ]


NEEDED = f"in {SEEDS} seeds per side, at FLOPs within {100 * EQUAL:g} %"
CLAIMS = (
    Claim(
        "REMUL controllable",
        "The weight of the loss on rotated samples controls how equivariant a network becomes",
        REMUL,
        "equivariance error at the largest weight over that at the smallest",
        "ours",
        f"trainings with the objective remul at {STRENGTHS} ratios beta / alpha or more, {NEEDED}",
        controllable,
        most=0.5,
    ),
    Claim(
        "REMUL faster inference",
        "Networks that learn symmetry by REMUL predict faster than equivariant ones of the same size, up to ten times",
        REMUL,
        "time of an inference of the equivariant network over that of the other",
        "ours",
        f"remul and an equivariant network with as many parameters, on one device, in {SEEDS} seeds each",
        against_built_in(seconds, inverse=True),
        least=1.0,
    ),
    Claim(
        "REMUL competitive",
        "Networks trained by REMUL reach the loss of equivariant ones",
        REMUL,
        "held-out loss over that of the equivariant network",
        "ours",
        f"remul and an equivariant network with as many parameters, in {SEEDS} seeds each",
        against_built_in(last("loss_total"), inverse=False),
        most=1.1,
    ),
    Claim(
        "TransIP 40 to 60 % better",
        "Latent equivariance lowers force errors by 40 to 60 % against augmentation",
        "arXiv 2510.00027",
        "mean length of the force error over that of augmentation",
        "the paper's",
        f"the objectives latent and augment, {NEEDED}",
        latent,
        most=0.6,
    ),
    Claim(
        "symmetry losses hardly help",
        "A term for symmetry in the loss hardly lowers the loss below that of augmentation",
        "arXiv 2510.09768",
        "held-out loss of a penalty over that of augmentation",
        "ours",
        f"a penalty ({', '.join(PENALTIES)}) and augment, {NEEDED}",
        penalties,
        least=0.9,
    ),
)

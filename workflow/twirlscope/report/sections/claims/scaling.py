"""Claims of papers on scaling: learned against built-in symmetry by compute, data and parameters.

Exponents and ratios are those of power laws of the held-out loss over four octaves, see `estimators.power_laws`.
"""

from __future__ import annotations

import math

from ...._typing import Callable, Sequence
from ....estimators import over_seeds
from ....estimators.power_laws import OCTAVES, RUNS
from ...trainings import Training
from ...wording import say
from ..scaling.families import LOSS, Family, Run, families
from ..scaling.laws import AXIS_WORDS, Pair, laws, pairs
from .judge import Claim, Evidence

BREHMER, NGO = "arXiv 2410.23179", "arXiv 2510.09768"
SEEDS = 3
STEADY = 0.95  # loss over that of a training half as long, above which more epochs would change little
LONGER = 1.5  # least ratio of the lengths of two trainings

Found = Callable[[Sequence[Training], str], list[Evidence]]


def exponents(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Exponents of the loss of augmented networks less those of equivariant ones, in FLOPs, samples and parameters."""
    return [
        Evidence(_task(p), f"{_label(p)} in {AXIS_WORDS[p.learned.axis]}", *p.difference, doubt=_doubt(p))
        for p in _pairs(trainings, _is_augmented)
    ]


def at_every_budget(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Loss of augmented networks over that of equivariant ones, at both ends of their common range of FLOPs."""
    found = [p for p in _pairs(trainings, _is_augmented) if p.learned.axis == "flops"]
    return [
        Evidence(_task(p), f"{_label(p)} at {say(x)} TFLOP", *ratio, doubt=_doubt(p))
        for p in found
        if p.ends
        for x, ratio in zip(p.ends, p.ratios, strict=True)
    ]


def of_few_samples(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Loss of networks that see no fresh rotations over that of equivariant ones, at the fewest samples of both."""
    found = [p for p in _pairs(trainings, _sees_fixed_orientations) if p.learned.axis == "samples" and p.ends]
    return [
        Evidence(_task(p), f"{_label(p)} at {say(p.ends[0])} samples", *p.ratios[0], doubt=_doubt(p)) for p in found
    ]


def _is_augmented(family: Family) -> bool:
    return family.is_augmented


def _sees_fixed_orientations(family: Family) -> bool:
    objective = family.runs[0].seeds[0].objective
    return not family.built_in and (objective["name"] == "none" or objective.get("copies", 0) > 0)


def _pairs(trainings: Sequence[Training], chosen: Callable[[Family], bool]) -> list[Pair]:
    return [p for p in pairs(laws(families(trainings))) if chosen(p.learned.family)]


def _task(pair: Pair) -> str:
    return pair.learned.family.task


def _label(pair: Pair) -> str:
    return f"{pair.learned.family.name} against {pair.built_in.family.name}"


def _doubt(pair: Pair) -> str:
    """A doubt where a line bends: its exponent is none of the whole range, its ends lie beside it."""
    bent = [law.family.name for law in (pair.learned, pair.built_in) if law.fitted.bends]
    return f"bends: no power law of {bent[0]}" if bent else ""


def closed_gap(trainings: Sequence[Training], term: str) -> list[Evidence]:
    """Loss of augmented networks over that of equivariant ones on as many samples, each after its most epochs.

    A number is final if the longest training with augmentation is hardly better than a shorter one.
    """
    every = families(trainings)
    return [
        evidence
        for one in every
        if one.is_augmented
        for other in every
        if other.built_in and (other.dataset, other.task) == (one.dataset, one.task)
        for samples in sorted({r.at("samples") for r in one.runs} & {r.at("samples") for r in other.runs})
        if (evidence := _gap(one, other, samples)) is not None
    ]


def _gap(one: Family, other: Family, samples: float) -> Evidence | None:
    """The gap at a number of samples; None for a network whose longest training is the only one."""
    longest, others = _by_length(one, samples)
    if not others:
        return None
    best = min(_by_length(other, samples)[0], key=lambda r: r.loss)
    mine = min(longest, key=lambda r: r.loss)
    shorter = min(r.loss for r in others)
    found = over_seeds.ratio(mine.values(LOSS), best.values(LOSS))
    few = min(len(mine.seeds), len(best.seeds)) < SEEDS
    doubt = f"has fewer than {SEEDS} seeds on a side" if few or not math.isfinite(found.low) else ""
    label = f"{one.name} against {other.name} at {say(samples)} samples"
    return Evidence(one.task, label, *found, final=math.exp(mine.loss - shorter) >= STEADY, doubt=doubt)


def _by_length(family: Family, samples: float) -> tuple[list[Run], list[Run]]:
    """The longest runs on so many samples, and the others."""
    runs = [r for r in family.runs if r.at("samples") == samples]
    most = max(r.setting("steps") for r in runs)
    longest = [r for r in runs if r.setting("steps") * LONGER > most]
    return longest, [r for r in runs if r not in longest]


NEEDED = f"{RUNS} runs or more over {OCTAVES:g} octaves, of augmented and of equivariant networks"
CLAIMS = (
    Claim(
        "equivariant scales better",
        "The loss of equivariant networks falls with a better exponent in compute, data and parameters",
        NGO,
        "exponent of the held-out loss, augmented less equivariant",
        "ours",
        NEEDED,
        exponents,
        least=0.0,
    ),
    Claim(
        "equivariant at every budget",
        "Equivariant networks have the lower loss at every budget of compute",
        BREHMER,
        "held-out loss of augmented networks over that of equivariant ones, at both ends of the FLOPs of both",
        "the paper's",
        NEEDED,
        at_every_budget,
        least=1.0,
    ),
    Claim(
        "equivariant needs fewer samples",
        "Without augmentation, equivariant networks have the lower loss on few samples",
        BREHMER,
        "held-out loss without fresh rotations over that of equivariant networks, at the fewest samples of both",
        "the paper's",
        f"the objective none, or augment with copies, at {RUNS} numbers of samples over {OCTAVES:g} octaves",
        of_few_samples,
        least=1.0,
    ),
    Claim(
        "augmentation closes the gap",
        "With augmentation and enough epochs, networks without built-in symmetry reach the loss of equivariant ones",
        BREHMER,
        "held-out loss of augmented networks over that of equivariant ones on as many samples, after most epochs",
        "ours",
        f"augmented trainings of several lengths, and equivariant ones, in {SEEDS} seeds",
        closed_gap,
        most=1.1,
    ),
)

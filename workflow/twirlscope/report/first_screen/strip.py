"""The strip of claims: each with its verdict and the number that decides it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

from ..._typing import Sequence
from ..sections.claims.judge import CONTRADICTED, HOLDS, OPEN, PART, Claim, Verdict
from ..sections.claims.paper import OURS
from ..wording import say

SYMBOLS = {HOLDS: "✔", CONTRADICTED: "✖", OPEN: "?"}


@dataclass(frozen=True)
class Chip:
    """A claim in a few words.

    number: the number that decides, of several tasks with its task, and its limit.
    ours: True if the limit is ours, and not the paper's.
    """

    name: str
    verdict: str
    number: str
    ours: bool

    @property
    def symbol(self) -> str:
        """The sign of the verdict."""
        return SYMBOLS[self.verdict]


def strip(verdicts: Sequence[Verdict]) -> tuple[list[Chip], list[str]]:
    """The claims that have a number, and the names of those that these trainings do not test."""
    chips, untested = [], []
    for claim, group in groupby(verdicts, key=lambda v: v.claim):
        whole = [v for v in group if PART not in v.scope]
        known = [v for v in whole if v.worst is not None and not math.isnan(v.worst.value)]
        if known:
            chips.append(_chip(claim, whole, known))
        else:
            untested.append(claim.name)
    return chips, untested


def _chip(claim: Claim, whole: Sequence[Verdict], known: Sequence[Verdict]) -> Chip:
    """The verdict over all tasks, and the number furthest outside the limits among those that decide it."""
    kinds = {v.verdict for v in whole}
    kind = CONTRADICTED if CONTRADICTED in kinds else HOLDS if kinds == {HOLDS} else OPEN
    deciding = [v for v in known if v.verdict == kind] or list(known)
    worst = max(deciding, key=lambda v: claim.excess(v.worst))
    task = f" {worst.scope.replace('_', ' ')}" if len(whole) > 1 else ""
    number = f"{say(worst.worst.value)}{claim.unit}{task}, limit {_limit(claim)}"
    holds = sum(v.verdict == HOLDS for v in whole)
    number += f"; {holds} of {len(whole)} tasks hold" if 0 < holds < len(whole) else ""
    return Chip(claim.name, kind, number, claim.limits == OURS)


def _limit(claim: Claim) -> str:
    """The limits in signs."""
    if math.isinf(claim.least):
        return f"≤ {claim.most:g}{claim.unit}"
    return (
        f"≥ {claim.least:g}{claim.unit}" if math.isinf(claim.most) else f"{claim.least:g} to {claim.most:g}{claim.unit}"
    )

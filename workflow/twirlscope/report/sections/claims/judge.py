"""Claims as data: what somebody said, the number that would show it, and whether the trainings at hand do.

A verdict has three values. A claim holds where every interval lies within what it allows, does not where one lies
wholly outside, and all else is not enough data: too few trainings, too short ones, intervals across the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from ...._typing import Callable, Sequence
from ...tables import Table
from ...trainings import Training
from ...wording import listed, say

HOLDS, DOES_NOT, UNKNOWN = "holds", "does not", "not enough data"
IN_WORDS = {HOLDS: HOLDS, DOES_NOT: "does not hold", UNKNOWN: UNKNOWN}


@dataclass(frozen=True)
class Evidence:
    """The number of one training, or of one group of them, with its 95 % interval.

    scope: what it speaks for (a task); a verdict is given for each.
    final: whether more training could not change it; what is not final never refutes.
    """

    scope: str
    label: str
    value: float
    low: float
    high: float
    final: bool = True


@dataclass(frozen=True)
class Claim:
    """What was said and how it is tested.

    source: where it was said; limits: where the limits come from.
    quantity: the number in words, with its unit in brackets.
    needs: what has to be run for it.
    least, most: what the claim allows, inclusive.
    evidence: gives the numbers that the trainings have, for a term of the loss.
    """

    name: str
    statement: str
    source: str
    quantity: str
    limits: str
    needs: str
    evidence: Callable[[Sequence[Training], str], list[Evidence]]
    least: float = -math.inf
    most: float = math.inf

    def verdict(self, one: Evidence) -> str:
        """What one number says."""
        if self.least <= one.low and one.high <= self.most:
            return HOLDS
        outside = one.high < self.least or one.low > self.most
        return DOES_NOT if outside and one.final else UNKNOWN

    def excess(self, one: Evidence) -> float:
        """How far the worse end of an interval is beyond a limit, negative inside; infinite if it is unknown."""
        found = max(self.least - one.low, one.high - self.most)
        return math.inf if math.isnan(found) else found


@dataclass(frozen=True)
class Verdict:
    """A claim judged for one scope.

    worst: the number that decides, None where there is none.
    count, within: how many numbers there are, and how many of them lie within what the claim allows.
    """

    claim: Claim
    scope: str
    verdict: str
    worst: Evidence | None
    count: int
    within: int

    @property
    def number(self) -> str:
        """The number that decides, in words."""
        which = self.worst.label
        if self.count > 1:
            which += f", the worst of {self.count}, {self.within} of which {'is' if self.within == 1 else 'are'} within"
        more = "" if self.worst.final or self.verdict == HOLDS else "; too short a training to refute the claim"
        value, low, high = (say(v) for v in (self.worst.value, self.worst.low, self.worst.high))
        return f"{self.scope} {value} (95 % interval {low} to {high}; {which}{more})"


def sentences(verdicts: Sequence[Verdict]) -> list[str]:
    """Every claim in words: the verdicts on it, then the numbers."""
    found = []
    for claim, group in groupby(verdicts, key=lambda v: v.claim):
        every = list(group)
        head = f"{claim.statement} ({claim.source})"
        if every[0].worst is None:
            found.append(f"{head}: {UNKNOWN}; it needs {claim.needs}.")
            continue
        said = [(words, [v.scope for v in every if v.verdict == verdict]) for verdict, words in IN_WORDS.items()]
        verdict = ", ".join(f"{words} for {listed(scopes)}" for words, scopes in said if scopes)
        numbers = ", ".join(v.number for v in every)
        found.append(
            f"{head}: {verdict}. {claim.quantity[0].upper()}{claim.quantity[1:]}, {_allowed(claim)}: {numbers}."
        )
    return found


def judge(claims: Sequence[Claim], trainings: Sequence[Training], term: str) -> list[Verdict]:
    """Every claim for every scope that has numbers; once, without a number, where none has."""
    return [verdict for claim in claims for verdict in _judge(claim, trainings, term)]


def _judge(claim: Claim, trainings: Sequence[Training], term: str) -> list[Verdict]:
    found = sorted(claim.evidence(trainings, term), key=lambda one: one.scope)
    made = []
    for scope, group in groupby(found, key=lambda one: one.scope):
        numbers = list(group)
        each = [claim.verdict(one) for one in numbers]
        said, within = set(each), each.count(HOLDS)
        verdict = DOES_NOT if DOES_NOT in said else HOLDS if said == {HOLDS} else UNKNOWN
        deciding = [one for one in numbers if claim.verdict(one) == verdict]
        made.append(Verdict(claim, scope, verdict, max(deciding, key=claim.excess), len(numbers), within))
    return made or [Verdict(claim, "", UNKNOWN, None, 0, 0)]


def _allowed(claim: Claim) -> str:
    """What the claim allows, in words."""
    if math.isinf(claim.least):
        return f"at most {claim.most:g}"
    if math.isinf(claim.most):
        return f"at least {claim.least:g}"
    return f"{claim.least:g} to {claim.most:g}"


def claims_table(verdicts: Sequence[Verdict]) -> Table:
    """One row a claim and scope."""
    rows = [
        {
            "claim": v.claim.name,
            "for": v.scope or "–",  # noqa: RUF001
            "verdict": v.verdict,
            "quantity": v.claim.quantity,
            "value [1]": v.worst.value if v.worst else math.nan,
            "from [1]": v.worst.low if v.worst else math.nan,
            "to [1]": v.worst.high if v.worst else math.nan,
            "allowed": _allowed(v.claim),
            "of": v.worst.label if v.worst else "",
            "numbers": v.count,
            "within": v.within,
            "statement": v.claim.statement,
            "source": v.claim.source,
            "limits from": v.claim.limits,
            "needs": v.claim.needs,
        }
        for v in verdicts
    ]
    frame = pd.DataFrame(rows)
    caption = (
        "Each claim with the number that decides it: of all trainings that speak for it, the one furthest outside of "
        "what is allowed, with its 95 % interval. A claim holds where the intervals of all lie within, does not where "
        "one lies wholly outside; all else is not enough data."
    )
    brief = frame.drop(columns=["statement", "source", "needs", "limits from"])
    return Table("claims", caption, frame, brief)

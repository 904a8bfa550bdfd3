"""Claims as data: the statement, the number that decides it, and the verdict of the trainings.

A claim HOLDS if all intervals lie within its limits, and is CONTRADICTED if one interval lies wholly outside. Otherwise
it is OPEN: too few or too short trainings, or intervals across a limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from ...._typing import Callable, Sequence
from ...numbers import Column, numbers
from ...tables import Table, with_intervals
from ...trainings import Training
from ...wording import listed, say

HOLDS, CONTRADICTED, OPEN = "holds", "contradicted", "open"
COLUMNS = (
    Column("value", "value", "1"),
    Column("value_low", "low", "1"),
    Column("value_high", "high", "1"),
    Column("label", "decided by"),
    Column("count", "trainings"),
    Column("within", "agree"),
    Column("limits", "limits from"),
)
NOT_SHOWN = ("quantity", "statement", "source", "needs", "limits")  # in the table on the page


@dataclass(frozen=True)
class Evidence:
    """The number of one training, or of one comparison, with its 95 % interval.

    scope: the task that the number is about; each task has a verdict of its own.
    final: False if a longer training could change the number; it then contradicts no claim.
    """

    scope: str
    label: str
    value: float
    low: float
    high: float
    final: bool = True


@dataclass(frozen=True)
class Claim:
    """A statement and its test.

    source: the paper; limits: the source of the limits.
    quantity: the number in words, with its unit.
    needs: the trainings that its test needs.
    least, most: limits of the number, inclusive.
    evidence: the numbers of the trainings, for a term of the loss.
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
        """The verdict of one number."""
        if self.least <= one.low and one.high <= self.most:
            return HOLDS
        outside = one.high < self.least or one.low > self.most
        return CONTRADICTED if outside and one.final else OPEN

    def excess(self, one: Evidence) -> float:
        """Distance of the worse end of an interval beyond a limit; negative within, infinite if it is unknown."""
        found = max(self.least - one.low, one.high - self.most)
        return math.inf if math.isnan(found) else found

    @property
    def allowed(self) -> str:
        """The limits in words."""
        if math.isinf(self.least):
            return f"at most {self.most:g}"
        if math.isinf(self.most):
            return f"at least {self.least:g}"
        return f"{self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim for one scope.

    worst: the number that decides; None without any number.
    count, within: how many numbers there are, and how many lie within the limits.
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
        more = "" if self.worst.final or self.verdict == HOLDS else "; too short a training to contradict the claim"
        value, low, high = (say(v) for v in (self.worst.value, self.worst.low, self.worst.high))
        return f"{self.scope} {value} (95 % interval {low} to {high}; {which}{more})"


def judge(claims: Sequence[Claim], trainings: Sequence[Training], term: str) -> list[Verdict]:
    """Verdicts on every claim, one per scope; one without a number if there is no evidence."""
    return [verdict for claim in claims for verdict in _judge(claim, trainings, term)]


def _judge(claim: Claim, trainings: Sequence[Training], term: str) -> list[Verdict]:
    found = sorted(claim.evidence(trainings, term), key=lambda one: one.scope)
    verdicts = []
    for scope, group in groupby(found, key=lambda one: one.scope):
        evidence = list(group)
        each = [claim.verdict(one) for one in evidence]
        verdict = CONTRADICTED if CONTRADICTED in each else HOLDS if set(each) == {HOLDS} else OPEN
        deciding = [one for one in evidence if claim.verdict(one) == verdict]
        worst = max(deciding, key=claim.excess)
        verdicts.append(Verdict(claim, scope, verdict, worst, len(evidence), each.count(HOLDS)))
    return verdicts or [Verdict(claim, "", OPEN, None, 0, 0)]


def sentences(verdicts: Sequence[Verdict]) -> list[str]:
    """One sentence per claim: its verdicts, then the numbers."""
    found = []
    for claim, group in groupby(verdicts, key=lambda v: v.claim):
        every = list(group)
        head = f"{claim.statement} ({claim.source}). Verdict"
        if every[0].worst is None:
            found.append(f"{head}: {OPEN}, needs {claim.needs}.")
            continue
        scopes = {kind: [v.scope for v in every if v.verdict == kind] for kind in (HOLDS, CONTRADICTED, OPEN)}
        verdict = ", ".join(f"{kind} for {listed(names)}" for kind, names in scopes.items() if names)
        values = ", ".join(v.number for v in every)
        found.append(f"{head}: {verdict}. {claim.quantity[0].upper()}{claim.quantity[1:]}, {claim.allowed}: {values}.")
    return found


def claims_table(verdicts: Sequence[Verdict]) -> Table:
    """One row per claim and scope."""
    rows = [
        {
            "claim": v.claim.name,
            "for": v.scope or "–",  # noqa: RUF001
            "verdict": v.verdict,
            "quantity": v.claim.quantity,
            "value": v.worst.value if v.worst else math.nan,
            "value_low": v.worst.low if v.worst else math.nan,
            "value_high": v.worst.high if v.worst else math.nan,
            "allowed": v.claim.allowed,
            "label": v.worst.label if v.worst else "",
            "count": v.count,
            "within": v.within,
            "statement": v.claim.statement,
            "source": v.claim.source,
            "limits": v.claim.limits,
            "needs": v.claim.needs,
        }
        for v in verdicts
    ]
    table = numbers(pd.DataFrame(rows), COLUMNS)
    caption = (
        "Each claim with the number that decides it: of all trainings that count, the one furthest outside the limits, "
        "with its 95 % interval. A claim holds if the intervals of all trainings lie within the limits. It is "
        "contradicted if one lies wholly outside. Otherwise it is open."
    )
    return Table("claims", caption, table, with_intervals(table, ["value"]).without(NOT_SHOWN))

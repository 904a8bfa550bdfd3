"""Claims as data: the statement, the number that decides it, and the verdict of the trainings.

A claim HOLDS if the 95 % intervals of all trainings lie within its limits. It is CONTRADICTED if one interval lies
wholly outside; with several trainings these intervals are wider (Bonferroni), so that 95 % is the probability of all.
Otherwise it is OPEN: too few or too short trainings, intervals across a limit, or a training whose number is doubtful.
A doubtful number decides nothing, but as long as there is one, the claim does not hold.

In simulations at the limit of a claim a verdict is wrong in at most 5 % of all cases, see docs/calibration.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any

import pandas as pd
from scipy import stats

from ...._typing import Callable, Mapping, Sequence
from ...numbers import Column, Numbers, numbers
from ...published.curves import source
from ...tables import Table, with_intervals
from ...trainings import Training
from ...wording import listed, plural, say

HOLDS, CONTRADICTED, OPEN = "holds", "contradicted", "open"
PART = ", "  # between a task and a part of its samples, in a scope
NOT_RUN = "not run"  # there are published trainings alone
COLUMNS = (
    Column("value", "value", "1"),
    Column("value_low", "low", "1"),
    Column("value_high", "high", "1"),
    Column("label", "decided by"),
    Column("count", "trainings"),
    Column("within", "agree"),
    Column("reasons", "open because"),
    Column("limits", "limit is"),
    Column("published_value", "published value", "1"),
    Column("published_label", "published, decided by"),
    Column("published_count", "published trainings"),
    Column("published_within", "published, agree"),
)
PUBLISHED = ("published_value", "published_label", "published_count", "published_within")
CSV_ONLY = ("claim", "quantity", "source", "needs", "limits", "count", "within", *PUBLISHED)


@dataclass(frozen=True)
class Evidence:
    """The number of one training, or of one comparison, with its 95 % interval.

    scope: the task that the number is about; each task has a verdict of its own.
    value, low, high: NaN without a number; `doubt` then says why.
    final: False if a longer training could change the number; it then contradicts no claim.
    doubt: reason not to trust the interval; the number then decides nothing.
    bound: True if the number is a lower bound, which cannot show that the true number is small.
    """

    scope: str
    label: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    final: bool = True
    doubt: str = ""
    bound: bool = False

    def widened(self, count: int) -> tuple[float, float]:
        """Ends of the interval that holds together with those of `count` - 1 other numbers, 95 % for all (Bonferroni).

        The high end of a positive number is widened as a logarithm.
        """
        factor = stats.norm.isf(0.025 / count) / stats.norm.isf(0.025)
        low = self.value - factor * (self.value - self.low)
        if 0 < self.value <= self.high < math.inf:
            return low, self.value * (self.high / self.value) ** factor
        return low, self.value + factor * (self.high - self.value)


@dataclass(frozen=True)
class Claim:
    """A statement and its test.

    source: the paper; limits: the source of the limits.
    quantity: the number in words, with its unit.
    needs: the trainings that its test needs.
    least, most: limits of the number, inclusive.
    evidence: the numbers of the trainings, for a term of the loss.
    unit: of the number and of its limits, with its space.
    levels: True for a claim on every level of a swept key; a run of the sweep without results then leaves it open.
    published: the numbers of published trainings, empty without any.
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
    unit: str = ""
    levels: bool = False
    published: Callable[[], list[Evidence]] = list

    def verdict(self, one: Evidence, count: int = 1) -> str:
        """The verdict of one of `count` numbers."""
        within = self.least <= one.low and one.high <= self.most and not (one.bound and self.most < math.inf)
        if one.doubt or within:
            return OPEN if one.doubt else HOLDS
        low, high = one.widened(count)
        outside = low > self.most or (high < self.least and not one.bound)
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
    reasons: for an open claim, the trainings whose numbers are doubtful, and why.
    """

    claim: Claim
    scope: str
    verdict: str
    worst: Evidence | None
    count: int
    within: int
    reasons: Sequence[str] = ()


def judge(
    claims: Sequence[Claim],
    trainings: Sequence[Training],
    term: str,
    absent: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Verdict]:
    """Verdicts on every claim, one per scope; one without a number if there is no evidence.

    Args:
        absent: by scope, runs of its sweeps that have no results, because they failed or are not finished.
    """
    return [verdict for claim in claims for verdict in _judge(claim, trainings, term, absent)]


def _judge(
    claim: Claim, trainings: Sequence[Training], term: str, absent: Mapping[str, Sequence[str]]
) -> list[Verdict]:
    verdicts = _by_scope(claim, claim.evidence(trainings, term), absent)
    return verdicts or [Verdict(claim, "", OPEN, None, 0, 0)]


def judge_published(claims: Sequence[Claim]) -> list[Verdict]:
    """Verdicts of the published trainings on every claim, one per scope; none where nothing was published."""
    return [verdict for claim in claims for verdict in _by_scope(claim, claim.published(), {})]


def _by_scope(claim: Claim, found: Sequence[Evidence], absent: Mapping[str, Sequence[str]]) -> list[Verdict]:
    """One verdict per scope."""
    found, verdicts = sorted(found, key=lambda one: one.scope), []
    for scope, group in groupby(found, key=lambda one: one.scope):
        evidence = list(group)
        count = max(sum(not one.doubt for one in evidence), 1)
        each = [claim.verdict(one, count) for one in evidence]
        verdict = CONTRADICTED if CONTRADICTED in each else HOLDS if set(each) == {HOLDS} else OPEN
        deciding = [one for one, its in zip(evidence, each, strict=True) if its == verdict]
        worst = max([one for one in deciding if not math.isnan(one.value)] or deciding, key=claim.excess)
        gone = absent.get(scope.split(PART)[0], ()) if claim.levels else ()
        verdict = OPEN if verdict == HOLDS and gone else verdict
        reasons = [f"{one.label} {one.doubt}" for one in evidence if one.doubt] + [
            f"{run} has no results" for run in gone
        ]
        reasons = reasons if verdict == OPEN else []
        verdicts.append(Verdict(claim, scope, verdict, worst, len(evidence), each.count(HOLDS), tuple(reasons)))
    return verdicts


def counts(verdicts: Sequence[Verdict]) -> str:
    """Numbers of tested claims that hold for every task, are contradicted for one, and are open, in a sentence."""
    kinds, untested = [], 0
    for _, group in groupby(verdicts, key=lambda v: v.claim):
        every = {v.verdict for v in group if v.count}
        untested += not every
        if every:
            kinds.append(CONTRADICTED if CONTRADICTED in every else HOLDS if every == {HOLDS} else OPEN)
    if not kinds:
        return f"These runs test none of {plural(untested, 'claim')}."
    words = {
        HOLDS: ("holds", "hold"),
        CONTRADICTED: ("is contradicted", "are contradicted"),
        OPEN: ("is open", "are open"),
    }
    each = {kind: f"{kinds.count(kind)} {words[kind][kinds.count(kind) != 1]}" for kind in words}
    each[HOLDS] += " for every task"
    rest = f" These runs do not test {plural(untested, 'more claim')}." if untested else ""
    return f"Of {plural(len(kinds), 'claim')} {listed(list(each.values()))}.{rest}"


def claims_table(verdicts: Sequence[Verdict], published: Sequence[Verdict] = ()) -> Table:
    """One row per claim and scope; scopes that only published trainings have come last within a claim."""
    rows = []
    for claim in dict.fromkeys(v.claim for v in (*verdicts, *published)):
        ours, theirs = ({v.scope: v for v in found if v.claim is claim} for found in (verdicts, published))
        ours = {scope: v for scope, v in ours.items() if scope or not theirs}
        rows += [_row(claim, scope, ours.get(scope), theirs.get(scope)) for scope in sorted({*ours, *theirs})]
    table = numbers(pd.DataFrame(rows), COLUMNS)
    caption = (
        "Each claim with the number that decides it, of all trainings the one furthest outside the limits, with its "
        "95 % interval. A claim holds if all intervals lie within the limits, and is contradicted if one lies wholly "
        "outside (of several trainings a wider one, Bonferroni). Otherwise, and where a training has not learned, it "
        f"is open. Published: the same test of published curves; {source()}. The CSV file has flow matching by times, "
        "too."
    )
    return Table("claims", caption, table, _brief(table))


def _brief(table: Numbers) -> Numbers:
    """The columns and rows on the page: whole tasks, and the first of several reasons."""
    full, shown = table.data, with_intervals(table, ["value"]).without(CSV_ONLY)
    reasons = [text.split("; ") for text in full["reasons"]]
    needs = zip(reasons, full["needs"], full["label"], full["verdict"], strict=True)
    data = shown.data.assign(
        published=[_published_words(row, full) for row in full.to_dict("records")],
        allowed=[f"{allowed}\n({whose})" for allowed, whose in zip(full["allowed"], full["limits"], strict=True)],
        reasons=[
            every[0] + (f"; and {len(every) - 1} more" if len(every) > 1 else "")
            if label or verdict == HOLDS
            else f"needs {words}"
            for every, words, label, verdict in needs
        ],
    )
    order = ["statement", *(name for name in data if name != "statement")]
    kept = ~full["for"].str.contains(PART, regex=False)
    return numbers(data.loc[kept, order].reset_index(drop=True), shown.columns)


def _published_words(row: Mapping[str, Any], full: pd.DataFrame) -> str:
    """The verdict of published trainings with its number; of a task that has only parts, that of most parts."""
    if math.isfinite(row["published_value"]):
        return f"{row['published']} ({say(row['published_value'])})"
    parts = full[(full["claim"] == row["claim"]) & full["for"].str.startswith(f"{row['for']}{PART}")]
    kinds = parts.loc[parts["published_count"] > 0, "published"].value_counts()
    return f"{kinds.index[0]} at {kinds.iloc[0]} of {kinds.sum()} times" if len(kinds) else row["published"]


def _row(claim: Claim, scope: str, ours: Verdict | None, theirs: Verdict | None) -> dict:
    worst = ours.worst if ours and ours.worst else Evidence("", "")
    decides = theirs.worst if theirs and theirs.worst else Evidence("", "")
    return {
        "claim": claim.name,
        "for": scope or "–",  # noqa: RUF001
        "verdict": ours.verdict if ours else NOT_RUN,
        "published": theirs.verdict if theirs else "–",  # noqa: RUF001
        "quantity": claim.quantity,
        "value": worst.value,
        "value_low": worst.low,
        "value_high": worst.high,
        "allowed": claim.allowed,
        "limits": claim.limits,
        "label": worst.label,
        "count": ours.count if ours else 0,
        "within": ours.within if ours else 0,
        "published_value": decides.value,
        "published_label": decides.label,
        "published_count": theirs.count if theirs else 0,
        "published_within": theirs.within if theirs else 0,
        "reasons": "; ".join(ours.reasons) if ours else "",
        "statement": claim.statement,
        "source": claim.source,
        "needs": claim.needs,
    }

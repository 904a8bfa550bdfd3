"""Section on claims: which hold, which are contradicted, which are open."""

from __future__ import annotations

from ...._typing import Sequence
from ...section import Section
from ...trainings import Training
from .judge import claims_table, judge, sentences
from .paper import CLAIMS


def section(trainings: Sequence[Training], term: str) -> Section:
    """The section."""
    verdicts = judge(CLAIMS, trainings, term)
    return Section("claims", "Claims", sentences(verdicts), tables=[("Verdicts", claims_table(verdicts))])

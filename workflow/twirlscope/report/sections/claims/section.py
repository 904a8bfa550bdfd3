"""Claims of papers on how networks learn symmetry.

Question: which claims hold for these trainings, which are contradicted, and which are open?
"""

from __future__ import annotations

from ...._typing import Sequence
from ...section import Section
from ...trainings import Training
from .judge import claims_table, judge, sentences
from .paper import CLAIMS


def section(trainings: Sequence[Training], term: str) -> Section:
    """The verdicts on all claims, in sentences and as a table."""
    verdicts = judge(CLAIMS, trainings, term)
    return Section("claims", "Claims", sentences(verdicts), tables=[("Verdicts", claims_table(verdicts))])

"""Claims of papers on how networks learn symmetry.

Question: which claims hold for these trainings, which are contradicted, and which are open?
"""

from __future__ import annotations

from ...._typing import Mapping, Sequence
from ...questions import EVIDENCE
from ...section import Section
from ...trainings import PRIMARY, Training, by_run
from ..objectives.comparison import comparisons
from ..scaling.families import families
from ..scaling.laws import laws
from . import objectives, scaling
from .judge import Verdict, claims_table, counts, judge, judge_published
from .paper import CLAIMS


def verdicts_of(trainings: Sequence[Training], sweeps: Mapping[str, Mapping[str, Mapping]]) -> list[Verdict]:
    """The verdicts of the trainings on all claims.

    Args:
        sweeps: by name, the runs of each sweep and their values.
    """
    claims = CLAIMS + (objectives.CLAIMS if comparisons(trainings) else ())
    claims += scaling.CLAIMS if laws(families(trainings)) else ()
    return judge(claims, trainings, PRIMARY, absent_runs(trainings, sweeps))


def section(verdicts: Sequence[Verdict]) -> Section:
    """The verdicts on all claims, in sentences and as a table, beside those of published trainings."""
    published = judge_published(CLAIMS)
    tables = [("Verdicts", claims_table(verdicts, published))]
    return Section(EVIDENCE, "claims", "Claims", [counts(verdicts)], tables=tables, open_tables=1)


def absent_runs(trainings: Sequence[Training], sweeps: Mapping[str, Mapping[str, Mapping]]) -> dict[str, list[str]]:
    """Runs of sweeps that have no training, by the task of the others of their sweep."""
    runs, found = by_run(trainings), {}
    for members in sweeps.values():
        tasks = {str(t.spec["task"]["name"]) for run in members for t in runs.get(run, ()) if t.spec}
        for task in tasks:
            found.setdefault(task, []).extend(run for run in members if run not in runs)
    return found

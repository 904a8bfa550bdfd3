"""Claims of papers on how networks learn symmetry.

Question: which claims hold for these trainings, which are contradicted, and which are open?
"""

from __future__ import annotations

from ...._typing import Mapping, Sequence
from ...section import Section
from ...trainings import Training, by_run
from ..objectives.comparison import comparisons
from . import objectives
from .evidence import PRIMARY
from .judge import claims_table, judge, judge_published, sentences
from .paper import CLAIMS


def section(trainings: Sequence[Training], sweeps: Mapping[str, Mapping[str, Mapping]]) -> Section:
    """The verdicts on all claims, in sentences and as a table.

    Args:
        sweeps: by name, the runs of each sweep and their values.
    """
    claims = CLAIMS + (objectives.CLAIMS if comparisons(trainings) else ())
    verdicts = judge(claims, trainings, PRIMARY, absent_runs(trainings, sweeps))
    published = judge_published(CLAIMS)
    table = claims_table(verdicts, published)
    return Section("claims", "Claims", sentences(verdicts, published), tables=[("Verdicts", table)])


def absent_runs(trainings: Sequence[Training], sweeps: Mapping[str, Mapping[str, Mapping]]) -> dict[str, list[str]]:
    """Runs of sweeps that have no training, by the task of the others of their sweep."""
    runs, found = by_run(trainings), {}
    for members in sweeps.values():
        tasks = {str(t.spec["task"]["name"]) for run in members for t in runs.get(run, ()) if t.spec}
        for task in tasks:
            found.setdefault(task, []).extend(run for run in members if run not in runs)
    return found

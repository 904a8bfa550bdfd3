"""The last checkpoint of every training in one table, and for each term of the loss in another.

Question: what has every training reached?
"""

from __future__ import annotations

from ..._typing import Sequence
from ...settings.report import ReportSettings
from ..headline import headline
from ..headline_tables import headline_table, separate_terms, term_table
from ..questions import SYMMETRY
from ..section import Section
from ..trainings import Training, terms_of, with_term


def section(trainings: Sequence[Training], settings: ReportSettings) -> Section:
    """Loss, error, equivariance error and the step from which it is small, per training, and per training and term."""
    limit, chosen = settings.threshold, with_term(trainings, settings.term)
    terms = [headline(t, term, limit) for t in trainings for term in separate_terms(terms_of([t]))]
    tables = [("By term", term_table(terms, limit))]
    if chosen:
        lines = [headline(t, settings.term, limit) for t in chosen]
        tables.insert(0, ("By training", headline_table(chosen, lines, limit, settings.term)))
    return Section(SYMMETRY, "ends", "The last checkpoint", tables=tables)

"""Section on the spectrum of the equivariance error."""

from __future__ import annotations

from ...._typing import Sequence
from ...section import Section
from ...tables import present_tables
from ...trainings import Training, distinct_terms
from . import degrees, irreps, test_time
from .other_tools import translation_table


def section(trainings: Sequence[Training]) -> Section:
    """The section."""
    terms = distinct_terms(trainings)
    shown = [degrees.spectrum(trainings, t) for t in terms if degrees.measured(trainings, t)]
    if shown:
        shown += [degrees.effective_degree(trainings, terms[0]), test_time.plan(trainings, terms[0])]
    shown += [f for t in terms if (f := irreps.irreps(trainings, t))]
    tables = present_tables({"In the words of other tools": translation_table(trainings)})
    return Section("spectrum", "Spectrum of the equivariance error", figures=shown, tables=tables)

"""The spectrum of the equivariance error.

Question: which degrees and irreps make up the error, and does averaging over a set of rotations remove it?
"""

from __future__ import annotations

from ...._typing import Sequence
from ...figures.figure import tabbed
from ...questions import WHY
from ...section import Section
from ...tables import present_tables
from ...trainings import Training, distinct_terms
from . import averaging_residual, degrees, irreps
from .other_tools import translation_table


def section(trainings: Sequence[Training]) -> Section:
    """Spectra by degree and by irrep of every term, and the error as other tools define it."""
    terms = distinct_terms(trainings)
    above = [t for t in terms if degrees.measured(trainings, t)]  # the error of another term is rounding error
    figures = tabbed([degrees.spectrum(trainings, t) for t in above])
    if above:
        figures += [degrees.effective_degree(trainings, above[0]), averaging_residual.residuals(trainings, above[0])]
    figures += tabbed([irreps.irreps(trainings, t) for t in terms])
    tables = present_tables({"The same error as other tools define it": translation_table(trainings)})
    return Section(WHY, "spectrum", "Spectrum of the equivariance error", figures=figures, tables=tables)

"""External potentials.

Question: how far from equivariant is a potential that was not trained here, and is that more than its floor?
"""

from __future__ import annotations

from ...._typing import Sequence
from ...questions import QUALITY
from ...section import Section
from ...tables import present_tables
from ...trainings import Training
from . import dynamics, errors, figures, other_tools, tables


def section(trainings: Sequence[Training]) -> Section:
    """Errors, floors, calculators, test sets and failures of every external potential."""
    if not trainings:
        return Section(QUALITY, "potentials", "Potentials that were not trained here")
    names = dict.fromkeys(term for t in trainings for term in errors.terms_of(t))
    drawn = [f for term in names if (f := figures.course(trainings, term))]
    drawn += [f for f in [dynamics.figure(trainings)] if f]
    found = {
        "Equivariance error and floors": tables.error_table(trainings),
        "The same predictions as other tools report them": other_tools.table(trainings),
        "Drift in molecular dynamics": dynamics.table(trainings),
        "Error by test set": tables.test_set_table(trainings),
        "Calculators": tables.calculator_table(trainings),
        "Samples left out": tables.failed_table(trainings),
    }
    told = [errors.sentence(t) for t in trainings]
    told += [dynamics.sentence(t) for t in dynamics.with_dynamics(trainings)]
    return Section(
        QUALITY, "potentials", "Potentials that were not trained here", told, drawn, present_tables(found), 1, 1
    )

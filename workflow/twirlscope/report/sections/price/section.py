"""Section on the price of built-in symmetry."""

from __future__ import annotations

from ...._typing import Sequence
from ...section import Section
from ...tables import present_tables
from ...trainings import Training
from .. import degrees_in_use
from ..degrees_in_use import degree_sentence, degree_table, with_degrees
from . import figures, verdict


def section(trainings: Sequence[Training]) -> Section:
    """The section."""
    verdicts, used = verdict.verdicts(trainings), with_degrees(trainings)
    said = [s for v in verdicts for s in verdict.sentences(v)] + verdict.unpaired(trainings)
    said += [degree_sentence(t) for t in used]
    shown = [f for v in verdicts for f in figures.price_figures(v)] + [degrees_in_use.degrees(t) for t in used]
    tables = present_tables({"Crossings": verdict.crossover_table(verdicts), "Degrees in use": degree_table(trainings)})
    return Section("price", "The price of symmetry", said, shown, tables)

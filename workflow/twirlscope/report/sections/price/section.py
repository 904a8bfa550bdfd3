"""The price of built-in symmetry.

Question: does built-in or learned symmetry reach a lower loss for the same cost of training, and of inferences?
"""

from __future__ import annotations

from ...._typing import Sequence
from ...questions import WORTH
from ...section import Section
from ...tables import Table, present_tables
from ...trainings import Training
from . import figures
from .results import Result, crossover_numbers
from .sentences import sentences, unpaired


def crossover_table(found: Sequence[Result]) -> Table | None:
    """All crossovers; None if nothing can be compared."""
    table = crossover_numbers(found)
    caption = (
        "Column `from`: total cost of training and inferences from which the family that is ahead at the end of the "
        "measured range is ahead, with its 95 % interval (bootstrap over held-out samples, Student's t over seeds). It "
        "is empty if that family is ahead throughout. There is no interval where a run has one seed. 0 and infinity "
        "lie before and beyond the measured range. Then the shares of the resamples in which that family gets ahead "
        "within the range, is ahead throughout, or is behind at the end. "
        "Last columns: its loss at the end over that of the other family."
    )
    return None if table is None else Table("crossover", caption, table)


def section(trainings: Sequence[Training], found: Sequence[Result]) -> Section:
    """Comparisons of built-in and learned symmetry in sentences and figures, and all crossovers as a table."""
    words = [sentence for result in found for sentence in sentences(result)] + unpaired(trainings)
    drawings = [figure for result in found for figure in figures.figures(result)]
    tables = present_tables({"Crossings": crossover_table(found)})
    return Section(WORTH, "price", "The price of symmetry", words, drawings, tables, 1, 1)

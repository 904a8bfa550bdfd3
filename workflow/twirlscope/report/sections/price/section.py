"""The price of built-in symmetry.

Question: does built-in or learned symmetry reach a lower loss for the same cost of training, and of inferences?
"""

from __future__ import annotations

from ...._typing import Sequence
from ...numbers import numbers
from ...questions import WORTH
from ...section import Section
from ...tables import Table, present_tables, with_intervals
from ...trainings import Training
from . import figures
from .comparison import LEARNED
from .results import Result, crossover_numbers
from .sentences import sentences, unpaired

CSV_ONLY = ("start", "end", "crossing", "throughout", "behind")  # columns


def crossover_table(found: Sequence[Result]) -> Table | None:
    """All crossovers; None if nothing can be compared."""
    table = crossover_numbers(found)
    caption = (
        "Which family is ahead at the end of the measured range, and from which total cost of training and inferences "
        "on; a dash: throughout. Loss ratio: its loss at the end over that of the other family. With 95 % intervals "
        "(bootstrap over held-out samples, Student's t over seeds) where no run has one seed alone; 0 and infinity "
        "lie outside the range. The CSV file has shares of resamples and twirling at test time, too."
    )
    if table is None:
        return None
    shown = with_intervals(table, ["from", "ratio"]).without(CSV_ONLY)
    rows = shown.data[shown.data["other"] == LEARNED].reset_index(drop=True)
    return Table("crossover", caption, table, numbers(rows, shown.columns).without(["other"]))


def section(trainings: Sequence[Training], found: Sequence[Result]) -> Section:
    """Comparisons of built-in and learned symmetry in sentences and figures, and all crossovers as a table."""
    told = [sentences(result) for result in found]
    words = [sentence for one in told for sentence in one[:2]] + unpaired(trainings)
    more = [sentence for one in told for sentence in one[2:]]
    drawings = [figure for result in found for figure in figures.figures(result)]
    tables = present_tables({"Crossings": crossover_table(found)})
    return Section(WORTH, "price", "The price of symmetry", words, drawings, tables, 1, 1, more)

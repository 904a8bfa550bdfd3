"""The course of the equivariance error over training, by term and by time on the path of a flow.

Question: when does the error become small, does it stay small, and is it the same for all times and weightings?
"""

from __future__ import annotations

from ...._typing import Sequence
from ...questions import SYMMETRY
from ...section import Section
from ...tables import present_tables
from ...trainings import Training
from . import tables
from .figures import by_time
from .weightings import weighting_table


def section(every: Sequence[Training], shown: Sequence[Training], threshold: float, batch: int) -> Section:
    """Courses of `every` training and of published ones as tables, weightings, and flows by time as a figure.

    Args:
        threshold: percentage at or below which the error is small.
        batch: samples of a batch, in the mean of batch ratios.
    """
    found = {
        "Courses": tables.course_table(every, threshold),
        "Courses as published": tables.published_table(every, threshold),
        "The same loss, weighted in other ways": weighting_table(every, batch),
    }
    drawings = [figure for figure in [by_time(shown, threshold)] if figure is not None]
    told = tables.sentences(shown, threshold)
    return Section(SYMMETRY, "course", "Course of the error", (), drawings, present_tables(found), remarks=told)

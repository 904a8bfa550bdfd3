"""A section of the page: the answer to one question."""

from __future__ import annotations

from dataclasses import dataclass

from .._typing import Sequence
from .figures.figure import Figure
from .questions import Question
from .tables import Table


@dataclass(frozen=True)
class Section:
    """Sentences, figures and tables, which the page shows in this order.

    question: the part of the page that it belongs to.
    anchor: the end of its address, one word.
    tables: each with its heading.
    open_figures, open_tables: how many of the first ones are open; all others are folded, and so is the whole section
        in a question that is folded, or if nothing of it is open.
    remarks: further sentences, folded with the other figures and tables.
    """

    question: Question
    anchor: str
    heading: str
    sentences: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[tuple[str, Table]] = ()
    open_figures: int = 0
    open_tables: int = 0
    remarks: Sequence[str] = ()

    @property
    def empty(self) -> bool:
        """True if there is nothing to show."""
        return not (self.sentences or self.remarks or self.figures or self.tables)

    @property
    def every_figure(self) -> list[Figure]:
        """The figures with all their tabs."""
        return [one for figure in self.figures for one in figure.every]

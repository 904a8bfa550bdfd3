"""A section of the page: the answer to one question."""

from __future__ import annotations

from dataclasses import dataclass

from .._typing import Sequence
from .figures.figure import Figure
from .tables import Table


@dataclass(frozen=True)
class Section:
    """Sentences, figures and tables, which the page shows in this order.

    anchor: the end of its address, one word.
    tables: each with its heading.
    """

    anchor: str
    heading: str
    sentences: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[tuple[str, Table]] = ()

    @property
    def empty(self) -> bool:
        """True if there is nothing to show."""
        return not (self.sentences or self.figures or self.tables)

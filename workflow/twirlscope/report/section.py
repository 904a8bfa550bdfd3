"""A section of the page."""

from __future__ import annotations

from dataclasses import dataclass

from .._typing import Sequence
from .figures.figure import Figure
from .tables import Table


@dataclass(frozen=True)
class Section:
    """A question and what answers it: sentences, figures, tables, in this order.

    anchor: the end of its address, one word.
    """

    anchor: str
    heading: str
    sentences: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[tuple[str, Table]] = ()  # with a heading each

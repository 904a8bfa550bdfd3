"""Numbers of the report: a DataFrame with plain column names, and the words and unit of each column.

CSV headings, headings of tables on the page, and titles of axes are all made here from a `Column`.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import pandas as pd

from .._typing import Mapping, Sequence
from ..storage.registry import VARIABLES

ENDS = ("", "_low", "_high")  # of the names of a value and of the ends of its interval
ENDS_IN_WORDS = ("", ", from", ", to")


@dataclass(frozen=True)
class Column:
    """A column of numbers or of text.

    name: in the DataFrame.
    words: for readers.
    unit: "1" for a quantity without dimension; empty for text, flags, and labels such as a seed.
    """

    name: str
    words: str
    unit: str = ""

    @property
    def heading(self) -> str:
        """The heading in a CSV file, such as `loss [1]`."""
        return f"{self.words} [{self.unit}]" if self.unit else self.words

    @property
    def shown_unit(self) -> str:
        """The unit, where readers need one."""
        return "" if self.unit == "1" else self.unit

    @property
    def title(self) -> str:
        """The title of an axis, such as `time [s]`; without brackets where there is no dimension."""
        return f"{self.words} [{self.unit}]" if self.shown_unit else self.words


@dataclass(frozen=True)
class Numbers:
    """Rows of a table or of a figure, with one `Column` per column of `data`, in its order."""

    data: pd.DataFrame
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.data)

    def column(self, name: str) -> Column:
        """The column of a name.

        Raises:
            KeyError: there is none.
        """
        return {column.name: column for column in self.columns}[name]

    def without(self, names: Sequence[str]) -> Numbers:
        """The numbers without some of their columns."""
        kept = tuple(column for column in self.columns if column.name not in names)
        return Numbers(self.data[[column.name for column in kept]], kept)

    @property
    def csv(self) -> str:
        """The content of the CSV file."""
        headings = [column.heading for column in self.columns]
        return self.data.to_csv(index=False, header=headings, lineterminator="\n")


def numbers(data: pd.DataFrame, columns: Sequence[Column] = ()) -> Numbers:
    """The data with `columns`, in any order; a column that is not among them is a label with its name as words."""
    described = {column.name: column for column in columns}
    return Numbers(data, tuple(described.get(name, Column(name, name)) for name in map(str, data)))


def stored(*names: str) -> list[Column]:
    """Columns of stored variables, under their names in the stores, with their units."""
    return [Column(name, name, VARIABLES[name].unit) for name in names]


def with_ends(name: str, words: str, unit: str = "1") -> list[Column]:
    """Columns of a number and of the ends of its interval: `name`, `name_low`, `name_high`."""
    return [Column(f"{name}{end}", f"{words}{word}", unit) for end, word in zip(ENDS, ENDS_IN_WORDS, strict=True)]


def ends_of(name: str, interval: Sequence[float]) -> dict[str, float]:
    """A number and the ends of its interval, under the names of `with_ends`."""
    return dict(zip((f"{name}{end}" for end in ENDS), interval, strict=True))


def percentage(name: str, words: str) -> list[Column]:
    """Columns of a percentage and of the ends of its interval."""
    return with_ends(name, words, "%")


def rows_to_data(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a DataFrame; whole numbers stay whole where some are missing."""
    data = pd.DataFrame(rows)
    for name in data:
        values = [row.get(name) for row in rows]
        if all(v is None or (isinstance(v, Integral) and not isinstance(v, bool)) for v in values):
            data[name] = pd.array(values, dtype="Int64")
    return data

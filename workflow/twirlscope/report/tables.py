"""Tables of the report: each is a CSV file, and stands on the page, there with fewer columns where it is wide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import xarray as xr

from .._typing import Mapping, Sequence
from .numbers import ENDS, Numbers
from .wording import say


@dataclass(frozen=True)
class Heading:
    """The heading of a column on the page; numbers are aligned to the right."""

    words: str
    unit: str
    numeric: bool


@dataclass(frozen=True)
class Table:
    """A table on the page and as CSV. The first column names the row.

    name: of the CSV file.
    numbers: all columns, for the CSV file.
    brief: the columns on the page, where these are others.
    """

    name: str
    caption: str
    numbers: Numbers
    brief: Numbers | None = None

    @property
    def shown(self) -> Numbers:
        """The columns on the page."""
        return self.numbers if self.brief is None else self.brief

    @cached_property
    def headings(self) -> list[Heading]:
        """The headings on the page. A column counts as numeric if it holds numbers in the CSV file."""
        full, shown = self.numbers.data, self.shown
        values = [full[c.name] if c.name in full else shown.data[c.name] for c in shown.columns]
        return [Heading(c.words, c.shown_unit, _numeric(v)) for c, v in zip(shown.columns, values, strict=True)]

    @cached_property
    def rows(self) -> list[list[str]]:
        """The cells on the page as text."""
        return [[text(value) for value in row] for row in self.shown.data.itertuples(index=False)]


def _numeric(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def text(value: Any) -> str:
    """The text of a cell: three significant digits, a dash for a missing value."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"  # noqa: RUF001
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return say(value)


def interval(last: xr.Dataset, variable: str, name: str) -> dict[str, float]:
    """A stored percentage and the ends of its interval, under the names of `numbers.percentage`."""
    return {f"{name}{end}": float(last[f"{variable}{end}"]) for end in ENDS}


def with_intervals(numbers: Numbers, names: Sequence[str]) -> Numbers:
    """The numbers with the interval of each of these quantities in the cell of its value, for the page."""
    data, ends = numbers.data.copy(), [f"{name}{end}" for name in names for end in ENDS[1:]]
    for name in names:
        cells = zip(*(data[f"{name}{end}"] for end in ENDS), strict=True)
        data[name] = [f"{text(p)} ({text(low)} to {text(high)})" if low == low else text(p) for p, low, high in cells]
    return Numbers(data, numbers.columns).without(ends)


def present_tables(tables: Mapping[str, Table | None]) -> list[tuple[str, Table]]:
    """The tables that are not None, with their headings."""
    return [(heading, table) for heading, table in tables.items() if table is not None]

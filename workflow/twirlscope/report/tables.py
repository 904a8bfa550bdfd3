"""Tables of the page and of the CSV files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import pandas as pd
import xarray as xr

from .._typing import Mapping, Sequence
from .wording import say

ENDS = ("", "_low", "_high")


def interval(last: xr.Dataset, name: str, words: str) -> dict:
    """A percentage and the ends of its interval."""
    heads = (f"{words} [%]", f"{words}, from [%]", f"{words}, to [%]")
    return {head: float(last[f"{name}{end}"]) for head, end in zip(heads, ENDS, strict=True)}


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a table; whole numbers stay whole where some are missing."""
    frame = pd.DataFrame(rows)
    for name in frame:
        values = [row.get(name) for row in rows]
        if all(v is None or (isinstance(v, Integral) and not isinstance(v, bool)) for v in values):
            frame[name] = pd.array(values, dtype="Int64")
    return frame


@dataclass(frozen=True)
class Table:
    """A table on the page and as CSV. The first column names the row.

    frame: columns are named `words [unit]`, as in the figures' tables.
    brief: the same for the page, where that differs.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    brief: pd.DataFrame | None = None

    @property
    def shown(self) -> pd.DataFrame:
        """What stands on the page."""
        return self.frame if self.brief is None else self.brief

    @property
    def heads(self) -> list[tuple[str, str, bool]]:
        """Words, unit and whether it holds numbers, of each column."""
        return [(*_unit(str(name)), _numeric(self.frame.get(name, self.shown[name]))) for name in self.shown.columns]

    @property
    def rows(self) -> list[list[str]]:
        """The cells as text."""
        return [[text(value) for value in row] for row in self.shown.itertuples(index=False)]


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _unit(name: str) -> tuple[str, str]:
    """`loss [1]` -> loss and nothing, `time [s]` -> time and s."""
    words, bracket, unit = name.partition(" [")
    return words, unit.rstrip("]") if bracket and unit != "1]" else ""


def text(value: Any) -> str:
    """A value in a cell: three significant digits, a dash where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"  # noqa: RUF001
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return say(value)


def with_intervals(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame with the interval of each of these percentages in the cell of its value, for the page."""
    brief = frame.copy()
    for name in names:
        heads = [f"{name} [%]", f"{name}, from [%]", f"{name}, to [%]"]
        cells = zip(*(frame[h] for h in heads), strict=True)
        brief[heads[0]] = [f"{text(p)} ({text(a)} to {text(b)})" if p == p else text(p) for p, a, b in cells]
        brief = brief.drop(columns=heads[1:])
    return brief


def present_tables(named: dict[str, Table | None]) -> list[tuple[str, Table]]:
    """Those that there are, with their headings."""
    return [(heading, table) for heading, table in named.items() if table is not None]

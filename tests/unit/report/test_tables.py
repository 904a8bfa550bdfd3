"""Cells and headings of tables on the page."""

import numpy as np
import pandas as pd

from twirlscope.report.numbers import Column, numbers, percentage
from twirlscope.report.tables import Table, with_intervals


def table():
    data = pd.DataFrame({"run": ["a", "b"], "p": [1.0, np.nan], "p_low": [0.5, np.nan], "p_high": [2.0, np.nan]})
    return numbers(data.assign(n=[3, 4]), [*percentage("p", "error"), Column("n", "seeds", "1")])


def test_with_intervals__puts_the_ends_into_the_cell_of_the_value():
    shown = with_intervals(table(), ["p"])
    assert [c.name for c in shown.columns] == ["run", "p", "n"]
    assert list(shown.data["p"]) == ["1 (0.5 to 2)", "–"]  # noqa: RUF001


def test_headings__say_which_columns_hold_numbers_also_where_cells_are_text():
    headings = Table("t", "", table(), with_intervals(table(), ["p"])).headings
    assert [(h.words, h.unit, h.numeric) for h in headings] == [
        ("run", "", False),
        ("error", "%", True),
        ("seeds", "", True),
    ]


def test_rows__have_three_digits_and_a_dash_for_a_missing_value():
    data = pd.DataFrame({"run": ["a", "b"], "x": [1234567.0, None], "flag": [True, False]})
    assert Table("t", "", numbers(data)).rows == [["a", "1.23 × 10⁶", "yes"], ["b", "–", "no"]]  # noqa: RUF001

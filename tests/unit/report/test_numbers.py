"""Headings of CSV files and titles of axes, from columns with words and units."""

import pandas as pd
import pytest

from twirlscope.report.numbers import Column, numbers, percentage, rows_to_data, stored


@pytest.mark.parametrize(
    ("unit", "heading", "title"),
    [("s", "time [s]", "time [s]"), ("1", "time [1]", "time"), ("", "time", "time")],
)
def test_column__has_its_unit_in_the_heading_and_in_the_title_if_it_has_a_dimension(unit, heading, title):
    column = Column("seconds", "time", unit)
    assert (column.heading, column.title) == (heading, title)


def test_csv__has_the_headings_in_the_order_of_the_data():
    table = numbers(pd.DataFrame({"run": ["a"], "value": [0.5]}), [Column("value", "loss", "1")])
    assert table.csv == "run,loss [1]\na,0.5\n"
    assert table.without(["run"]).csv == "loss [1]\n0.5\n"
    assert len(table) == 1
    with pytest.raises(KeyError):
        table.column("loss")


def test_stored__has_the_declared_unit_and_percentage_its_ends():
    assert [c.heading for c in stored("percent_equiv")] == ["percent_equiv [percent]"]
    names = [(c.name, c.heading) for c in percentage("p", "error")]
    assert names == [("p", "error [%]"), ("p_low", "error, from [%]"), ("p_high", "error, to [%]")]


def test_rows_to_data__keeps_whole_numbers_whole_where_some_are_missing():
    data = rows_to_data([{"step": 3, "value": 0.5}, {"step": None, "value": None}])
    assert str(data["step"].dtype) == "Int64"
    assert data["value"].dtype == float

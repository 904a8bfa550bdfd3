"""Tables of the last checkpoint of every training, for one term of the loss and for each term."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .._typing import Mapping, Sequence
from . import headline
from .headline import Headline
from .numbers import Column, Numbers, numbers, rows_to_data
from .tables import Table, text, with_intervals
from .trainings import Training
from .wording import term_words

NOT_SHOWN = ("percent_low", "percent_high", "trivial", "at_floor", "loss_zero", "penalty", "floor")  # on the page
ERROR = Column("errors", "root mean square error by sample")  # of all terms, in one cell on the page
COLUMNS = (
    Column("step", "final step", "1"),
    Column("loss", "final loss", "1"),
    Column("loss_zero", "loss of zero", "1"),
    Column("percent", "equivariance error", "%"),
    Column("percent_low", "from", "%"),
    Column("percent_high", "to", "%"),
    Column("floor_percent", "rounding error", "%"),
    Column("learned", "learned fraction", "1"),
    Column("trivial", "not yet learned"),
    Column("at_floor", "is rounding error"),
    Column("penalty", "loss penalty", "%"),
    Column("top_share", "largest clusters", "% of it"),
    Column("top", "number of these"),
    Column("floor", "rounding error", "1"),
)


def headline_table(trainings: Sequence[Training], lines: Sequence[Headline], limit: float, term: str) -> Table:
    """The last checkpoint of every training, one row per training."""
    rows, errors = [], {}
    for training, line in zip(trainings, lines, strict=True):
        row = {"run": line.run, "seed": line.seed, "step": line.step, "loss": line.loss}
        for term in headline.with_scale(training):
            value, unit = headline.physical_error(training, term)
            column = Column(f"error_{term}_{unit}", f"{term} error", unit)
            errors[column.name], row[column.name] = column, value
        rows.append(row | _symmetry(line))
    caption = (
        f"The last checkpoint: held-out loss ({term_words(term)}), root mean square error of a component, in "
        "which every sample counts the same (by test set, errors of forces count every atom the same), and the "
        f"equivariance error with its 95 % interval. Then the first step below {limit:g} %, and the step from "
        "which it stays below to the end; checkpoints that have not yet learned do not count."
    )
    return _table("headline", caption, rows, limit, list(errors.values()))


def term_table(lines: Sequence[Headline], limit: float) -> Table:
    """The last checkpoint, one row per training and term."""
    rows = [
        {"run": line.run, "seed": line.seed, "term": line.term, "loss": line.loss, "loss_zero": line.loss_zero}
        | _symmetry(line)
        | {"top_share": 100 * line.top_share, "top": "{} of {}".format(*line.top_count), "floor": line.floor}
        for line in lines
    ]
    caption = (
        "The same for each term of the loss, with the share of the equivariance error that the largest 1 % of clusters "
        "of samples (such as molecules) carry, at least one, and their number. Rounding error: the equivariance error "
        "that rounding (float32 against float64) and the turning of fields make by themselves."
    )
    return _table("terms", caption, rows, limit)


def _symmetry(line: Headline) -> dict[str, Any]:
    """The columns about symmetry, the same in both tables."""
    return {
        "percent": line.percent,
        "percent_low": line.low,
        "percent_high": line.high,
        "floor_percent": line.floor_percent,
        "first": line.crossing.first,
        "lasting": line.crossing.lasting,
        "learned": line.learned,
        "trivial": line.trivial,
        "at_floor": line.at_floor,
        "penalty": line.penalty,
    }


def _table(
    name: str, caption: str, rows: Sequence[Mapping[str, Any]], limit: float, errors: Sequence[Column] = ()
) -> Table:
    """A table with all columns as CSV; on the page remarks stand in the cells of the values."""
    crossings = (
        Column("first", f"first below {limit:g} %", "step"),
        Column("lasting", f"stays below {limit:g} % from", "step"),
    )
    full = numbers(rows_to_data(rows), [*COLUMNS, *crossings, *errors])
    shown = with_intervals(full, ["percent"]).without(NOT_SHOWN)
    data = shown.data.copy()
    rounding = zip(full.data["percent"], full.data["at_floor"], data["percent"], strict=True)
    data["percent"] = [f"{text(p)} (rounding error)" if floor else cell for p, floor, cell in rounding]
    learned = zip(full.data["learned"], full.data["trivial"], strict=True)
    data["learned"] = [text(value) + (" (not yet learned)" if trivial else "") for value, trivial in learned]
    return Table(name, caption, full, _errors_in_one(Numbers(data, shown.columns), errors))


def _errors_in_one(shown: Numbers, errors: Sequence[Column]) -> Numbers:
    """The numbers with all errors in one column after the loss: few trainings have errors in the same units."""
    if not errors:
        return shown
    cells = []
    for _, row in shown.data.iterrows():
        known = [c for c in errors if pd.notna(row[c.name])]
        words = [f"{c.words.removesuffix(' error')} {text(row[c.name])} {c.shown_unit}".rstrip() for c in known]
        cells.append("\n".join(words))
    rest = shown.without([c.name for c in errors])
    place = [c.name for c in rest.columns].index("loss") + 1
    data = rest.data.copy()
    data.insert(place, ERROR.name, cells)
    return Numbers(data, (*rest.columns[:place], ERROR, *rest.columns[place:]))


def separate_terms(terms: Sequence[str]) -> Sequence[str]:
    """The terms of a loss, without its weighted sum if there is only one term."""
    return [t for t in terms if t != "weighted"] if len(terms) == 2 else terms

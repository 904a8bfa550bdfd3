"""Tables of the last checkpoint of every training, for one term of the loss and for each term."""

from __future__ import annotations

import math
from typing import Any

from .._typing import Mapping, Sequence
from . import headline
from .headline import Headline
from .numbers import Column, Numbers, numbers, rows_to_data
from .tables import Table, text
from .trainings import Training
from .wording import term_words

NOT_SHOWN = ("low", "high", "trivial", "at_floor", "loss_zero", "penalty")  # on the page
COLUMNS = (
    Column("step", "final step", "1"),
    Column("loss", "final loss", "1"),
    Column("loss_zero", "loss of zero", "1"),
    Column("percent", "equivariance error", "%"),
    Column("low", "from", "%"),
    Column("high", "to", "%"),
    Column("floor_percent", "rounding error", "%"),
    Column("learned", "learned fraction", "1"),
    Column("trivial", "not yet learned"),
    Column("at_floor", "is rounding error"),
    Column("penalty", "loss penalty", "%"),
    Column("top_share", "top 1 % of samples", "% of it"),
    Column("floor", "rounding error", "1"),
)


def headline_table(trainings: Sequence[Training], lines: Sequence[Headline], limit: float) -> Table:
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
        f"The last checkpoint: held-out loss ({term_words(lines[0].term)}), root mean square error of a component, and "
        f"the equivariance error with its 95 % interval. Then the first step below {limit:g} %, and the step from "
        "which it stays below to the end; checkpoints that have not yet learned do not count."
    )
    return _table("headline", caption, rows, limit, list(errors.values()))


def term_table(lines: Sequence[Headline], limit: float) -> Table:
    """The last checkpoint, one row per training and term."""
    rows = [
        {"run": line.run, "seed": line.seed, "term": line.term, "loss": line.loss, "loss_zero": line.loss_zero}
        | _symmetry(line)
        | {"top_share": 100 * line.top_share, "floor": line.floor}
        for line in lines
    ]
    caption = (
        "The same for each term of the loss, with the share of the equivariance error that the top 1 % of samples "
        "carry. Rounding error: the equivariance error that rounding (float32 against float64) and the turning of "
        "fields make by themselves."
    )
    return _table("terms", caption, rows, limit)


def _symmetry(line: Headline) -> dict[str, Any]:
    """The columns about symmetry, the same in both tables."""
    return {
        "percent": line.percent,
        "low": line.low,
        "high": line.high,
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
    data = full.data.copy()
    cells = zip(*(data[name] for name in ("percent", "low", "high", "at_floor")), strict=True)
    data["percent"] = [
        text(p) + ("" if math.isnan(p) else " (rounding error)" if floor else f" ({text(low)} to {text(high)})")
        for p, low, high, floor in cells
    ]
    learned = zip(data["learned"], data["trivial"], strict=True)
    data["learned"] = [text(value) + (" (not yet learned)" if trivial else "") for value, trivial in learned]
    shown = Numbers(data, full.columns)
    return Table(name, caption, full, shown.without(NOT_SHOWN))


def separate_terms(terms: Sequence[str]) -> Sequence[str]:
    """The terms of a loss, without its weighted sum if there is only one term."""
    return [t for t in terms if t != "weighted"] if len(terms) == 2 else terms

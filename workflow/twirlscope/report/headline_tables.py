"""The tables of what every training ends with, over all terms of its loss and over each."""

from __future__ import annotations

import math
from typing import Any

from .._typing import Mapping, Sequence
from . import headline
from .headline import Headline
from .tables import Table, frame_of, text
from .trainings import Training
from .wording import words

OUTSIDE = ["from [%]", "to [%]", "trivial", "at floor", "loss of zero [1]", "loss penalty [%]"]  # in the CSV alone


def headline_table(trainings: Sequence[Training], lines: Sequence[Headline], limit: float) -> Table:
    """One row a training: what it ends with."""
    rows = []
    for training, line in zip(trainings, lines, strict=True):
        errors = {}
        for term in headline.with_scale(training):
            value, unit = headline.physical_error(training, term)
            errors[f"{term} error [{unit}]"] = value
        start = {"run": line.run, "seed": line.seed, "final step [1]": line.step, "final loss [1]": line.loss}
        rows.append(start | errors | _symmetry(line, limit))
    caption = (
        f"At the last checkpoint: held-out loss ({words(lines[0].term)}), root mean square error of a component, and "
        f"the equivariance error with its 95 % interval. The steps below {limit:g} % are the first, and the one from "
        "which it stays below to the end; checkpoints at which nothing is learned (trivial) do not count."
    )
    return _both("headline", caption, rows)


def _symmetry(line: Headline, limit: float) -> dict[str, Any]:
    """The columns about symmetry, the same in both tables."""
    return {
        "equivariance error [%]": line.percent,
        "from [%]": line.low,
        "to [%]": line.high,
        "floor [%]": 100 * line.floor / line.loss if line.loss else math.nan,
        f"first below {limit:g} % [step]": line.crossing.first,
        f"stays below {limit:g} % from [step]": line.crossing.lasting,
        "learned fraction [1]": line.learned,
        "trivial": line.trivial,
        "at floor": line.at_floor,
        "loss penalty [%]": line.penalty,
    }


def _both(name: str, caption: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table with all columns as CSV; on the page the interval beside its value, trivial and rounding marked."""
    frame = frame_of(rows)
    brief = frame.drop(columns=OUTSIDE, errors="ignore")
    names = ("equivariance error [%]", "from [%]", "to [%]", "at floor")
    cells = zip(*(frame[name] for name in names), strict=True)
    brief[names[0]] = [
        text(p) + ("" if math.isnan(p) else " (rounding)" if floor else f" ({text(low)} to {text(high)})")
        for p, low, high, floor in cells
    ]
    learned = zip(frame["learned fraction [1]"], frame["trivial"], strict=True)
    brief["learned fraction [1]"] = [text(value) + (" (trivial)" if trivial else "") for value, trivial in learned]
    return Table(name, caption, frame, brief)


def term_table(lines: Sequence[Headline], limit: float) -> Table:
    """One row a training and term."""
    rows = [
        {
            "run": line.run,
            "seed": line.seed,
            "term": line.term,
            "final loss [1]": line.loss,
            "loss of zero [1]": line.loss_zero,
        }
        | _symmetry(line, limit)
        | {"top 1 % of samples [% of it]": 100 * line.heavy, "floor [1]": line.floor}
        for line in lines
    ]
    caption = (
        "The same for each term of the loss, with the share of the equivariance error that the top 1 % of samples "
        "carry, and the equivariance error that rounding (float32 against float64) and the turning of fields make."
    )
    return _both("terms", caption, rows)


def several(terms: Sequence[str]) -> Sequence[str]:
    """The terms of a loss, without its weighted sum where that is the only one."""
    return [t for t in terms if t != "weighted"] if len(terms) == 2 else terms

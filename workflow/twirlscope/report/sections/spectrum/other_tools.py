"""The equivariance error as other tools define it, by identities that are tests."""

from __future__ import annotations

import math

import pandas as pd

from ...._typing import Sequence
from ....estimators import degree_spectrum
from ...numbers import Column, Numbers, numbers
from ...tables import Table
from ...trainings import Training, terms_of

COLUMNS = (
    Column("equiv", "equivariance error", "1"),
    Column("lie", "LEE", "1"),
    Column("equigrad", "equigrad", "1"),
    Column("remul", "REMUL E'", "1"),
)
DEVIATION = "deviation_"  # beginning of the names of columns, one per unit


# numbers


def translated(trainings: Sequence[Training]) -> Numbers | None:
    """One row per training and term at the last checkpoint; None if no spectrum was measured."""
    rows = [
        _row(training, term)
        for training in trainings
        if "lie_error" in training.twirl
        for term in terms_of([training])
        if term != "weighted"
    ]
    units = dict.fromkeys(name.removeprefix(DEVIATION) for row in rows for name in row if name.startswith(DEVIATION))
    deviations = [Column(f"{DEVIATION}{unit}", "rotational standard deviation", unit) for unit in units]
    return numbers(pd.DataFrame(rows), [*COLUMNS, *deviations]) if rows else None


def _row(training: Training, term: str) -> dict:
    """The numbers of one term."""
    attrs, last = training.twirl.attrs, training.last(term)
    equiv, lie = float(last["loss_equiv"]), float(last["lie_error"])
    scalar = attrs.get(f"irreps_{term}") == "0e"
    scale, unit = float(attrs.get(f"scale_{term}", 1.0)), str(attrs.get(f"unit_{term}", "1"))
    prefix, factor = ("m", 1000) if unit.startswith("eV") else ("", 1)
    return {
        "run": training.run,
        "seed": training.seed,
        "term": term,
        "equiv": equiv,
        "lie": lie,
        "equigrad": (math.sqrt(2 * lie) if lie >= 0 else math.nan) if scalar else None,
        "remul": math.sqrt(float(degree_spectrum.remul_square(equiv))) if equiv >= 0 else math.nan,
        f"{DEVIATION}{prefix}{unit}": float(degree_spectrum.rotational_deviation(equiv)) * scale * factor,
    }


# tables


def translation_table(trainings: Sequence[Training]) -> Table | None:
    """The error of all trainings as other tools define it; None if no spectrum was measured."""
    table = translated(trainings)
    caption = (
        "The error of the last checkpoint as other tools define it, averaged over orientations. LEE: squared norm of "
        "the Lie derivative (Gruver et al., arXiv:2210.02984), here sum of l (l + 1) times the spectrum. equigrad: "
        "norm of the rotational gradient of a scalar (orb), whose square is twice the LEE. E': distance of predictions "
        "at two orientations (REMUL, arXiv:2410.17878), whose square is twice the equivariance error. Rotational "
        "standard deviation: root of the equivariance error, in the unit of the data."
    )
    return None if table is None else Table("translation", caption, table)

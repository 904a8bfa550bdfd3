"""Our numbers in the words of other tools: what they would print for the same model, by identities that are tests."""

from __future__ import annotations

import math

import pandas as pd

from ...._typing import Sequence
from ....estimators import degree_spectrum
from ...tables import Table
from ...trainings import Training, terms_of


def translation_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training and term at the last checkpoint; None where no spectrum was measured."""
    rows = [
        _row(training, term)
        for training in trainings
        if "lie_error" in training.twirl
        for term in terms_of([training])
        if term != "weighted"
    ]
    if not rows:
        return None
    caption = (
        "The last checkpoint in the words of other tools, averaged over orientations. LEE: squared norm of the Lie "
        "derivative (Gruver et al., arXiv:2210.02984), here sum of l (l + 1) times the spectrum. equigrad: norm of the "
        "rotational gradient of a scalar (orb), whose square is twice the LEE. E': distance of predictions at two "
        "orientations (REMUL, arXiv:2410.17878), whose square is twice the equivariance error. Rotational standard "
        "deviation: root of the equivariance error, in the unit of the data."
    )
    return Table("translation", caption, pd.DataFrame(rows))


def _row(training: Training, term: str) -> dict:
    """The numbers of one term."""
    attrs, last = training.twirl.attrs, training.twirl.sel(term=term).isel(step=-1)
    equiv, lie = float(last["loss_equiv"]), float(last["lie_error"])
    scalar = attrs.get(f"irreps_{term}") == "0e"
    scale, unit = float(attrs.get(f"scale_{term}", 1.0)), str(attrs.get(f"unit_{term}", "1"))
    milli = unit.startswith("eV")
    return {
        "run": training.run,
        "seed": training.seed,
        "term": term,
        "equivariance error [1]": equiv,
        "LEE [1]": lie,
        "equigrad [1]": math.sqrt(2 * lie) if scalar else None,
        "REMUL E' [1]": math.sqrt(float(degree_spectrum.remul_square(equiv))) if equiv >= 0 else math.nan,
        f"rotational standard deviation [{'m' if milli else ''}{unit}]": float(
            degree_spectrum.rotational_deviation(equiv)
        )
        * scale
        * (1000 if milli else 1),
    }

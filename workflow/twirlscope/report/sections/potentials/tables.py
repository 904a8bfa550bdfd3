"""Tables of external potentials: errors, calculators, test sets, failed samples."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from ...._typing import Sequence
from ...numbers import Column, Numbers, numbers
from ...tables import Table, text, with_intervals
from ...trainings import Training
from .errors import error_numbers, terms_of

NO_PERCENT = "An error within 10 times the square of a floor is at its floor and has no percentage."


def error_table(trainings: Sequence[Training]) -> Table:
    """Errors at every step, with intervals and floors; on the page those of the last step."""
    full = error_numbers(trainings)
    shown = with_intervals(full, ["so3", "o3"])
    data = shown.data.copy()
    share = zip(data["percent"], data["of"], strict=True)
    data["percent"] = [f"{text(p)} of {of}" if np.isfinite(p) else text(p) for p, of in share]
    last = data.groupby(["run", "term"], sort=False).tail(1)
    brief = Numbers(last, shown.columns).without(["of"])
    caption = (
        "Equivariance error as root mean square of a component, in the units of the data, with its 95 % interval, under"
        " rotations and under rotations and reflections. Floors: noise, two calls for the same structure with others "
        "between; rounding, the structure translated and its atoms permuted, at one orientation (a large value is an "
        "error of its own); energy spacing, the precision of total energies. " + NO_PERCENT
    )
    return Table("potentials", caption, full, brief)


def calculator_table(trainings: Sequence[Training]) -> Table:
    """Calculator, versions, samples and calls of every run."""
    rows = []
    for training in trainings:
        attrs = training.twirl.attrs
        offsets = training.twirl["element_offset"].isel(step=-1)
        pairs = zip(offsets["element"].values, offsets.values, strict=True)
        rows.append(
            {
                "run": training.run,
                "calculator": attrs["external"],
                "samples": int(attrs["samples"]),
                "clusters": int(attrs["clusters"]),
                "failed": training.twirl.sizes.get("failed", 0),
                "calls": int(attrs["calls"]),
                "versions": ", ".join(f"{k} {v}" for k, v in json.loads(attrs["versions"]).items()),
                "offsets": ", ".join(f"{z}: {value:.3f}" for z, value in pairs),
            }
        )
    columns = [Column(n, n, "1") for n in ("samples", "clusters", "failed", "calls")]
    columns.append(Column("offsets", "element offsets of the energy (atomic number: eV)"))
    caption = (
        "The calculators. Element offsets are fitted to the twirled predictions, to align total energies with the "
        "labels, or with zero where there are none. Molecules turn about their mean position, cells turn with the "
        "positions; a reflection turns positions by -R and the lattice by +R."
    )
    return Table("calculators", caption, numbers(pd.DataFrame(rows), columns))


def failed_table(trainings: Sequence[Training]) -> Table | None:
    """Samples that are left out, with the reason of the calculator; None if there are none."""
    rows = [
        {"run": t.run, "sample": int(i), "reason": str(reason)}
        for t in trainings
        if "failed_sample" in t.twirl
        for i, reason in zip(t.twirl["failed_sample"].values, t.twirl["failed_reason"].values, strict=True)
    ]
    if not rows:
        return None
    caption = "Samples for which the calculator failed in some orientation; they are left out of all numbers."
    return Table("failed", caption, numbers(pd.DataFrame(rows), [Column("sample", "sample", "1")]))


def test_set_table(trainings: Sequence[Training]) -> Table | None:
    """Errors of the last step on every test set; None without test sets."""
    rows = []
    for training in trainings:
        data = training.twirl
        for number, name in enumerate(data["test_set"].values if "test_set" in data else ()):
            mine = data["set_number"].values == number
            for term in terms_of(training):
                labelled = term in str(data.attrs["labelled"]).split()
                scale = 1e3 * float(data.attrs[f"scale_{term}"])
                equiv, total = (data[f"set_{n}"].sel(term=term).values[mine] for n in ("loss_equiv", "loss_total"))
                row = {"run": training.run, "test_set": name, "samples": int(mine.sum()), "term": term}
                row |= {"equiv": scale * _root(equiv), "total": scale * _root(total) if labelled else np.nan}
                rows.append(row | {"unit": f"m{data.attrs[f'unit_{term}']}"})
    if not rows:
        return None
    columns = [Column("samples", "samples", "1"), Column("equiv", "equivariance error (rms)")]
    columns += [Column("total", "error to the labels (rms)"), Column("test_set", "test set")]
    caption = "Errors of the last step by test set, means over random orientations; every sample counts the same."
    return Table("potential_test_sets", caption, numbers(pd.DataFrame(rows), columns))


def _root(values: np.ndarray) -> float:
    """Root of the mean of the numbers that are there."""
    known = values[np.isfinite(values)]
    return float(np.sqrt(max(known.mean(), 0.0))) if len(known) else np.nan

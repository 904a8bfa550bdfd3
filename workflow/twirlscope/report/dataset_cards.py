"""Cards of datasets on the page: source, labels, size, splits, rejected records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from .._typing import Sequence
from .numbers import Column, numbers
from .page import DatasetCard
from .tables import Table
from .wording import slug


def dataset_card(name: str, data: xr.Dataset) -> DatasetCard:
    """The card of a dataset: source, labels, size, splits, rejected records."""
    facts = {
        key.capitalize(): str(data.attrs[key]) for key in ("source", "labels", "level_of_theory") if data.attrs.get(key)
    }
    facts["Samples"] = str(data.sizes.get("sample", 0))
    if "molecule_index" in data.sizes:
        facts["Molecules"] = str(data.sizes["molecule_index"])
    if "atoms" in data:
        atoms = data["atoms"].values
        facts["Atoms per sample"] = f"{atoms.min()} to {atoms.max()}, {atoms.mean():.1f} on average"
    if "split" in data:
        names = str(data["split"].attrs.get("flag_meanings", "")).split()
        counts = np.bincount(data["split"].values.astype(int), minlength=len(names))
        facts["Splits"] = ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=False))
        if "molecule" in data:
            facts["Held out"] = _held_out_molecules(names, data["split"].values, data["molecule"].values)
    for key, heading in (("force_scale", "Force scale"), ("energy_scale", "Energy scale")):
        if key in data:
            unit, meaning = (data[key].attrs.get(word, "") for word in ("units", "long_name"))
            facts[heading] = f"{float(data[key]):.3g} {unit.replace('eV angstrom-1', 'eV/Å')} ({meaning})"
    rejected = data.sizes.get("reject", 0)
    facts["Rejected records"] = str(rejected) if rejected else "none"
    return DatasetCard(name, facts, _rejects(name, data) if rejected else None, str(data.attrs.get("citation", "")))


def _held_out_molecules(names: Sequence[str], split: np.ndarray, molecule: np.ndarray) -> str:
    """Held-out molecules in words: none is in the train split, or the samples of those that are, by split."""
    seen = np.isin(molecule, molecule[split == 0])
    shared = {name: int(seen[split == k].sum()) for k, name in enumerate(names) if k}
    if not any(shared.values()):
        return "molecules that are not in the train split"
    counts = [f"{n} of {(split == names.index(name)).sum()} in {name}" for name, n in shared.items() if n]
    return f"single frames of molecules that are in the train split too ({', '.join(counts)})"


def _rejects(name: str, data: xr.Dataset) -> Table:
    """Every rejected record, and on the page their number by reason."""
    rows = pd.DataFrame({key: data[f"reject_{key}"].values for key in ("reason", "source", "index")})
    groups = rows.groupby("reason", sort=False)["source"]
    counts = pd.DataFrame({"records": groups.size(), "first": groups.first()}).reset_index()
    brief = numbers(counts, [Column("records", "records", "1"), Column("first", "first source")])
    full = numbers(rows, [Column("index", "index", "1")])
    caption = f"Records of {name} that could not be used, by reason."
    return Table(f"rejects_{slug(name)}", caption, full, brief)

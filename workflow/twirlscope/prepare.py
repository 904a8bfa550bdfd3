"""The stage `prepare`: samples from their source into one checked store, with splits, scales and a table of rejects.

Part jobs read, one job gathers. What a sample is, its variables and its order, is known to the dataset alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr

from . import rejects, store
from .contracts import Dataset
from .errors import UserError
from .hints import Sequence
from .variables import REJECTS


def prepare_part(dataset: Dataset, part: int, out: Path) -> None:
    """Read one part and store its samples, which may be none, and its rejects.

    Raises:
        UserError: what the dataset is read from is missing or wrong as a whole.
    """
    found = dataset.read(part)
    samples = xr.Dataset() if found.samples is None else found.samples
    store.save(samples.merge(rejects.table(found.rejects), combine_attrs="no_conflicts"), out)


def prepare(dataset: Dataset, parts: Sequence[Path], out: Path) -> None:
    """Gather the parts into the store of the dataset: the same bytes, whatever the number of parts.

    Args:
        parts: what `prepare_part` wrote, in the order of the part numbers.
        out: the store to write; it appears whole or not at all.

    Raises:
        UserError: no usable sample, or more than `max_rejected` of the records are not usable.
    """
    stored = [store.load(path) for path in parts]
    found = [reject for part in stored for reject in rejects.of(part)]
    samples = [part.drop_vars(REJECTS) for part in stored if "sample" in part.sizes]
    _check(dataset, sum(part.sizes["sample"] for part in samples), found)
    data = dataset.finish(_joined(samples).merge(rejects.table(found)))
    settings = dataset.settings.model_dump(mode="json", exclude={"parts"})
    about = {"dataset": type(dataset).__name__, "kind": dataset.kind, "settings": json.dumps(settings)}
    counts = {"samples": data.sizes["sample"], "rejected": len(found)}
    store.save(data.assign_attrs(about | counts), out)


def _check(dataset: Dataset, samples: int, found: list) -> None:
    """Refuse a dataset of which too little is usable."""
    limit = dataset.settings.max_rejected
    where, why = f"dataset {type(dataset).__name__}", rejects.summary(found)
    if not samples:
        raise UserError(where, "at least one usable record", f"none of {len(found)}: {why}" if found else "no record")
    share = len(found) / (samples + len(found))
    if share > limit:
        got = f"{len(found)} of {samples + len(found)} ({100 * share:.3g} %): {why}"
        raise UserError(where, f"at most {100 * limit:.3g} % of the records unusable (max_rejected)", got)


def _joined(parts: list[xr.Dataset]) -> xr.Dataset:
    """Each variable along its first dimension, in the order of the parts; attributes that differ side by side."""
    names = parts[0].variables
    joined = {n: (parts[0][n].dims, np.concatenate([part[n].values for part in parts])) for n in names}
    attrs = {n: "; ".join(dict.fromkeys(str(part.attrs[n]) for part in parts)) for n in parts[0].attrs}
    return xr.Dataset(joined, attrs=attrs)

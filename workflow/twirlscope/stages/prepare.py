"""Stage `prepare`: samples from their source into one checked store, with splits, scales and a table of rejects.

Each part is read by a job of its own, and one job gathers the parts. The dataset alone knows what a sample is.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import xarray as xr

from .._typing import Sequence
from ..errors import UserError
from ..runtime.progress import say_found, single
from ..sources import Dataset
from ..storage import made_from, rejects, store
from ..storage.arrays.data import DATA, REJECTS
from ..storage.concatenation import concatenated
from ..storage.made_from import Record


def prepare_part(dataset: Dataset, part: int, out: Path, record: Record | None = None) -> None:
    """Read one part and store its samples, which may be none, and its rejects.

    Args:
        record: of what it is made from; the store of the whole dataset takes it over.

    Raises:
        UserError: the source of the dataset is missing, or wrong as a whole.
    """
    with single("prepare", "part"):
        found = dataset.read(part)
    samples = xr.Dataset() if found.samples is None else found.samples
    data = samples.merge(rejects.to_dataset(found.rejects), combine_attrs="no_conflicts")
    store.save(data.assign_attrs(made_from.attribute(record or {})), out, DATA)
    say_found(finding(samples.sizes.get("sample", 0), len(found.rejects)))


def prepare(dataset: Dataset, parts: Sequence[Path], out: Path) -> None:
    """Gather the parts into the store of the dataset: the same bytes, whatever the number of parts.

    Args:
        parts: what `prepare_part` wrote, in the order of the part numbers.
        out: the store to write; it appears whole or not at all.

    Raises:
        UserError: no usable sample, or more than `max_rejected` of the records are not usable, or parts that were made
            from different things.
    """
    made_from.require_same(parts, "parts")
    with contextlib.ExitStack() as opened:
        stored = [opened.enter_context(store.open_store(path)) for path in parts]
        found = [reject for part in stored for reject in rejects.from_dataset(part)]
        samples = [part.drop_vars(REJECTS) for part in stored if "sample" in part.sizes]
        _check(dataset, sum(part.sizes["sample"] for part in samples), found)
        data = _with_cluster(dataset.finish(concatenated(samples).merge(rejects.to_dataset(found))))
        record = made_from.attribute(made_from.recorded(parts[0]) or {})
        store.save(data.assign_attrs(_about(dataset, data, len(found)) | record), out, DATA)
    say_found(finding(data.sizes["sample"], len(found)))


def finding(samples: int, rejected: int) -> str:
    """Numbers of samples and rejects, in words."""
    records = "record" if rejected == 1 else "records"
    return f"{samples:,} samples" + (f", {rejected:,} {records} rejected" if rejected else "")


def _with_cluster(data: xr.Dataset) -> xr.Dataset:
    """The data with `cluster`; samples of a dataset that has none are independent."""
    return (
        data if "cluster" in data else data.assign(cluster=("sample", np.arange(data.sizes["sample"], dtype=np.int32)))
    )


def _about(dataset: Dataset, data: xr.Dataset, rejected: int) -> dict:
    """Attributes of the store: dataset, settings, number of samples and rejects."""
    settings = dataset.settings.model_dump(mode="json", exclude={"parts"})
    about = {"dataset": type(dataset).__name__, "kind": dataset.kind, "settings": json.dumps(settings)}
    return about | {"samples": data.sizes["sample"], "rejected": rejected}


def _check(dataset: Dataset, samples: int, found: list) -> None:
    """Refuse a dataset with too few usable records."""
    limit = dataset.settings.max_rejected
    where, why = f"dataset {type(dataset).__name__}", rejects.summary(found)
    if not samples:
        raise UserError(where, "at least one usable record", f"none of {len(found)}: {why}" if found else "no record")
    share = len(found) / (samples + len(found))
    if share > limit:
        got = f"{len(found)} of {samples + len(found)} ({100 * share:.3g} %): {why}"
        raise UserError(where, f"at most {100 * limit:.3g} % of the records unusable (max_rejected)", got)

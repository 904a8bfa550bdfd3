"""Table of rejected records, each with its source, its index there and the reason."""

from __future__ import annotations

from collections import Counter

import numpy as np
import xarray as xr

from .._typing import Sequence
from ..sources import Reject
from .arrays.data import REJECTS


def to_dataset(rejects: Sequence[Reject]) -> xr.Dataset:
    """Rejects as stored variables, sorted by source, index and reason, whatever the order of the argument."""
    rows = sorted(rejects, key=lambda r: (r.source, r.index, r.reason))
    return xr.Dataset(
        {
            "reject_source": ("reject", np.array([r.source for r in rows], object)),
            "reject_index": ("reject", np.array([r.index for r in rows], np.int64)),
            "reject_reason": ("reject", np.array([r.reason for r in rows], object)),
        }
    )


def from_dataset(data: xr.Dataset) -> list[Reject]:
    """The rejects that a dataset holds in its reject variables."""
    columns = (data[name].values.tolist() for name in REJECTS)
    return [Reject(*row) for row in zip(*columns, strict=True)]


def summary(rejects: Sequence[Reject], reasons: int = 3) -> str:
    """The most frequent reasons, each with its count and first example, as one line."""
    rejects = sorted(rejects, key=lambda r: (r.source, r.index))
    counts = Counter(r.reason for r in rejects)
    first = {r.reason: r for r in reversed(rejects)}
    lines = [
        f"{n} x {why!r} (first: {first[why].source}, {first[why].index})" for why, n in counts.most_common(reasons)
    ]
    more = len(counts) - len(lines)
    return "; ".join(lines) + (f"; and {more} other reasons" if more > 0 else "")

"""Parts of a dataset as one: long arrays are read from the stores of the parts as they are asked for, never as a whole.

So a dataset of a million frames is put together in the memory of a few thousand, and what puts it together reads
blocks: `data["forces"].variable[start:stop].values`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from .._typing import Array, Sequence
from .store import is_long


class ConcatenatedArray(BackendArray):
    """Arrays one after another along their first axis.

    Args:
        parts: variables of open stores, alike but for their lengths.
    """

    def __init__(self, parts: Sequence[xr.Variable]):
        self._parts = list(parts)
        self._end = np.cumsum([len(p) for p in self._parts])
        self.shape, self.dtype = (int(self._end[-1]), *self._parts[0].shape[1:]), self._parts[0].dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Array:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple) -> Array:
        """Rows by a slice, a number or an array of numbers in any order, then the rest of the key."""
        rows, rest, length = key[0], key[1:], self.shape[0]
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(length)
            return self._run(start, max(start, stop), rest)
        number = np.arange(*rows.indices(length)) if isinstance(rows, slice) else np.asarray(rows) % max(length, 1)
        flat, found = np.atleast_1d(number), self._run(0, 0, rest)
        out = np.empty((len(flat), *found.shape[1:]), self.dtype)
        part = np.searchsorted(self._end, flat, side="right")
        for k in np.unique(part):
            mine = part == k
            first, last = int(flat[mine].min()), int(flat[mine].max())  # read as one run: that is how parts are mixed
            out[mine] = self._run(first, last + 1, rest)[flat[mine] - first]
        return out.reshape((*np.shape(number), *out.shape[1:]))

    def _run(self, start: int, stop: int, rest: tuple) -> Array:
        """Consecutive rows."""
        found = []
        for part, end in zip(self._parts, self._end, strict=True):
            first = end - len(part)
            if (low := max(start, first)) < (high := min(stop, end)):
                found.append(part[(slice(low - first, high - first), *rest)].values)
        return np.concatenate(found) if found else self._parts[0][(slice(0, 0), *rest)].values


def concatenated(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Each variable along its first dimension, in the order of the parts; attributes that differ side by side.

    Args:
        parts: open stores with the same variables; they must stay open while the result is in use.
    """
    found = {}
    for name, first in parts[0].variables.items():
        pieces = [part[name].variable for part in parts]
        size = sum(p.nbytes for p in pieces)
        found[name] = (
            xr.Variable(first.dims, indexing.LazilyIndexedArray(ConcatenatedArray(pieces)))
            if is_long(first.dtype, size)
            else (first.dims, np.concatenate([p.values for p in pieces]))
        )
    attrs = {n: "; ".join(dict.fromkeys(str(part.attrs[n]) for part in parts)) for n in parts[0].attrs}
    return xr.Dataset(found, attrs=attrs)


def concatenated_steps(found: Sequence[xr.Dataset]) -> xr.Dataset:
    """Datasets of different steps as one, steps ascending; attributes that differ stand side by side."""
    last = max(found, key=lambda data: data["step"].values[-1])
    fixed = [name for name, variable in last.variables.items() if "step" not in variable.dims]
    moving = [data.drop_vars(fixed, errors="ignore") for data in found]
    steps = xr.concat(moving, "step", data_vars="minimal", coords="minimal", compat="override", combine_attrs="drop")
    attrs = {n: _side_by_side([data.attrs[n] for data in found if n in data.attrs]) for n in last.attrs}
    return last.drop_dims("step").merge(steps.sortby("step")).assign_attrs(attrs).drop_encoding()


def _side_by_side(values: list) -> object:
    """The value, or all that occur, in an order of their own."""
    if all(value == values[0] for value in values):
        return values[0]
    return "; ".join(sorted({word for value in values for word in str(value).split("; ")}))

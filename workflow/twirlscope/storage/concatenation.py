"""Concatenation of the parts of a dataset, and of datasets of different steps.

Long arrays are read lazily from the stores of the parts, never as a whole. So a dataset of a million frames is put
together in the memory of a few thousand. Code that uses it reads blocks: `data["forces"].variable[start:stop].values`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from .._typing import Array, Sequence
from .store import is_long


class ConcatenatedArray(BackendArray):
    """Arrays, one after another along their first axis, read lazily.

    Args:
        parts: variables of open stores with equal dtypes and shapes, except for the lengths of the first axis.
    """

    def __init__(self, parts: Sequence[xr.Variable]):
        self._parts = list(parts)
        self._end = np.cumsum([len(p) for p in self._parts])
        self.shape, self.dtype = (int(self._end[-1]), *self._parts[0].shape[1:]), self._parts[0].dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Array:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple) -> Array:
        """The values of a key whose first entry, the rows, is a slice, a number or an array of numbers in any order."""
        rows, rest, length = key[0], key[1:], self.shape[0]
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(length)
            return self._consecutive(start, max(start, stop), rest)
        number = np.arange(*rows.indices(length)) if isinstance(rows, slice) else np.asarray(rows) % max(length, 1)
        flat, empty = np.atleast_1d(number), self._consecutive(0, 0, rest)
        out = np.empty((len(flat), *empty.shape[1:]), self.dtype)
        part = np.searchsorted(self._end, flat, side="right")
        for k in np.unique(part):
            mine = part == k
            first, last = int(flat[mine].min()), int(flat[mine].max())  # one read per part, also for rows in between
            out[mine] = self._consecutive(first, last + 1, rest)[flat[mine] - first]
        return out.reshape((*np.shape(number), *out.shape[1:]))

    def _consecutive(self, start: int, stop: int, rest: tuple) -> Array:
        """Consecutive rows, with the rest of the key applied."""
        pieces = []
        for part, end in zip(self._parts, self._end, strict=True):
            first = end - len(part)
            if (low := max(start, first)) < (high := min(stop, end)):
                pieces.append(part[(slice(low - first, high - first), *rest)].values)
        return np.concatenate(pieces) if pieces else self._parts[0][(slice(0, 0), *rest)].values


def concatenated(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """The parts as one dataset: each variable is concatenated along its first dimension, in the order of the parts.

    Attributes that differ between parts are joined with "; ".

    Args:
        parts: open stores with the same variables; they must stay open while the result is in use.
    """
    variables = {}
    for name, first in parts[0].variables.items():
        pieces = [part[name].variable for part in parts]
        size = sum(p.nbytes for p in pieces)
        variables[name] = (
            xr.Variable(first.dims, indexing.LazilyIndexedArray(ConcatenatedArray(pieces)))
            if is_long(first.dtype, size)
            else (
                first.dims,
                np.concatenate([p[...].values for p in pieces]),
            )  # a view, as a variable keeps what it reads
        )
    attrs = {n: "; ".join(dict.fromkeys(str(part.attrs[n]) for part in parts)) for n in parts[0].attrs}
    return xr.Dataset(variables, attrs=attrs)


def concatenated_steps(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Datasets of different steps as one, steps ascending; attributes that differ are joined with "; "."""
    last = max(parts, key=lambda data: data["step"].values[-1])
    fixed = [name for name, variable in last.variables.items() if "step" not in variable.dims]
    moving = [data.drop_vars(fixed, errors="ignore") for data in parts]
    steps = xr.concat(moving, "step", data_vars="minimal", coords="minimal", compat="override", combine_attrs="drop")
    attrs = {n: _side_by_side([data.attrs[n] for data in parts if n in data.attrs]) for n in last.attrs}
    return last.drop_dims("step").merge(steps.sortby("step")).assign_attrs(attrs).drop_encoding()


def _side_by_side(values: list) -> object:
    """The common value, or all different values, sorted and joined with "; "."""
    if all(value == values[0] for value in values):
        return values[0]
    return "; ".join(sorted({word for value in values for word in str(value).split("; ")}))

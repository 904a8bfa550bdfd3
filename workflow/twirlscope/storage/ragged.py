"""Lazy per-sample reads of concatenated atom arrays.

Samples differ in their number of atoms; the atoms of all samples lie one after another in one array. Long arrays by
atom are stored uncompressed, so a batch of samples takes a few short reads, whatever the number of samples. Reads pass
their offset (`pread`), so threads and forked processes can share an open file.
"""

from __future__ import annotations

import itertools
import math
import os
import struct
import weakref
import zipfile
import zlib
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.storage import ZipStore

from .._typing import Array, Bool, Int
from . import store

NAME_LENGTH, HEADER = 26, 30  # offsets in the header of a zip member: of the lengths of its name and extra, of its name


class RandomAccessFile:
    """A file opened for reads at any offset; it is closed when nothing refers to it any more."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from the offset `start`, fewer only at the end of the file."""
        return os.pread(self._descriptor, size, start)


class UncompressedArray(BackendArray):
    """An uncompressed array of a store, read row by row on demand.

    The checksum of a chunk is compared before the first of its rows is used.

    Args:
        file: the store.
        members: chunks of the array, in order.
        array: zarr array with shape, dtype and chunks.
    """

    def __init__(self, file: RandomAccessFile, members: list[zipfile.ZipInfo], array: zarr.Array):
        self.shape, self.dtype = array.shape, array.dtype
        self._file, self._members, self._rows = file, members, array.chunks[0]
        self._kind = array.dtype.newbyteorder("<")
        self._size = self._kind.itemsize * math.prod(self.shape[1:])  # bytes of a row
        self._begin = np.zeros(len(members), np.int64)  # offsets of the values of chunks; 0 if not checked yet

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Array:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple) -> Array:
        """The values of a key whose first entry, the rows, is a slice, a number or an array of numbers in any order."""
        rows, length = key[0], self.shape[0]
        number = np.arange(*rows.indices(length)) if isinstance(rows, slice) else np.asarray(rows) % max(length, 1)
        flat = np.atleast_1d(number)
        out = np.empty((len(flat), *self.shape[1:]), self.dtype)
        cuts = np.flatnonzero((np.diff(flat) != 1) | (flat[1:] % self._rows == 0)) + 1
        for a, b in itertools.pairwise([*([0] if len(flat) else []), *cuts.tolist(), len(flat)]):
            out[a:b] = self._consecutive(int(flat[a]), b - a)
        out = out.reshape((*number.shape, *self.shape[1:]))
        whole = (slice(None),) * number.ndim
        return xr.Variable([f"axis{i}" for i in range(out.ndim)], out)[(*whole, *key[1:])].values

    def _consecutive(self, first: int, count: int) -> Array:
        """Consecutive rows of one chunk."""
        chunk, row = divmod(first, self._rows)
        content = self._file.read(self._checked_offset(chunk) + row * self._size, count * self._size)
        return np.frombuffer(content, self._kind).reshape(count, *self.shape[1:])

    def _checked_offset(self, chunk: int) -> int:
        """Offset of the values of a chunk in the file, after a check of its checksum.

        Raises:
            UserError: the checksum is wrong.
        """
        if not self._begin[chunk]:
            member = self._members[chunk]
            lengths = self._file.read(member.header_offset + NAME_LENGTH, 4)
            begin = member.header_offset + HEADER + sum(struct.unpack("<HH", lengths.ljust(4)))
            if zlib.crc32(self._file.read(begin, member.file_size)) != member.CRC:
                raise store.damaged(self._file.path, f"wrong checksum of {member.filename}")
            self._begin[chunk] = begin
        return int(self._begin[chunk])


def open_samples(path: str | Path) -> xr.Dataset:
    """A prepared dataset whose long arrays by atom are read lazily; all other numbers are in memory.

    Raises:
        UserError: no such file, or a damaged store.
    """
    data, file = store.open_store(path), RandomAccessFile(Path(path))
    try:
        with zipfile.ZipFile(path) as archive, ZipStore(path, mode="r") as stored:
            members = {member.filename: member for member in archive.infolist()}
            arrays, lazy = zarr.open_group(stored, mode="r"), {}
            for name, variable in data.variables.items():
                if is_uncompressed(array := arrays[name]):
                    rows = UncompressedArray(file, [members[f"{name}/{chunk}"] for chunk in _chunks(array)], array)
                    lazy[name] = xr.Variable(variable.dims, indexing.LazilyIndexedArray(rows), variable.attrs)
                elif variable.dtype.kind in "iufb":
                    variable.load()
    except store.DAMAGE_ERRORS as error:
        raise store.damaged(path, error) from error
    return data.assign(lazy)


def _chunks(array: zarr.Array) -> list[str]:
    """Keys of the chunks of an array that is divided along its first axis alone."""
    return [array.metadata.encode_chunk_key((i, *(0,) * (array.ndim - 1))) for i in range(array.nchunks)]


def is_uncompressed(array: zarr.Array) -> bool:
    """True if the bytes of the chunks are the values, row after row."""
    packed = array.compressors or array.filters or array.shards
    return not packed and array.ndim > 0 and array.chunks[1:] == array.shape[1:]


class Ragged:
    """Variables by atom of a dataset, indexed by sample.

    Args:
        data: dataset with `atoms`, the number of atoms of each sample; in memory or lazy.
        names: variables whose first dimension is `atom`.
    """

    def __init__(self, data: xr.Dataset, *names: str):
        self._first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
        self._variables = [data[name].variable for name in names]

    def __len__(self) -> int:
        return len(self._first) - 1

    def counts(self, index: Int[Array, " sample"]) -> Int[Array, " sample"]:
        """Number of atoms of each sample."""
        return self._first[index + 1] - self._first[index]

    def rows(self, index: Int[Array, " sample"]) -> list[Array]:
        """Each variable for all atoms of these samples, sample after sample."""
        counts = self.counts(index)
        before = np.cumsum(counts) - counts
        atom = np.repeat(self._first[index] - before, counts) + np.arange(counts.sum())
        return [variable[atom].values for variable in self._variables]

    def padded(self, index: Int[Array, " sample"]) -> tuple[Bool[Array, "sample atom"], list[Array]]:
        """Padding mask, True for atoms, and each variable `[sample, atom, ...]`, 0 on padding."""
        counts = self.counts(index)
        real, arrays = np.arange(counts.max()) < counts[:, None], []
        for rows in self.rows(index):
            arrays.append(np.zeros((*real.shape, *rows.shape[1:]), rows.dtype))
            arrays[-1][real] = rows
        return real, arrays

"""Stores: xarray datasets, each in one `.zarr.zip` file, checked against declarations and written atomically.

The same data give the same bytes, so that workflow checksums work. A store is built in a temporary file and renamed.
Long arrays are written in pieces, so that data may be longer than memory. Those by atom, from which training reads the
samples of a batch, are stored uncompressed; the others are compressed, in shards.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from zarr.storage import MemoryStore, ZipStore

from .._typing import Mapping
from ..errors import UserError
from ..runtime.atomic import write_whole
from .arrays.declaration import Variable, declared

# raised by reads of a damaged store
DAMAGE_ERRORS = (zipfile.BadZipFile, FileNotFoundError, KeyError, ValueError, RuntimeError)
TEXT = np.dtypes.StringDType()
LONG = 2**24  # bytes; larger arrays are written, and should be read, in pieces
CHUNK, SHARD = 2**18, 2**23  # bytes that are compressed together, and bytes that are written together
PLAIN = 2**20  # bytes of an uncompressed chunk, whose checksum is compared before any of it is used
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date in a zip file: the bytes do not depend on the time


def save(data: xr.Dataset | xr.DataTree, path: str | Path, arrays: Mapping[str, Variable]) -> None:
    """Write a store atomically, with unit and meaning on every variable.

    Args:
        data: declared variables, with the declared dimensions and dtypes; a tree is checked group by group.
        path: ends in `.zarr.zip`; folders are created.
        arrays: the declarations of this kind of store, from `arrays/`.

    Raises:
        ValueError: a variable that is not declared, or has other dimensions or another dtype.
        UserError: the disk is full or not writable; nothing is left behind.
    """
    path = Path(path)
    tree = isinstance(data, xr.DataTree)
    data = data.map_over_datasets(with_attributes, kwargs={"arrays": arrays}) if tree else with_attributes(data, arrays)
    memory = MemoryStore()
    pieces = {} if tree else {n: v for n, v in data.variables.items() if is_long(v.dtype, v.nbytes)}
    (data if tree else data.drop_vars(pieces)).to_zarr(memory, consolidated=False)
    empty = {name: _allocated(memory, name, variable) for name, variable in pieces.items()}
    write_whole(path, lambda file: _zip(memory._store_dict, file, _filled(empty, pieces)))


def is_long(dtype: np.dtype, size: int) -> bool:
    """True if an array of `size` bytes is written, and should be read, in pieces."""
    return size > LONG and dtype.kind in "iufb"


def with_attributes(data: xr.Dataset, arrays: Mapping[str, Variable]) -> xr.Dataset:
    """The dataset with the declared `units`, `long_name` and `source` on every variable.

    Raises:
        ValueError: a variable that is not declared, or has other dimensions or another dtype.
    """
    data = data.copy()
    for name, array in data.variables.items():
        if name not in arrays:
            raise ValueError(f"variable {name!r} is not among the declared arrays of this store")
        variable = arrays[name]
        if array.dims != variable.dims:
            raise ValueError(f"{name}: dimensions {array.dims}, declared {variable.dims}")
        if variable.dtype == "str":
            data[name] = data[name].astype(TEXT)  # fixed-length strings have no Zarr v3 specification
        elif array.dtype != np.dtype(variable.dtype):
            raise ValueError(f"{name}: dtype {array.dtype}, declared {variable.dtype}")
        attributes = {"units": variable.unit, "long_name": variable.meaning, "source": variable.source}
        data[name].attrs = {k: v for k, v in attributes.items() if v} | data[name].attrs
    return data


def declarations(data: xr.Dataset) -> dict[str, Variable]:
    """The declarations with which a dataset was stored, from its dtypes and attributes."""
    return {
        str(name): declared(
            " ".join(map(str, array.dims)),
            "str" if array.dtype.kind in "TUO" else str(array.dtype),
            array.attrs["units"],
            array.attrs["long_name"],
            array.attrs.get("source", ""),
        )
        for name, array in data.variables.items()
    }


def open_store(path: str | Path) -> xr.Dataset | xr.DataTree:
    """An xarray Dataset that reads a store lazily: values are loaded when they are used. Also a context manager.

    A store of several groups, such as the summary of a report, gives a DataTree of them.

    Raises:
        UserError: no such file, or a damaged store.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(path.parent, "a store there", repr(path.name), [p.name for p in path.parent.glob("*.zarr.zip")])
    try:
        _require_names(path)
        found = xr.open_dataset(ZipStore(path, mode="r"), engine="zarr", consolidated=False, chunks=None)
        if found.variables:
            return found
        tree = xr.open_datatree(ZipStore(path, mode="r"), engine="zarr", consolidated=False, chunks=None)
        return tree if tree.children else found
    except DAMAGE_ERRORS as error:
        raise damaged(path, error) from error


def _require_names(path: Path) -> None:
    """Compare the names of all entries with those in the directory of the zip file, by opening each.

    A damaged name would leave an array without a chunk, which Zarr takes for zeros. Raises zipfile.BadZipFile.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            archive.open(entry).close()


def load(path: str | Path) -> xr.Dataset | xr.DataTree:
    """The dataset (or the DataTree) of a store, read into memory; every chunk is checked, and the file is closed.

    Raises:
        UserError: no such file, or a damaged store.
    """
    with open_store(path) as data:
        try:
            return data.load()
        except DAMAGE_ERRORS as error:
            raise damaged(path, error) from error


def damaged(path: str | Path, reason: object) -> UserError:
    """The error for a damaged store."""
    return UserError(path, "a whole .zarr.zip store", f"a damaged one ({reason}); delete it and run again")


def _allocated(memory: MemoryStore, name: str, variable: xr.Variable) -> zarr.Array:
    """A new zarr array without values, with chunks, and shards unless it is by atom, of some rows each."""
    row, rest = max(1, variable.nbytes // len(variable)), variable.shape[1:]
    if variable.dims[0] == "atom":
        layout = {"chunks": (max(1, PLAIN // row), *rest), "compressors": None, "config": {"write_empty_chunks": True}}
    else:
        chunk = max(1, CHUNK // row)
        layout = {"chunks": (chunk, *rest), "shards": (chunk * max(1, SHARD // (chunk * row)), *rest)}
    return zarr.create_array(
        memory,
        name=name,
        shape=variable.shape,
        dtype=variable.dtype,
        **layout,
        attributes=dict(variable.attrs),
        dimension_names=variable.dims,
    )


def _filled(arrays: dict[str, zarr.Array], pieces: dict[str, xr.Variable]) -> Iterator[None]:
    """Fill the arrays, and yield after every shard, or after every chunk of an array without shards."""
    for name, array in arrays.items():
        rows = (array.shards or array.chunks)[0]
        for start in range(0, array.shape[0], rows):
            part = slice(start, start + rows)
            array[part] = pieces[name][part].values
            yield


def _zip(entries: dict, path: Path, pieces: Iterator[None]) -> None:
    """Write the entries of a zarr memory store to an uncompressed zip file, metadata first, so that one read opens it.

    Entries that `pieces` adds one by one are removed from memory as soon as they are written.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        written: set[str] = set()
        for _ in itertools.chain([None], pieces):
            for name in sorted(entries.keys() - written, key=lambda k: (not k.endswith("zarr.json"), k)):
                info = zipfile.ZipInfo(name, EPOCH)
                info.external_attr = 0o644 << 16
                archive.writestr(info, entries[name].to_bytes())
                written.add(name)
                if not name.endswith("zarr.json"):
                    del entries[name]

"""Stores: xarray datasets as one `.zarr.zip` file each, checked against their declarations, whole or not at all.

The same data give the same bytes, so that workflow checksums work. A store is built aside and renamed into place.
Long arrays are written piece by piece, so that data may be longer than memory: those by atom, of which the samples of a
batch are read, as they are in memory, the others compressed, in shards.
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
LONG = 2**24  # bytes above which an array is written, and better read, in pieces
CHUNK, SHARD = 2**18, 2**23  # bytes of what is compressed, and of what is written, at once
PLAIN = 2**20  # bytes of a chunk that is not compressed, whose checksum is taken before any of it is read
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that zip knows: no clock in the bytes


def save(data: xr.Dataset | xr.DataTree, path: str | Path, arrays: Mapping[str, Variable]) -> None:
    """Write a store atomically, with unit and meaning on every variable.

    Args:
        data: only variables that are declared, as they are declared; a tree is checked group by group.
        path: ends in `.zarr.zip`; folders are made.
        arrays: the declarations of this kind of store, from `arrays/`.

    Raises:
        ValueError: a variable that is not declared, or with other dimensions or dtype.
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
    """Whether an array of so many bytes is written in shards, and should be read in pieces."""
    return size > LONG and dtype.kind in "iufb"


def with_attributes(data: xr.Dataset, arrays: Mapping[str, Variable]) -> xr.Dataset:
    """The dataset with `units`, `long_name` and `source` as declared on every variable.

    Raises:
        ValueError: a variable that is not declared, or with other dimensions or dtype.
    """
    data = data.copy()
    for name, array in data.variables.items():
        if name not in arrays:
            raise ValueError(f"variable {name!r} is not among the declared arrays of this store")
        wanted = arrays[name]
        if array.dims != wanted.dims:
            raise ValueError(f"{name}: dimensions {array.dims}, declared {wanted.dims}")
        if wanted.dtype == "str":
            data[name] = data[name].astype(TEXT)  # fixed-length strings have no Zarr v3 specification
        elif array.dtype != np.dtype(wanted.dtype):
            raise ValueError(f"{name}: dtype {array.dtype}, declared {wanted.dtype}")
        words = {"units": wanted.unit, "long_name": wanted.meaning, "source": wanted.source}
        data[name].attrs = {k: v for k, v in words.items() if v} | data[name].attrs
    return data


def declarations(data: xr.Dataset) -> dict[str, Variable]:
    """The declarations with which a dataset was stored, read back from it."""
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


def open_store(path: str | Path) -> xr.Dataset:
    """An xarray Dataset on a store, read lazily: nothing is loaded before it is used. Also a context manager.

    Raises:
        UserError: no such file, or not a whole store.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(path.parent, "a store there", repr(path.name), [p.name for p in path.parent.glob("*.zarr.zip")])
    try:
        return xr.open_dataset(ZipStore(path, mode="r"), engine="zarr", consolidated=False, chunks=None)
    except DAMAGE_ERRORS as error:
        raise damaged(path, error) from error


def load(path: str | Path) -> xr.Dataset:
    """A store, read into memory and closed; every chunk is checked. Raises as `open_store`."""
    with open_store(path) as data:
        try:
            return data.load()
        except DAMAGE_ERRORS as error:
            raise damaged(path, error) from error


def damaged(path: str | Path, reason: object) -> UserError:
    """The error for a store that is not as it was written."""
    return UserError(path, "a whole .zarr.zip store", f"a damaged one ({reason}); delete it and run again")


def _allocated(memory: MemoryStore, name: str, variable: xr.Variable) -> zarr.Array:
    """An array without values yet, its chunks, and shards where it has any, some rows long."""
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
    """Fill the arrays, pausing after every shard, or chunk where there are none."""
    for name, array in arrays.items():
        rows = (array.shards or array.chunks)[0]
        for start in range(0, array.shape[0], rows):
            part = slice(start, start + rows)
            array[part] = pieces[name][part].values
            yield


def _zip(entries: dict, path: Path, pieces: Iterator[None]) -> None:
    """Entries of a zarr memory store as a stored zip, metadata first: one read opens it. Pieces that are added to the
    entries one by one leave memory as soon as they are written.
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

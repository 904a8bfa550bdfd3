"""Long arrays in pieces, read from the stores of parts and written in shards, equal the arrays as a whole."""

import numpy as np
import pytest
import xarray as xr

from twirlscope.storage import registry, store
from twirlscope.storage.concatenation import concatenated

LENGTHS = (4, 0, 7, 1)


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Open stores of parts whose arrays of atoms count as long, and the whole dataset."""
    monkeypatch.setattr(store, "LONG", 30)
    forces = np.random.default_rng(0).normal(size=(sum(LENGTHS), 3)).astype(np.float32)
    opened, start = [], 0
    for n in LENGTHS:
        part = {"forces": (("atom", "xyz"), forces[start : start + n]), "sample": ("sample", np.arange(n))}
        registry.save(xr.Dataset(part, attrs={"labels": "none"}), tmp_path / f"{start}_{n}.zarr.zip")
        opened.append(store.open_store(tmp_path / f"{start}_{n}.zarr.zip"))
        start += n
    return opened, forces


KEYS = [slice(None), slice(3, 6), slice(5, 5), slice(2, 12, 3), slice(None, None, -1), slice(8, 2, -2)]
KEYS += [0, 11, -1, np.array([11, 0, 5, 5, 4]), np.array([], int), np.array([-1, 2])]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_concatenated__reads_the_rows_that_the_whole_has(parts, key):
    opened, forces = parts
    found = concatenated(opened)["forces"].variable
    assert not found._in_memory
    np.testing.assert_array_equal(found[key].values, forces[key])
    np.testing.assert_array_equal(found[key, 1].values, forces[key][..., 1])


def test_concatenated__selects_twice_without_reading_in_between(parts):
    opened, forces = parts
    order = np.random.default_rng(1).permutation(12)
    data = concatenated(opened).isel(atom=order)
    assert not data["forces"].variable._in_memory
    np.testing.assert_array_equal(data["forces"].variable[3:8].values, forces[order][3:8])


def test_save__writes_long_arrays_as_they_were_whether_in_memory_or_not(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHUNK", 24)
    monkeypatch.setattr(store, "SHARD", 60)
    monkeypatch.setattr(store, "PLAIN", 24)
    data = concatenated(parts[0]).assign_coords(xyz=np.array(list("xyz"), object))
    registry.save(data, tmp_path / "a.zarr.zip")
    registry.save(data.load(), tmp_path / "b.zarr.zip")
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()
    found = store.load(tmp_path / "a.zarr.zip")
    xr.testing.assert_equal(found, data)
    assert found["forces"].attrs["units"] == "eV angstrom-1"
    assert (found["sample"].encoding["chunks"], found["sample"].encoding["shards"]) == ((3,), (6,))
    assert (found["forces"].encoding["chunks"], found["forces"].encoding["shards"]) == ((2, 3), None)

"""Stores: atomic writes, units and meanings, the same bytes for the same data."""

import errno
import os

import numpy as np
import pytest
import toys
import xarray as xr

from twirlscope.errors import UserError
from twirlscope.runtime import atomic
from twirlscope.storage import registry, store
from twirlscope.storage.arrays.data import DATA
from twirlscope.storage.registry import VARIABLES


def test_save__comes_back_as_it_was(tmp_path):
    data = toys.frames()
    registry.save(data, tmp_path / "a.zarr.zip")
    found = store.load(tmp_path / "a.zarr.zip")
    xr.testing.assert_equal(found, data)
    assert found.attrs == data.attrs


def test_save__writes_unit_and_meaning_on_every_variable(tmp_path):
    registry.save(toys.frames(), tmp_path / "a.zarr.zip")
    found = store.load(tmp_path / "a.zarr.zip")
    for name, array in found.variables.items():
        assert array.attrs["units"] == VARIABLES[name].unit
        assert array.attrs["long_name"] == VARIABLES[name].meaning


def test_save__keeps_text_as_text_even_when_there_is_none(tmp_path):
    empty = {"reject_source": ("reject", np.array([], object)), "reject_index": ("reject", np.array([], np.int64))}
    registry.save(xr.Dataset(empty), tmp_path / "a.zarr.zip")
    assert store.load(tmp_path / "a.zarr.zip")["reject_source"].dtype == np.dtypes.StringDType()


def test_save__gives_the_same_bytes_twice(tmp_path):
    for name in "ab":
        registry.save(toys.frames(), tmp_path / f"{name}.zarr.zip")
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ({"energie": ("sample", np.zeros(2))}, "not among the declared"),
        ({"loss_total": (("step", "term"), np.zeros((2, 2)))}, "not among the declared"),  # of another store
        ({"energy": ("atom", np.zeros(2))}, "dimensions"),
        ({"energy": ("sample", np.zeros(2, np.float32))}, "dtype"),
    ],
)
def test_save__refuses_what_is_not_declared(tmp_path, variable, message):
    with pytest.raises(ValueError, match=message):
        store.save(xr.Dataset(variable), tmp_path / "a.zarr.zip", DATA)
    assert not list(tmp_path.iterdir())


def test_save__leaves_the_old_store_and_nothing_else_when_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr.zip"
    registry.save(toys.frames(seed=1), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        registry.save(toys.frames(seed=2), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save__on_a_really_full_disk_says_so(tmp_path):
    """/dev/full is a device on which every write fails because no space is left."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with pytest.raises(UserError, match="No space left"):
        atomic.write_whole(
            tmp_path / "x", lambda aside: os.symlink("/dev/full", aside) or aside.write_bytes(b"0" * 100)
        )
    assert not list(tmp_path.iterdir())


def test_save__removes_what_a_killed_process_has_left_of_the_same_store(tmp_path):
    for name in (".a.zarr.zip.123.part", ".b.zarr.zip.123.part"):
        (tmp_path / name).touch()
    registry.save(toys.frames(), tmp_path / "a.zarr.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"a.zarr.zip", ".b.zarr.zip.123.part"}


@pytest.mark.parametrize("where", ["front", "middle", "end"])
def test_load__says_which_store_is_damaged(tmp_path, where):
    path = tmp_path / "a.zarr.zip"
    registry.save(toys.frames(), path)
    content = bytearray(path.read_bytes())
    if where == "end":
        content = content[: len(content) // 2]
    else:
        start = 0 if where == "front" else content.index(b"forces/c") + 20
        content[start : start + 40] = bytes(40)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="damaged") as found:
        store.load(path)
    assert str(path) in str(found.value)


def test_load__refuses_a_store_with_a_damaged_name_in_its_directory(tmp_path):
    """Zarr would take the array for zeros: it has no chunk of that name."""
    path = tmp_path / "a.zarr.zip"
    registry.save(toys.frames(), path)
    content = path.read_bytes()
    last = content.rindex(b"energy/c/0")  # in the directory, behind all entries
    path.write_bytes(content[:last] + b"enargy" + content[last + 6 :])
    with pytest.raises(UserError, match="damaged"):
        store.load(path)


def test_open_store__names_the_nearest_store_when_there_is_none(tmp_path):
    registry.save(toys.frames(), tmp_path / "twirl.zarr.zip")
    with pytest.raises(UserError, match=r"did you mean .*twirl\.zarr\.zip"):
        store.open_store(tmp_path / "twril.zarr.zip")


def test_open_store__is_lazy_and_public(tmp_path):
    import twirlscope

    registry.save(toys.frames(), tmp_path / "a.zarr.zip")
    with twirlscope.open_store(tmp_path / "a.zarr.zip") as found:
        assert not found["positions"].variable._in_memory
        np.testing.assert_array_equal(found["positions"], toys.frames()["positions"])


def test_open_store__gives_the_tree_of_a_store_of_several_groups(tmp_path):
    frames = toys.frames().drop_vars(["sample"], errors="ignore")
    tree = xr.DataTree.from_dict({"/a/seed0": frames, "/b/seed0": frames})
    store.save(tree, tmp_path / "tree.zarr.zip", DATA)
    with store.open_store(tmp_path / "tree.zarr.zip") as found:
        assert set(found.children) == {"a", "b"}
    loaded = store.load(tmp_path / "tree.zarr.zip")
    np.testing.assert_array_equal(loaded["a/seed0/energy"].values, frames["energy"].values)


def test_open_store__gives_an_empty_dataset_as_it_is(tmp_path):
    store.save(xr.Dataset(attrs={"of": "nothing"}), tmp_path / "a.zarr.zip", DATA)
    assert store.load(tmp_path / "a.zarr.zip").attrs == {"of": "nothing"}

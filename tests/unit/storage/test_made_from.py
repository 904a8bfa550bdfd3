"""The record of a store: what counts as content, what a store was made from, and stores that do not belong together."""

import json
import os
import zipfile

import numpy as np
import pytest
import xarray as xr

from twirlscope.errors import UserError
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.storage import made_from, store
from twirlscope.storage.arrays.declaration import declared

ARRAYS = {"x": declared("row", "float32", "1", "numbers")}


def written(path, values=(1, 2, 3), **attributes):
    store.save(xr.Dataset({"x": ("row", np.array(values, np.float32))}, attrs=attributes), path, ARRAYS)
    return path


def test_content__is_that_of_arrays_and_attributes_and_not_the_record_the_name_or_the_time(tmp_path):
    first = made_from.content_hash(written(tmp_path / "a.zarr.zip", unit="m"))
    same = written(tmp_path / "b.zarr.zip", unit="m", **made_from.attribute({"code": "1"}))
    os.utime(same, (1, 1))
    assert made_from.content_hash(same) == first
    assert made_from.content_hash(written(tmp_path / "c.zarr.zip", unit="s")) != first
    assert made_from.content_hash(written(tmp_path / "d.zarr.zip", (1, 2, 4), unit="m")) != first


def test_content__of_a_store_that_is_replaced_is_read_again(tmp_path):
    path = written(tmp_path / "a.zarr.zip")
    first = made_from.content_hash(path)
    assert made_from.content_hash(written(path, (7, 8))) != first


def test_record__is_read_back_and_is_none_where_there_is_none(tmp_path):
    record = {"settings.rotations": "4", "code": '"abc"'}
    assert made_from.recorded(written(tmp_path / "a.zarr.zip", **made_from.attribute(record))) == record
    assert made_from.recorded(written(tmp_path / "b.zarr.zip")) is None


def test_attributes__are_those_that_xarray_reads(tmp_path):
    path = written(tmp_path / "a.zarr.zip", unit="m", number=3)
    assert made_from.attributes(path) == dict(store.load(path).attrs)


def test_record__of_a_missing_or_damaged_store_is_an_error_that_names_it(tmp_path):
    with pytest.raises(UserError, match=r"a\.zarr\.zip"):
        made_from.recorded(tmp_path / "a.zarr.zip")
    (tmp_path / "b.zarr.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"b\.zarr\.zip.*damaged"):
        made_from.recorded(tmp_path / "b.zarr.zip")
    with zipfile.ZipFile(tmp_path / "c.zarr.zip", "w") as archive:
        archive.writestr("zarr.json", "{")
    with pytest.raises(UserError, match=r"c\.zarr\.zip.*damaged"):
        made_from.recorded(tmp_path / "c.zarr.zip")


def test_record__of_a_measurement_leaves_out_how_the_machine_does_it(tmp_path):
    train, data = written(tmp_path / "t.zarr.zip", checkpoints="abc"), written(tmp_path / "d.zarr.zip")
    settings = ({}, {"chunk": 7, "device": "cpu", "jobs": 3}, {"rotations": 9})
    found = [made_from.of_measurement("twirl", TwirlSettings(**s), {}, "code", train, data) for s in settings]
    assert found[0] == found[1]
    assert {k for k in found[0] if found[0][k] != found[2][k]} == {"settings.rotations"}
    assert json.loads(found[0]["checkpoints"]) == "abc"


def test_stores__made_from_different_things_are_not_put_together(tmp_path):
    paths = [
        written(tmp_path / f"{i}.zarr.zip", **made_from.attribute({"code": "1", "settings.samples": str(i // 2)}))
        for i in range(3)
    ]
    made_from.require_same(paths[:2], "parts")
    with pytest.raises(
        UserError, match=r"parts made from the same .*0\.zarr\.zip and .*2\.zarr\.zip.*settings\.samples"
    ):
        made_from.require_same(paths, "parts")

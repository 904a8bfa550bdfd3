"""Stage `twirl` on a short training: every checkpoint is measured, reproducibly."""

import json

import numpy as np
import pytest
import toys
import xarray as xr

from twirlscope.errors import UserError
from twirlscope.estimators import bootstrap
from twirlscope.settings.train import TrainSettings
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.stages import train
from twirlscope.stages.gather import Share, gather
from twirlscope.stages.twirl import twirl
from twirlscope.storage import registry, store

SETTINGS = TwirlSettings(panel=4, panel_replicates=2, resamples=100, device="cpu")


def _trained(folder, data):
    """Files of a short training on these data."""
    registry.save(data, folder / "data.zarr.zip")
    settings = TrainSettings(steps=4, batch=4, warmup=1, device="cpu").model_dump()
    model = {"name": f"{toys.__file__.replace('toys', 'toy_model')}:Mlp"}
    run = {"task": {"name": "force_field"}, "model": model, "train": settings, "seed": 0, "dataset": "well"}
    train.train(folder / "data.zarr.zip", folder / "train.zarr.zip", run, "code")
    return folder / "train.zarr.zip", folder / "data.zarr.zip"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A short training and its data."""
    return _trained(tmp_path_factory.mktemp("run"), toys.frames())


def test_twirl__measures_every_checkpoint_and_gives_the_same_bytes_twice(files, tmp_path):
    for name in ("a", "b"):
        twirl(*files, tmp_path / f"{name}.zarr.zip", SETTINGS)
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()
    found = store.load(tmp_path / "a.zarr.zip")
    np.testing.assert_array_equal(found["step"], store.load(files[0])["step"])
    assert found["loss_equiv"].notnull().all()
    assert found["spectrum"].notnull().all()


def test_panel__is_measured_at_the_chosen_checkpoints_with_the_numbers_of_a_panel_at_all(files, tmp_path):
    """Also if a job has none of them in its share: its checkpoints have no spectrum in the store of all."""
    some = SETTINGS.model_copy(update={"panel_checkpoints": 2})
    twirl(*files, tmp_path / "all.zarr.zip", SETTINGS)
    twirl(*files, tmp_path / "some.zarr.zip", some)
    parts = [tmp_path / f"{number}.zarr.zip" for number in range(4)]
    for number, part in enumerate(parts):
        twirl(*files, part, some, Share(number, 4))
    gather(parts, tmp_path / "gathered.zarr.zip")
    whole, found, gathered = (store.load(tmp_path / f"{n}.zarr.zip") for n in ("all", "some", "gathered"))
    ends = [int(found["step"][0]), int(found["step"][-1])]
    xr.testing.assert_equal(found.sel(step=ends), whole.sel(step=ends))
    between = found.drop_sel(step=ends)
    for name in ("spectrum", "lie_error", "panel_gram", "panel_prediction", "effective_degree"):
        assert between[name].isnull().all(), name
    xr.testing.assert_equal(between["loss_equiv"], whole["loss_equiv"].drop_sel(step=ends))
    xr.testing.assert_equal(gathered, found)


def test_twirl__stores_its_settings_and_the_last_checkpoint_on_the_test_sets(files, tmp_path):
    twirl(*files, tmp_path / "out.zarr.zip", SETTINGS)
    found = store.load(tmp_path / "out.zarr.zip")
    assert json.loads(found.attrs["settings"]) == SETTINGS.model_dump()
    assert (found.attrs["samples"], found.attrs["resamples"], found.attrs["dtype"]) == (10, 100, "float32")
    np.testing.assert_array_equal(found["set_index"], found["sample"])  # the only held-out split
    np.testing.assert_allclose(found["set_loss_equiv"], found["sample_loss_equiv"].isel(step=-1), rtol=1e-6, atol=1e-9)
    assert found["twirled_loss"].notnull().any()


def test_twirl__refuses_a_split_that_the_data_lack(files, tmp_path):
    with pytest.raises(UserError, match=r"twirl\.split"):
        twirl(*files, tmp_path / "out.zarr.zip", SETTINGS.model_copy(update={"split": "validation"}))
    assert not (tmp_path / "out.zarr.zip").exists()


def test_twirl__resamples_the_clusters_of_the_dataset(tmp_path):
    data = toys.frames(40)
    data["cluster"] = ("sample", (np.arange(40, dtype=np.int32) // 4)[::-1].copy())  # 10 held-out samples, 3 clusters
    files = _trained(tmp_path, data)
    twirl(*files, tmp_path / "out.zarr.zip", SETTINGS)
    found = store.load(tmp_path / "out.zarr.zip")
    for sample, cluster in (("sample", "cluster"), ("panel_sample", "panel_cluster"), ("set_index", "set_cluster")):
        np.testing.assert_array_equal(found[cluster], data["cluster"].values[found[sample].values])
    assert (found.attrs["samples"], found.attrs["clusters"]) == (10, 3)
    cluster, panel = found["cluster"].values, found["panel_cluster"].values
    total, equiv = found["sample_loss_total"].values, found["sample_loss_equiv"].values
    low, high = bootstrap.interval(equiv, total, 100, 0, cluster)
    np.testing.assert_allclose(found["percent_equiv_low"], np.clip(100 * low, 0, 100), rtol=1e-9)
    np.testing.assert_allclose(found["percent_equiv_high"], np.clip(100 * high, 0, 100), rtol=1e-9)
    measured = found["panel_twirled_loss"].values
    np.testing.assert_allclose(found["twirled_loss_error"], bootstrap.standard_error(measured, panel), rtol=1e-9)
    lie = found["panel_lie_error"].values
    np.testing.assert_allclose(found["lie_error_error"], bootstrap.standard_error(lie, panel), rtol=1e-9)
    frame = found["panel_frame_loss"].values
    np.testing.assert_allclose(found["frame_loss_error"], bootstrap.standard_error(frame, panel), rtol=1e-9)
    assert len(set(panel)) < len(panel)  # so that all of this differs from errors over samples

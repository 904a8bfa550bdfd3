"""Stage `twirl` on a short training: every checkpoint is measured, reproducibly."""

import json

import numpy as np
import pytest
import toys

from twirlscope.errors import UserError
from twirlscope.settings.train import TrainSettings
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.stages import train
from twirlscope.stages.twirl import twirl
from twirlscope.storage import registry, store

SETTINGS = TwirlSettings(panel=4, panel_replicates=2, resamples=100, device="cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A short training and its data."""
    folder = tmp_path_factory.mktemp("run")
    registry.save(toys.frames(), folder / "data.zarr.zip")
    settings = TrainSettings(steps=4, batch=4, warmup=1, device="cpu").model_dump()
    model = {"name": f"{toys.__file__.replace('toys', 'toy_model')}:Mlp"}
    run = {"task": {"name": "force_field"}, "model": model, "train": settings, "seed": 0, "dataset": "well"}
    train.train(folder / "data.zarr.zip", folder / "train.zarr.zip", run, "code")
    return folder / "train.zarr.zip", folder / "data.zarr.zip"


def test_twirl__measures_every_checkpoint_and_gives_the_same_bytes_twice(files, tmp_path):
    for name in ("a", "b"):
        twirl(*files, tmp_path / f"{name}.zarr.zip", SETTINGS)
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()
    found = store.load(tmp_path / "a.zarr.zip")
    np.testing.assert_array_equal(found["step"], store.load(files[0])["step"])
    assert found["loss_equiv"].notnull().all()
    assert found["spectrum"].notnull().all()


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

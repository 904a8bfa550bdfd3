"""A finished run, opened with the right files and with wrong ones."""

import pytest
from short_trainings import run, stored_frames  # noqa: F401

from twirlscope.errors import UserError
from twirlscope.stages import train
from twirlscope.training.checkpoints import Trained


def test_trained__names_the_arguments_where_they_are_swapped(tmp_path, data):
    out = tmp_path / "train.zarr.zip"
    train.train(data, out, run(steps=5), "code")
    assert Trained(out, data).steps[-1] == 5
    with pytest.raises(UserError, match=r"the train\.zarr\.zip of a run, got data\.zarr\.zip .*Trained\(train, data\)"):
        Trained(data, out)
    with pytest.raises(UserError, match=r"the prepared dataset that .*, got train\.zarr\.zip without splits"):
        Trained(out, out)

"""Short trainings of a toy model: their settings, data and weights, as fixtures and functions."""

from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import toys

from twirlscope.settings.train import TrainSettings
from twirlscope.storage import registry
from twirlscope.training.checkpoints import Trained
from twirlscope.training.loop import Loop

PLUGIN = Path(__file__).with_name("toy_model.py")


def run(**changes):
    settings = {"steps": 60, "batch": 4, "warmup": 5, "device": "cpu"} | changes
    return {
        "dataset": "well",
        "task": {"name": "force_field"},
        "model": {"name": f"{PLUGIN}:Mlp"},
        "train": TrainSettings(**settings).model_dump(),
        "seed": 0,
    }


@pytest.fixture(name="data")
def stored_frames(tmp_path):
    registry.save(toys.frames(), tmp_path / "data.zarr.zip")
    return tmp_path / "data.zarr.zip"


def weights(out, data, step):
    return Trained(out, data).model(step).state_dict()


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@contextmanager
def killed_at(step):
    """A context in which a training is interrupted before the update of a step; it must be."""
    update = Loop.update

    def dies(loop):
        if loop.step == step:
            raise KeyboardInterrupt
        update(loop)

    with patch.object(Loop, "update", dies), pytest.raises(KeyboardInterrupt):
        yield

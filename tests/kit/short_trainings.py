"""Short trainings of a toy model: their settings, data and weights, as fixtures and functions."""

from pathlib import Path

import pytest
import torch
import toys

from twirlscope.settings.train import TrainSettings
from twirlscope.storage import registry
from twirlscope.training.checkpoints import Trained

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

"""Short trainings of a toy model: their settings, data and weights, as fixtures and functions."""

import functools
import json
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import forks
import pytest
import torch
import toys

from twirlscope.runtime.code_hash import code_hash
from twirlscope.runtime.job import job
from twirlscope.settings.train import TrainSettings
from twirlscope.stages import rehearsal, train
from twirlscope.storage import registry
from twirlscope.training.checkpoints import Trained
from twirlscope.training.loop import Loop

PLUGIN = Path(__file__).with_name("toy_model.py")


def run(**changes):
    settings = {"steps": 30, "batch": 4, "warmup": 5, "device": "cpu"} | changes
    return {
        "dataset": "well",
        "task": {"name": "force_field"},
        "model": {"name": f"{PLUGIN}:Mlp"},
        "train": TrainSettings(**settings).model_dump(),
        "seed": 0,
    }


@functools.cache
def frames():
    """The bytes of the stored frames."""
    with tempfile.TemporaryDirectory() as folder:
        registry.save(toys.frames(), Path(folder) / "data.zarr.zip")
        return (Path(folder) / "data.zarr.zip").read_bytes()


@pytest.fixture(name="data")
def stored_frames(tmp_path):
    (tmp_path / "data.zarr.zip").write_bytes(frames())
    return tmp_path / "data.zarr.zip"


@pytest.fixture(scope="session", name="finished")
def finished_trainings(tmp_path_factory):
    """A function that copies a finished training to a folder and returns its store; settings are trained once."""
    made = {}

    def finished(folder, **changes):
        key = json.dumps(run(**changes), sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("finished")
            (made[key] / "data.zarr.zip").write_bytes(frames())
            train.train(made[key] / "data.zarr.zip", made[key] / "train.zarr.zip", run(**changes), "code")
        shutil.copytree(made[key], folder, dirs_exist_ok=True)
        return folder / "train.zarr.zip"

    return finished


@pytest.fixture
def unrehearsed(monkeypatch):
    """Trainings without the rehearsal of their end, which takes as long as they do; tests of the stage have it."""
    monkeypatch.setattr(rehearsal, "rehearse", lambda *_: None)


def started_as_a_job(folder, data, of_run, pause, processes=1):
    """Process id of the stage in a fork, as the rule runs it, in `broken`; its log is `train.log`.

    From the 16th step on every update waits `pause` seconds, so that what happens to it happens before the last one.
    """
    update = Loop.update

    def slow(loop):
        time.sleep(pause if loop.step >= 16 else 0)
        update(loop)

    def work():
        Loop.update = slow
        params = SimpleNamespace(job={"code": code_hash([])}, sources=[])
        with job(SimpleNamespace(rule="train", threads=processes, log=[str(folder / "train.log")], params=params)):
            train.train(data, folder / "broken" / "train.zarr.zip", of_run, "code", processes)

    return forks.forked(work)


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

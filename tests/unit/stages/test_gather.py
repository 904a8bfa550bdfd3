"""Checkpoints shared out among jobs: the gathered store is, byte for byte, the one that a single job writes."""

import numpy as np
import pytest
import toys
import xarray as xr

from twirlscope.errors import UserError
from twirlscope.settings.gradient import GradientSettings
from twirlscope.settings.hessian import HessianSettings
from twirlscope.settings.train import TrainSettings
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.stages import gather, train
from twirlscope.stages.gather import Share
from twirlscope.stages.gradient import gradient
from twirlscope.stages.hessian import hessian
from twirlscope.stages.twirl import twirl
from twirlscope.storage import concatenation, registry, store


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A short training and its data."""
    folder = tmp_path_factory.mktemp("run")
    registry.save(toys.frames(), folder / "data.zarr.zip")
    settings = TrainSettings(steps=3, batch=4, warmup=2, ema=0.9, device="cpu").model_dump()
    model = {"name": f"{toys.__file__.replace('toys', 'toy_model')}:Mlp"}
    run = {"task": {"name": "force_field"}, "model": model, "train": settings, "seed": 0, "dataset": "well"}
    train.train(folder / "data.zarr.zip", folder / "train.zarr.zip", run, "code")
    return folder / "train.zarr.zip", folder / "data.zarr.zip"


PANEL = {"panel": 4, "panel_set": "D2", "panel_replicates": 2, "highest_degree": 1, "kept": 1}
DENSE = {"samples": 2, "rotation_set": "D2"}
STAGES = {
    "twirl": (twirl, [TwirlSettings(**PANEL, resamples=100, losses=["l2", "huber"], device="cpu")]),
    "gradient": (gradient, [GradientSettings(batches=4, samples=3, nearest=2, nearest_steps=3, device="cpu")]),
    "hessian": (hessian, [HessianSettings(checkpoints=4, **DENSE, device="cpu")]),
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_gather__gives_the_bytes_of_a_single_job(stage, files, tmp_path):
    measure, arguments = STAGES[stage]
    whole, parts = tmp_path / "whole.zarr.zip", [tmp_path / f"parts/{i}.zarr.zip" for i in range(3)]
    measure(*files, whole, *arguments)
    for number, part in enumerate(parts):
        measure(*files, part, *arguments, Share(number, 3))
    found = [store.load(part) for part in parts]
    steps = store.load(whole)["step"].values
    for number, data in enumerate(found):
        np.testing.assert_array_equal(data["step"], steps[number::3])
    gather.gather(parts, tmp_path / "gathered.zarr.zip")
    xr.testing.assert_identical(store.load(tmp_path / "gathered.zarr.zip"), store.load(whole))
    assert (tmp_path / "gathered.zarr.zip").read_bytes() == whole.read_bytes()


def test_share__of_all_jobs_together_is_every_step_once():
    steps = [0, 1, 2, 4, 10, 100, 1000]
    for jobs in range(1, 8):
        each = [Share(number, jobs).of(steps) for number in range(jobs)]
        assert sorted(step for share in each for step in share) == steps
        assert max(map(len, each)) - min(map(len, each)) <= 1
    assert Share().of(steps) == steps


def test_in_order__puts_attributes_that_differ_side_by_side():
    def part(steps, device):
        return xr.Dataset({"parameters": 3}, {"step": np.array(steps)}, {"device": device, "split": "test"})

    found = concatenation.concatenated_steps([part([0, 4], "b; a"), part([2], "a"), part([1, 3], "c")])
    assert found.attrs == {"device": "a; b; c", "split": "test"}
    assert list(found["step"]) == [0, 1, 2, 3, 4]


def test_gather__refuses_shares_that_were_measured_with_different_settings(files, tmp_path):
    parts = [tmp_path / f"{i}.zarr.zip" for i in range(2)]
    for number, part in enumerate(parts):
        settings = TwirlSettings(panel=0, resamples=100 + number, device="cpu")
        twirl(*files, part, settings, Share(number, 2))
    with pytest.raises(UserError, match=r"stores of jobs made from the same .* which differ in settings\.resamples"):
        gather.gather(parts, tmp_path / "gathered.zarr.zip")
    assert not (tmp_path / "gathered.zarr.zip").exists()

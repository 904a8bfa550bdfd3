"""Losses that stay on the device until several updates are read together."""

import numpy as np
import pytest
import short_trainings
import torch
import toys

from twirlscope import plugins
from twirlscope.errors import UserError
from twirlscope.settings.train import TrainSettings
from twirlscope.training.curve import TOGETHER, Curve, Recorder
from twirlscope.training.loop import Loop


def loop_of(every, **changes):
    """A short training of the toy model that reads so many updates together, as it would on a GPU."""
    run = short_trainings.run(**changes)
    task = plugins.make_task(run["task"], toys.frames())
    loop = Loop(task, run, TrainSettings(**run["train"]), np.arange(20))
    loop.recorder.every = every
    return loop


def test_recorder__reads_at_every_update_on_the_cpu_alone():
    assert Recorder(Curve(), "cpu").every == 1
    assert Recorder(Curve(), "cuda:1").every == TOGETHER > 1


def test_recorder__reading_several_updates_together_changes_no_number(tmp_path):
    found = []
    for every in (1, 7):
        loop = loop_of(every, ema=0.9, objective={"name": "augment", "views": 2})
        folder = tmp_path / str(every)
        folder.mkdir()
        loop.train(folder)
        found.append((vars(loop.curve), {p.name: p.read_bytes() for p in folder.glob("step*.pt")}))
    assert len(found[0][0]["loss"]) == len(found[0][0]["gradient_norm"]) == len(found[0][0]["learning_rate"]) == 30
    assert found[0] == found[1]


def test_recorder__fills_quantities_that_begin_late_with_nan():
    recorder = Recorder(Curve(), "cuda")
    for step in range(4):
        means = {"total": torch.tensor(1.0), "gradients": torch.ones(3)} | (
            {"late": torch.tensor(2.0)} if step > 1 else {}
        )
        recorder.add(step, means, torch.tensor(0.5), 0.1)
    assert not recorder.curve.loss
    recorder.read()
    assert recorder.curve.loss == [1.0] * 4
    np.testing.assert_array_equal(recorder.curve.quantities["late"], [np.nan, np.nan, 2.0, 2.0])
    assert "gradients" not in recorder.curve.quantities


@pytest.mark.parametrize("every", [1, 1000])
def test_recorder__names_the_step_of_a_loss_that_is_not_finite_and_nothing_of_it_is_saved(tmp_path, every):
    loop, step, update = loop_of(every), 8, Loop._gradients

    def spoiled(self, rows):
        means = update(self, rows)
        return means | {"total": means["total"] * float("nan")} if self.step == step else means

    Loop._gradients, kept = spoiled, Loop._gradients
    try:
        with pytest.raises(UserError, match=rf"loss nan, gradient norm \S+ at step {step}$"):
            loop.train(tmp_path)
    finally:
        Loop._gradients = kept
    assert loop.step == (step if every == 1 else 10), "the next checkpoint is at step 10"
    assert max(int(p.name[4:13]) for p in tmp_path.glob("step*.pt")) == 6
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 6

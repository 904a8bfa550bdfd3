"""Measurements of a checkpoint on a grid: under the rotations of a cube, and under all."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.contracts import Evaluation, Model
from twirlscope.errors import UserError
from twirlscope.geometry import so3
from twirlscope.geometry.action import twist
from twirlscope.report.trainings import PRIMARY, Training
from twirlscope.settings.base import Settings
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import checkpoint
from twirlscope.twirling.checks.model_and_task import CHECKED

VOXELS = {"name": "voxel_denoising", "size": 8, "resolution": 1.0}
SETTINGS = TwirlSettings(panel=2, resamples=100, rotations=3)
INDEX = np.arange(8)


class Smeared(Model):
    """A stencil that is symmetric under the rotations of a cube, but not round: an error of degree 4."""

    class Settings(Settings):
        """No settings."""

    task = "voxel_denoising"

    def __init__(self, settings=None, constants=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.2))

    def forward(self, inputs):
        grid = inputs["grid"]
        around = sum(grid.roll(s, a) for a in (1, 2, 3) for s in (1, -1))
        return {"density": grid.square().sign() * (self.weight * around + 0.4 * grid)}


def measured(action="octahedral"):
    task = plugins.make_task(VOXELS | {"action": action}, toys.molecules())
    model = Smeared().eval()
    evaluation = Evaluation(model, task, "cpu", chunk=64)
    design = checkpoint.design_of(task, INDEX, SETTINGS, INDEX)
    with torch.no_grad():
        one = checkpoint.measure_checkpoint(evaluation, Smeared().double().eval(), design, SETTINGS)
        return checkpoint.checkpoints_dataset(evaluation, [0], design, [one], SETTINGS)


class BySize(Smeared):
    """A stencil that is larger in large batches."""

    def forward(self, inputs):
        factor = 1.0 + (len(inputs["grid"]) > 2 * CHECKED)
        return {"density": factor * super().forward(inputs)["density"]}


def test_checks__are_in_a_batch_as_large_as_those_of_the_measurement():
    task = plugins.make_task(VOXELS, toys.molecules())
    evaluation = Evaluation(BySize().eval(), task, "cpu", chunk=64)
    design = checkpoint.design_of(task, INDEX, SETTINGS, INDEX)
    with pytest.raises(UserError, match="a sample in a batch of another size"):
        checkpoint.measure_checkpoint(evaluation, BySize().double().eval(), design, SETTINGS)
    unseen = replace(design, full_batch=False)
    assert checkpoint.measure_checkpoint(evaluation, BySize().double().eval(), unseen, SETTINGS)


def test_losses__under_all_rotations_are_those_of_the_action_on_atoms():
    found, direct = measured(), measured("atoms")
    names = [str(n) for n in found.data_vars if n.startswith("so3_")]
    assert {"so3_percent_equiv_low", "so3_sample_loss_mean", "so3_loss_equiv_floor"} <= set(names)
    for name in names:
        np.testing.assert_allclose(found[name], direct[name.removeprefix("so3_")], rtol=1e-12)
    assert not [n for n in direct.data_vars if n.startswith("so3_")]


def test_losses__under_the_rotations_of_a_cube_are_a_lower_bound():
    """A stencil along the axes has no error under the rotations of a cube, and some under all."""
    found = measured().sel(term="weighted")
    assert float(found["percent_equiv"][0]) < 1e-6
    error, floor = float(found["so3_loss_equiv"][0]), float(found["so3_loss_equiv_floor"][0])
    assert error > 10 * floor > 0
    data = measured().assign_attrs(group="octahedral")
    told = Training("a", 0, None, data).last(PRIMARY)
    assert float(told["percent_equiv"]) == float(found["so3_percent_equiv"][0])
    assert float(Training("a", 0, None, data).last("density")["percent_equiv"]) < float(told["percent_equiv"])


def test_design__has_no_second_task_where_all_rotations_act():
    frames = toys.force_field()
    assert checkpoint.design_of(frames, INDEX, SETTINGS, INDEX).whole is None
    assert plugins.make_task(VOXELS | {"action": "trilinear"}, toys.molecules()).under_all_rotations() is None


@pytest.mark.parametrize(("action", "exact"), [("octahedral", True), ("atoms", False)])
def test_interpolation__is_what_turning_there_and_back_does_to_the_targets(action, exact):
    task = plugins.make_task(VOXELS | {"action": action}, toys.molecules())
    design = checkpoint.design_of(task, INDEX, SETTINGS, INDEX)
    assert (design.interpolation < 1e-20).all() == exact
    batch, rotation = task.batch(INDEX).to("cpu", torch.float64), so3.matrix(design.held.quaternion[:, 0])
    there = task.rotate(batch, rotation).targets["density"]
    back = twist(task.terms[0].irreps, rotation, there) - batch.targets["density"]
    plain = (back.square().mean(-1) * batch.weights["density"]).flatten(1).sum(1).mean()
    assert design.interpolation[0] == pytest.approx(float(plain), rel=1e-9, abs=1e-25)

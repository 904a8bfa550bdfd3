"""Created error against the Lie derivative by another road, patching at a small angle, and a network that is known."""

import numpy as np
import pytest
import torch
import toys

from twirlscope.contracts import Evaluation
from twirlscope.models.vector_attention import VectorAttention
from twirlscope.settings.layers import LayersSettings
from twirlscope.tasks.force_field import ForceField
from twirlscope.twirling import lie_derivative
from twirlscope.twirling.layers import created_error, derivatives, design, generators, stability

MODULES = ["first", "blocks.0", "blocks.1"]


@pytest.fixture(scope="module")
def measured():
    """Evaluation, samples, orientations and generators of a random network."""
    torch.manual_seed(0)
    settings = VectorAttention.Settings(width=8, layers=2, heads=2, radial=4)
    task = ForceField(ForceField.Settings(), toys.frames(24))
    model = VectorAttention(settings, task.constants).double().eval()
    evaluation = Evaluation(model, task, dtype=torch.float64)
    chosen = design.design_of(task, np.arange(24), LayersSettings(samples=24, rotations=3, panel=0))
    fit, _ = derivatives.feature_factors(evaluation, chosen, MODULES)
    fitted = {name: generators.fitted(f, 1e-8) for name, f in fit.items()}
    return evaluation, chosen.index, chosen.quaternion[:, 0], MODULES, fitted


def test_shares__sum_to_the_lie_error_by_another_road(measured):
    evaluation, index, quaternion, *_ = measured
    found = created_error.created_by_derivative(*measured)
    np.testing.assert_allclose(found.product.sum(0), found.whole, rtol=1e-12, atol=1e-15)
    other = lie_derivative.lie_error(evaluation, index, quaternion[:, None], method="difference").values
    np.testing.assert_allclose(found.whole[:2], [other["forces"], other["energy"]], rtol=1e-5, atol=1e-9)
    other = lie_derivative.lie_error(evaluation, index, quaternion[:, None], method="forward").values
    for place, name in enumerate(("forces", "energy", "weighted")):
        np.testing.assert_allclose(found.whole[place], other[name], rtol=1e-10)


def test_shares__by_patching_at_a_small_angle_are_those_of_derivatives(measured):
    """Over three axes, differences over the angle become the derivatives."""
    angle = 1e-5
    parts = [
        created_error.created_by_patching(*measured, angle * torch.eye(3, dtype=torch.float64)[[a]]) for a in (0, 1, 2)
    ]
    exact = created_error.created_by_derivative(*measured)
    for name in ("product", "square", "whole"):
        summed = sum(getattr(p, name) for p in parts) / angle**2
        scale = np.abs(getattr(exact, name)).max()
        np.testing.assert_allclose(summed, getattr(exact, name), atol=2e-4 * scale)


def test_created__is_none_where_a_layer_is_not_reached_by_rotations(measured):
    evaluation, index, quaternion, modules, fitted = measured
    model = evaluation.model
    kept = model.first.direction.weight.clone()
    with torch.no_grad():
        model.first.direction.weight.zero_()  # the first features are scalars then
        zero = {
            n: generators.Generators(g.mean, 0 * g.offset, 0 * g.matrix, g.directions, g.scale)
            for n, g in fitted.items()
        }
        found = created_error.created_by_derivative(evaluation, index, quaternion, modules[:1], zero)
        model.first.direction.weight.copy_(kept)
    assert (found.square[0] < 1e-20).all()
    np.testing.assert_allclose(found.product[1], found.whole, rtol=1e-10)


def test_displacements__are_as_long_as_the_three_rotations_together(measured):
    evaluation, index, quaternion, *_ = measured
    for _, batch, rotation in design.rotated_batches(evaluation, index, quaternion):
        noise = stability.random_displacement(evaluation.task, batch, rotation, torch.Generator().manual_seed(0))
        square = 2 * batch.inputs["positions"].square().sum((1, 2))  # SUM_a |X_a r|^2 = 2 |r|^2
        torch.testing.assert_close(noise["positions"].square().sum((1, 2)), square)
        assert (batch.inputs["numbers"] > 0).all()  # no padding

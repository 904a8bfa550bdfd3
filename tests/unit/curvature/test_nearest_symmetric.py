"""Distance to the nearest symmetric parameters, which for a matrix are tr / 3 times the unit matrix."""

import math

import numpy as np
import pytest
import torch
import toys
from toy_model import Mlp

from twirlscope.contracts import Model
from twirlscope.curvature import nearest_symmetric
from twirlscope.curvature.objective import Objective
from twirlscope.estimators import trajectories
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.settings.base import Settings
from twirlscope.tasks.force_field import ForceField


class Linear(Model):
    """Forces are a matrix times the position.

    The equivariance error is proportional to the squared distance of the matrix from the nearest multiple of the unit
    matrix.
    """

    class Settings(Settings):
        """No settings."""

    task = "force_field"

    def __init__(self, matrix):
        super().__init__()
        self.matrix = torch.nn.Parameter(matrix)

    def forward(self, inputs):
        forces = inputs["positions"] @ self.matrix.T
        return {"forces": forces, "energy": torch.zeros_like(forces[:, 0, :1])}


def objective(model):
    task = ForceField(ForceField.Settings(energy_weight=0.0), toys.frames())
    batch = task.batch(np.arange(6))
    return Objective(model.double(), task, batch, sample_rotations("T", 6, 12, seed=0))  # exact for a matrix


def matrix(seed):
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def off(given):
    return float((given - given.trace() / 3 * torch.eye(3, dtype=given.dtype)).norm())


@pytest.mark.parametrize("share", [0.5, 0.1, 1e-4])
def test_descend__of_a_matrix_has_the_distance_of_the_closed_form(share):
    given = matrix(0)
    found = nearest_symmetric.descend(objective(Linear(given.clone())), share, 60)
    assert found.distance == pytest.approx(off(given) * (1 - math.sqrt(share)), rel=1e-6)
    assert found.share_left <= share


def test_descend__leaves_the_model_unchanged_and_returns_its_initial_error():
    model = Linear(matrix(1))
    made = objective(model)
    found = nearest_symmetric.descend(made, 0.1, 60)
    assert found.loss_equiv == pytest.approx(made.values()["equiv"], rel=1e-12)
    assert torch.equal(model.matrix, matrix(1))


def test_descend__that_is_cut_short_has_no_distance():
    torch.manual_seed(0)
    found = nearest_symmetric.descend(objective(Mlp(Mlp.Settings(), {})), 1e-6, 3)
    assert math.isnan(found.distance)
    assert 1e-6 < found.share_left < 1


class Mixed(Linear):
    """The matrix is a mixture of 20 fixed ones, so most directions of the coefficients are flat."""

    def __init__(self, coefficients, parts):
        super().__init__(coefficients)
        self.parts = parts

    def forward(self, inputs):
        forces = inputs["positions"] @ torch.einsum("n,nij->ji", self.matrix, self.parts)
        return {"forces": forces, "energy": torch.zeros_like(forces[:, 0, :1])}


def test_descend__ends_at_the_nearest_of_all_parameters_without_error():
    """The pseudoinverse gives them, for an error whose curvatures differ by orders of magnitude."""
    generator = torch.Generator().manual_seed(5)
    parts = torch.randn(20, 3, 3, generator=generator, dtype=torch.float64) * torch.logspace(-1, 0, 20)[:, None, None]
    coefficients = torch.randn(20, generator=generator, dtype=torch.float64)
    trace = torch.einsum("nii->n", parts)[:, None, None] / 3
    away = (parts - trace * torch.eye(3, dtype=torch.float64)).flatten(1).T
    exact = float((torch.linalg.pinv(away) @ away @ coefficients).norm())
    found = nearest_symmetric.descend(objective(Mixed(coefficients, parts)), 1e-10, 200)
    assert found.distance == pytest.approx(exact, rel=1e-3)
    assert exact < 0.9 * float(coefficients.norm())


def test_descend__of_an_equivariant_model_has_no_distance():
    found = nearest_symmetric.descend(objective(toys.Well(0.5)), 0.1, 5)
    assert found.loss_equiv < 1e-25
    assert math.isnan(found.distance)


def test_descents__from_matrices_at_many_distances_fit_the_quadratic_relation():
    away = matrix(3)
    descents = [
        nearest_symmetric.descend(objective(Linear(torch.eye(3, dtype=torch.float64) + s * away)), 0.1, 60)
        for s in np.geomspace(0.01, 1, 7)
    ]
    slope, low, high = trajectories.power_law(
        *(np.array([getattr(d, n) for d in descents]) for n in ("distance", "loss_equiv"))
    )
    assert slope == pytest.approx(2, abs=1e-6)
    assert low - 1e-6 <= 2 <= high + 1e-6


def test_descend__of_a_network_ends_with_less_error_than_it_began_with():
    torch.manual_seed(0)
    made = objective(Mlp(Mlp.Settings(), {}))
    found = nearest_symmetric.descend(made, 0.5, 60)
    assert found.share_left <= 0.5
    assert 0 < found.distance < float(made.parameters.detach().norm())

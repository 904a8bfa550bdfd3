"""Rotations against e3nn's Wigner matrices and scipy."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from twirlscope.geometry import action, so3
from twirlscope.twirling.checks import model_and_task as checks


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def largest_average(quaternion, degree):
    """Largest entry of the average Wigner matrix of that degree: 0 for Haar."""
    matrices = so3.matrix(quaternion)
    return action.representation(f"{degree}e", matrices).mean(0).abs().max().item()


def test_matrix__agrees_with_scipy():
    quaternion = so3.haar(50, generator=generator())
    expected = Rotation.from_quat(quaternion.numpy(), scalar_first=True).as_matrix()
    np.testing.assert_allclose(so3.matrix(quaternion).numpy(), expected, atol=1e-14)


def test_product__is_the_product_of_the_matrices():
    a, b = so3.haar(2, 20, generator=generator(1))
    torch.testing.assert_close(so3.matrix(so3.product(a, b)), so3.matrix(a) @ so3.matrix(b))


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_haar__averages_every_wigner_matrix_to_zero(degree):
    n = 100_000
    assert largest_average(so3.haar(n, generator=generator()), degree) < 6 / n**0.5


def test_euler_product__is_not_haar_at_degree_two():
    assert 0.15 < largest_average(so3.euler_product(100_000, generator=generator()), 2) < 0.25


def test_angle__is_that_of_scipy_and_keeps_its_digits_at_both_ends():
    quaternion = so3.haar(50, generator=generator())
    expected = Rotation.from_quat(quaternion.numpy(), scalar_first=True).magnitude()
    np.testing.assert_allclose(so3.angle(quaternion).numpy(), expected, atol=1e-14)
    small = torch.tensor([1e-12, 1e-3, np.pi - 1e-9, np.pi], dtype=torch.float64)
    torch.testing.assert_close(so3.angle(-so3.axis_rotation(1, small)), small, rtol=1e-15, atol=0)


@pytest.mark.parametrize(("axis", "name"), list(enumerate("xyz")))
def test_axis_rotation__turns_about_one_axis(axis, name):
    angles = np.linspace(-3, 3, 7)
    expected = Rotation.from_euler(name, angles[:, None]).as_matrix()
    np.testing.assert_allclose(so3.matrix(so3.axis_rotation(axis, torch.from_numpy(angles))), expected, atol=1e-15)


def test_matrix__with_parity_is_followed_by_inversion():
    quaternion = so3.haar(6, generator=generator())
    R, parity = so3.matrix(quaternion), torch.tensor([1, -1, -1, 1, 1, -1])
    assert torch.equal(so3.matrix(quaternion, -1), -R)
    mixed = so3.matrix(quaternion, parity)
    torch.testing.assert_close(torch.linalg.det(mixed), parity.double(), rtol=1e-14, atol=0)
    assert torch.equal(mixed[1], -R[1])
    checks.check_rotations(mixed)


@pytest.mark.parametrize("angle", [0.01, 1.0, 3.0])
def test_haar_within__has_the_angles_of_uniform_rotations_up_to_the_limit(angle):
    found = so3.angle(so3.haar_within(angle, 4000, generator=generator()))
    assert found.max() <= angle * (1 + 1e-9)
    share = (found - found.sin()) / (angle - np.sin(angle))  # uniform on 0 to 1
    assert stats.kstest(share.numpy(), "uniform").pvalue > 0.01


def test_haar_within__of_a_half_turn_is_uniform():
    assert largest_average(so3.haar_within(np.pi, 20_000, generator=generator()), 1) < 0.02


def test_about__and_generator_agree_with_scipy_and_the_matrix_exponential():
    axis = torch.randn(9, 3, dtype=torch.float64, generator=generator())
    unit = axis / axis.norm(dim=-1, keepdim=True)
    expected = Rotation.from_rotvec(0.7 * unit.numpy()).as_matrix()
    np.testing.assert_allclose(so3.matrix(so3.about(axis, 0.7)).numpy(), expected, atol=1e-14)
    np.testing.assert_allclose(torch.linalg.matrix_exp(0.7 * so3.generator(axis)).numpy(), expected, atol=1e-14)

"""Rotations against e3nn's Wigner matrices and scipy."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from twirlscope import action, so3


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


@pytest.mark.parametrize(("name", "size", "degree"), [("D2", 4, 1), ("T", 12, 2), ("O", 24, 3), ("I", 60, 5)])
def test_group__is_exact_to_its_degree_and_no_further(name, size, degree):
    quaternion = so3.group(name)
    assert len(quaternion) == size
    assert all(largest_average(quaternion, lower) < 1e-12 for lower in range(1, degree + 1))
    assert largest_average(quaternion, degree + 1) > 0.01


@pytest.mark.parametrize("name", ["D2", "T", "O", "I"])
def test_group__is_closed(name):
    matrices = so3.matrix(so3.group(name))
    products = (matrices[:, None] @ matrices[None]).reshape(-1, 9)
    nearest = (products[:, None] - matrices.reshape(1, -1, 9)).abs().amax(-1).amin(1)
    assert nearest.max() < 1e-12

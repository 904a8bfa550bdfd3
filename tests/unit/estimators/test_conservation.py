"""Conserved quantities of motions that are known exactly."""

import numpy as np
import pytest

from twirlscope.estimators import conservation


def test_conserved__of_free_flight_are_constant():
    random = np.random.default_rng(0)
    masses, start, v = random.uniform(1, 16, 5), random.normal(size=(5, 3)), random.normal(size=(5, 3))
    time = np.linspace(0, 3, 7)
    x = start + time[:, None, None] * v
    found = conservation.conserved(masses, x, np.broadcast_to(v, x.shape), np.full(7, 2.0))
    np.testing.assert_allclose(found.energy, (masses @ (v**2).sum(1) / 2 + 2) / 5, rtol=1e-13)
    np.testing.assert_allclose(found.momentum, np.broadcast_to(masses @ v / 5, (7, 3)), atol=1e-13)
    np.testing.assert_allclose(found.angular, np.broadcast_to(found.angular[0], (7, 3)), atol=1e-12)


def test_angular_momentum__of_a_rigid_rotation_is_inertia_times_angular_velocity_wherever_it_is():
    random = np.random.default_rng(1)
    masses, x, spin = random.uniform(1, 16, 6), random.normal(size=(6, 3)) + 9, np.array([0.1, -0.4, 0.2])
    arm = x - masses @ x / masses.sum()
    inertia = np.einsum("a,ab->", masses, arm**2) * np.eye(3) - (masses[:, None] * arm).T @ arm
    v = np.cross(spin, arm) + np.array([3.0, 0, 1])  # a drift of the whole adds nothing
    found = conservation.conserved(masses, x[None], v[None], np.zeros(1))
    np.testing.assert_allclose(found.angular[0] * 6, inertia @ spin, atol=1e-12)


def test_slope__of_a_line_with_noise_is_that_of_numpy():
    random = np.random.default_rng(2)
    time, values = np.sort(random.uniform(size=20)), random.normal(size=(20, 2, 3))
    expected = np.polyfit(time, values.reshape(20, -1), 1)[0].reshape(2, 3)
    np.testing.assert_allclose(conservation.slope(time, values), expected, rtol=1e-10)
    with pytest.raises(ValueError, match="at least 2"):
        conservation.slope(time[:1], values[:1])


def test_distance_from_start__is_a_norm_for_vectors_and_a_size_for_scalars():
    np.testing.assert_array_equal(conservation.distance_from_start(np.array([1.0, -1, 2])), [0, 2, 1])
    np.testing.assert_allclose(conservation.distance_from_start(np.array([[1.0, 1], [4, 5]])), [0, 5])

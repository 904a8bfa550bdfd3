"""Generators fitted to features of known representations, in any basis."""

import numpy as np
import pytest
import torch

from twirlscope.geometry import action, so3
from twirlscope.twirling.layers import generators
from twirlscope.twirling.lie_derivative import GENERATORS


def degree_2():
    """Generators on irreps of degree 2, from matrices of small rotations; accurate to 1e-9."""
    step = 1e-4
    ends = [action.representation("2e", torch.linalg.matrix_exp(t * GENERATORS)) for t in (step, -step)]
    return ((ends[0] - ends[1]) / (2 * step)).numpy()


def factors(matrices, noise=0.0, mix=None, offset=0.0, rows=400, seed=0):
    """Triangular factors of two halves of random features h, with derivatives A h, in a mixed basis."""
    random = np.random.default_rng(seed)
    size = matrices.shape[-1]
    mix = np.eye(size) if mix is None else mix
    found = []
    for _ in range(2):
        h = random.normal(size=(rows, size))
        moved = np.einsum("aij,nj->ani", matrices, h) + noise * random.normal(size=(3, rows, size))
        found.append(generators.added_rows(None, h @ mix.T + offset, moved @ mix.T))
    return found


def block_diagonal(*blocks):
    size = sum(b.shape[-1] for b in blocks)
    out, start = np.zeros((3, size, size)), 0
    for b in blocks:
        end = start + b.shape[-1]
        out[:, start:end, start:end] = b
        start = end
    return out


VECTOR = GENERATORS.numpy()


def test_fit__finds_scalars_and_vectors_exactly_in_any_basis_and_with_an_offset():
    random = np.random.default_rng(1)
    matrices = block_diagonal(np.zeros((3, 4, 4)), VECTOR, VECTOR)
    fit, other = factors(matrices, mix=random.normal(size=(10, 10)), offset=random.normal(size=10))
    found = generators.steerability(generators.fitted(fit, 1e-10), other, 2, 0.1)
    np.testing.assert_allclose(found.casimir, [0] * 4 + [2] * 6, atol=1e-9)
    assert found.defect < 1e-13
    assert found.commutator < 1e-13
    np.testing.assert_array_equal(found.count, [4, 6, 0])
    assert found.share.sum() == pytest.approx(1, abs=1e-12)


def test_fit__finds_degree_2_and_its_commutators():
    fit, other = factors(block_diagonal(degree_2(), VECTOR))
    found = generators.steerability(generators.fitted(fit, 1e-10), other, 3, 0.1)
    np.testing.assert_allclose(found.casimir, [2] * 3 + [6] * 5, atol=1e-6)
    np.testing.assert_array_equal(found.count, [0, 3, 5, 0])
    assert found.commutator < 1e-12


def test_fit__leaves_out_directions_without_variance():
    matrices = block_diagonal(np.zeros((3, 2, 2)), VECTOR)
    fit, other = factors(matrices, mix=np.random.default_rng(2).normal(size=(8, 5)))
    found = generators.fitted(fit, 1e-10)
    assert len(found.scale) == 5
    assert generators.steerability(found, other, 1, 0.1).defect < 1e-13


def test_steerability__of_noise_is_none():
    """Derivatives that no matrix explains: random ones, of the size of those of vectors."""
    fit, other = factors(np.zeros((3, 6, 6)), noise=1.0)
    found = generators.steerability(generators.fitted(fit, 1e-10), other, 2, 0.1)
    assert found.count.sum() == 0
    assert found.defect > 2.9
    assert found.commutator > 0.5


def test_steerability__counts_what_the_generators_leave_unexplained():
    sigma = 0.2
    fit, other = factors(VECTOR, noise=sigma, rows=20000)
    found = generators.steerability(generators.fitted(fit, 1e-10), other, 1, 0.2)
    assert found.defect == pytest.approx(3 * sigma**2, rel=0.03)
    assert found.rate == pytest.approx(2 + 3 * sigma**2, rel=0.03)


def test_commutator__is_nan_for_features_that_do_not_rotate():
    fit, other = factors(np.zeros((3, 4, 4)))
    found = generators.steerability(generators.fitted(fit, 1e-10), other, 1, 0.1)
    assert np.isnan(found.commutator)
    np.testing.assert_array_equal(found.count, [4, 0])


def test_added_rows__in_pieces_have_the_moments_of_all_rows():
    random = np.random.default_rng(3)
    h, moved = random.normal(size=(50, 3)), random.normal(size=(3, 50, 3))
    pieces = generators.added_rows(generators.added_rows(None, h[:20], moved[:, :20]), h[20:], moved[:, 20:])
    rows = np.concatenate([np.ones((50, 1)), h, *moved], 1)
    np.testing.assert_allclose(pieces.T @ pieces, rows.T @ rows, atol=1e-12)


def test_generators__exponentiate_to_the_rotation():
    quaternion = so3.haar(1, generator=torch.Generator().manual_seed(0))
    angle = so3.angle(quaternion)
    axis = quaternion[:, 1:] / quaternion[:, 1:].norm() * quaternion[:, :1].sign()
    matrix = torch.linalg.matrix_exp(torch.tensordot((angle[:, None] * axis)[0], GENERATORS, 1))
    torch.testing.assert_close(matrix, so3.matrix(quaternion)[0])

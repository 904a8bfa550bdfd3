"""Stress as irreps, against conjugation, e3nn's harmonics and the Frobenius norm."""

import torch
from e3nn.o3 import spherical_harmonics

from twirlscope import losses
from twirlscope.geometry import action, so3, stress


def symmetric(count, seed=0):
    made = torch.randn(count, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return made + made.mT


def test_components__and_back_are_the_matrix():
    made = symmetric(5)
    torch.testing.assert_close(stress.matrix(stress.components(made)), made, atol=1e-14, rtol=0)


def test_components__are_the_trace_then_the_harmonics_of_degree_2():
    direction = torch.nn.functional.normalize(torch.randn(7, 3, dtype=torch.float64), dim=-1)
    found = stress.components(direction[:, :, None] * direction[:, None])
    torch.testing.assert_close(found[:, 0], torch.full((7,), 3**-0.5, dtype=torch.float64))
    harmonics = spherical_harmonics(2, direction, True, "norm").double() * (2 / 3) ** 0.5
    torch.testing.assert_close(found[:, 1:], harmonics, atol=1e-6, rtol=0)


def test_components__turn_as_the_irreps_that_they_are_said_to_be():
    made, R = symmetric(6), so3.matrix(so3.haar(6, generator=torch.Generator().manual_seed(1)))
    turned = stress.components(R @ made @ R.mT)
    torch.testing.assert_close(action.rotate(stress.IRREPS, R, stress.components(made)), turned, atol=1e-12, rtol=0)


def test_losses__of_components_are_the_frobenius_norm_and_its_square_over_6():
    a, b = symmetric(4), symmetric(4, 1)
    frobenius = torch.linalg.matrix_norm(a - b)
    pair, weights = (stress.components(a), stress.components(b)), torch.ones(4).double()
    torch.testing.assert_close(losses.l2(*pair, weights), frobenius)
    torch.testing.assert_close(losses.mse(*pair, weights), frobenius**2 / 6)


def test_volume__is_the_determinant_without_its_sign_and_has_a_derivative_at_zero():
    cell = torch.randn(5, 3, 3, dtype=torch.float64)
    cell[3], cell[4, 2] = 0, 0
    cell.requires_grad_()
    torch.testing.assert_close(stress.volume(cell), torch.linalg.det(cell.detach()).abs())
    (gradient,) = torch.autograd.grad(stress.volume(cell).sum(), cell)
    assert gradient.isfinite().all()

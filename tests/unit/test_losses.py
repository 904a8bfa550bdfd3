"""Losses a sample."""

import pytest
import torch

from twirlscope.errors import UserError
from twirlscope.losses import inner, l2, loss_of, mse


def example():
    torch.manual_seed(0)
    z, y = torch.randn(2, 3, 4, 3, dtype=torch.float64)
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.float64)
    return z, y, real / real.sum(1, keepdim=True), real.bool()


def test_mse__is_the_mean_over_the_components_of_real_atoms():
    z, y, weights, real = example()
    expected = torch.stack([((z - y)[s][real[s]] ** 2).mean() for s in range(3)])
    torch.testing.assert_close(mse(z, y, weights), expected)


def test_l2__is_the_mean_length_over_real_atoms():
    z, y, weights, real = example()
    expected = torch.stack([(z - y)[s][real[s]].norm(dim=-1).mean() for s in range(3)])
    torch.testing.assert_close(l2(z, y, weights), expected)


def test_l2__has_a_finite_gradient_where_prediction_equals_target():
    z = torch.zeros(1, 2, 3, requires_grad=True)
    l2(z, torch.zeros(1, 2, 3), torch.full((1, 2), 0.5)).sum().backward()
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_inner__is_bilinear_and_gives_the_mse():
    z, y, weights, _ = example()
    square = inner(z, z, weights) - 2 * inner(z, y, weights) + inner(y, y, weights)
    torch.testing.assert_close(square, mse(z, y, weights))


def test_loss_of__names_the_nearest_loss():
    with pytest.raises(UserError, match="did you mean 'mse'"):
        loss_of("mes")

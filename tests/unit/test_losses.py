"""Losses of single samples against closed forms, invariance and derivatives."""

import numpy as np
import pytest
import torch
import toys

from twirlscope.errors import UserError
from twirlscope.losses import LOSSES, balanced, has_target, huber, inner, l1, l2, loss_of, loss_terms, mse


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


def test_l1__is_the_mean_absolute_error_of_the_components_of_real_atoms():
    z, y, weights, real = example()
    expected = torch.stack([(z - y)[s][real[s]].abs().mean() for s in range(3)])
    torch.testing.assert_close(l1(z, y, weights), expected)


def test_huber__of_scalars_is_that_of_torch():
    z, y, weights, real = example()
    z, y = 2 * z[..., :1], y[..., :1]
    for delta in (0.1, 1.0, 3.0):
        each = [torch.nn.functional.huber_loss(z[s][real[s]], y[s][real[s]], delta=delta) for s in range(3)]
        torch.testing.assert_close(huber(z, y, weights, delta), torch.stack(each))


def test_huber__lies_between_the_squared_error_and_the_length():
    z, y, weights, _ = example()
    torch.testing.assert_close(huber(z, y, weights, 1e3), 1.5 * mse(z, y, weights))
    torch.testing.assert_close(huber(z, y, weights, 1e-6) / 1e-6, l2(z, y, weights), rtol=1e-5, atol=1e-5)


def test_huber__has_the_gradient_of_its_definition_also_at_zero():
    z = torch.tensor([[[0.0, 0.0], [0.3, 0.4], [3.0, 4.0]]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)
    huber(z, torch.zeros_like(z), weights).sum().backward()
    expected = torch.tensor([[[0.0, 0.0], [0.09, 0.12], [0.3, 0.4]]], dtype=torch.float64)
    torch.testing.assert_close(z.grad, expected)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses__are_convex_in_the_prediction_and_zero_at_the_target(name):
    z, y, weights, _ = example()
    other = torch.flip(z, [0, 1]) - 0.3
    middle = LOSSES[name]((z + 3 * other) / 4, y, weights)
    ends = (LOSSES[name](z, y, weights) + 3 * LOSSES[name](other, y, weights)) / 4
    assert (middle <= ends * (1 + 1e-12)).all()
    torch.testing.assert_close(LOSSES[name](y, y, weights), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize(("name", "same"), [("mse", True), ("l2", True), ("huber", True), ("l1", False)])
def test_losses__of_vectors_are_invariant_except_l1(name, same):
    z, y, weights, _ = example()
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turned = LOSSES[name](z @ turn, y @ turn, weights)
    assert torch.allclose(turned, LOSSES[name](z, y, weights)) is same


def test_inner__is_bilinear_and_gives_the_mse():
    z, y, weights, _ = example()
    square = inner(z, z, weights) - 2 * inner(z, y, weights) + inner(y, y, weights)
    torch.testing.assert_close(square, mse(z, y, weights))


def test_loss_of__names_the_nearest_loss():
    with pytest.raises(UserError, match="did you mean 'mse'"):
        loss_of("mes")


def test_balanced__makes_the_loss_of_a_term_the_mean_over_samples_with_a_target():
    task, known = toys.partly_labelled(8)
    batch, model = task.batch(np.arange(8)), toys.Well(0.3)
    found = loss_terms(task, model(batch.inputs), balanced(batch))
    some = task.batch(known)
    torch.testing.assert_close(found["forces"], loss_terms(task, model(some.inputs), some)["forces"])
    assert found["energy"] == loss_terms(task, model(batch.inputs), batch)["energy"]
    np.testing.assert_array_equal(np.flatnonzero(has_target(batch)["forces"]), known)


def test_balanced__leaves_weights_alone_where_no_sample_or_every_sample_has_a_target():
    task, known = toys.partly_labelled(8)
    for index in (known, np.array([1, 2, 3])):
        batch = task.batch(index)
        assert torch.equal(balanced(batch).weights["forces"], batch.weights["forces"])

"""GradNorm on losses whose gradients are known."""

import pytest
import torch

from twirlscope.objectives.common.gradnorm import GradNorm


def of(losses, norms, **changes):
    settings = {"weights": (1.0, 1.0), "rate": 0.025, "exponent": 1.5, "floor": 1e-3} | changes
    made = GradNorm(**settings).double()
    made.first.copy_(torch.tensor(losses, dtype=torch.float64) / torch.tensor([0.5, 0.9], dtype=torch.float64))
    return made, torch.tensor(losses, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)


def test_gradient__of_the_weights_is_that_of_the_published_loss():
    made, losses, norms = of([0.5, 1.0], [3.0, 2.0])
    weights = made.values.clone().requires_grad_()
    ratio = losses / made.first
    target = ((weights * norms).mean() * (ratio / ratio.mean()) ** 1.5).detach()
    (expected,) = torch.autograd.grad((weights * norms - target).abs().sum(), weights)
    torch.testing.assert_close(made.gradient(losses, norms), expected, atol=1e-12, rtol=0)


def test_weights__reach_those_of_equal_gradients_where_both_losses_train_alike():
    made, losses, norms = of([1.0, 1.0], [3.0, 1.0], exponent=0.0, rate=1e-3)
    for _ in range(2000):
        made.update(losses, norms)
    assert made.values.tolist() == pytest.approx([0.5, 1.5], abs=0.01)  # w_1 3 = w_2 1, of sum 2


def test_weights__stay_above_the_floor_and_keep_their_sum():
    made, losses, norms = of([1.0, 1.0], [1e4, 1.0])
    made.update(losses, norms)
    assert made.values.sum().item() == pytest.approx(2)
    assert made.values.min() > 0


def test_first_losses__are_those_of_the_first_update():
    made = GradNorm((1.0, 1.0), 0.025, 1.5, 1e-3)
    made.update(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 1.0]))
    made.update(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.0]))
    assert made.first.tolist() == [2.0, 4.0]

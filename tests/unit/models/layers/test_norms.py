import pytest
import torch
from torch import nn

from twirlscope.models.layers import norms

SHAPES = [((6,), {}), ((3, 6), {}), (6, {"bias": False}), (6, {"elementwise_affine": False, "eps": 0.1})]


def pair(shape, keys):
    torch.manual_seed(0)
    known, ours = nn.LayerNorm(shape, **keys).double(), norms.LayerNorm(shape, **keys).double()
    for parameter in known.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict(known.state_dict())
    return known, ours


@pytest.mark.parametrize(("shape", "keys"), SHAPES)
def test_layer_norm__has_the_values_gradients_and_state_dict_of_torch(shape, keys):
    known, ours = pair(shape, keys)
    x = torch.randn(4, 3, 6, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(ours(x), known(x), rtol=0, atol=1e-14)
    assert list(ours.state_dict()) == list(known.state_dict())
    at = [x, *known.parameters()], [x, *ours.parameters()]
    found = [torch.autograd.grad(m(x).sin().sum(), p) for m, p in zip((known, ours), at, strict=True)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-13)


def test_layer_norm__has_a_right_third_derivative():
    _, ours = pair(6, {})
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: torch.autograd.grad(ours(x).sin().sum(), x, create_graph=True)[0], x)


def test_layer_norm__is_defined_where_all_numbers_are_equal():
    x = torch.ones(2, 6, requires_grad=True)
    (slope,) = torch.autograd.grad(norms.LayerNorm(6)(x).square().sum(), x)
    assert slope.isfinite().all()

"""Features of modules: chosen by patterns, named, seen and replaced."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from twirlscope.errors import UserError
from twirlscope.twirling.layers import features


class State(NamedTuple):
    atom: torch.Tensor
    pair: torch.Tensor


class Named(nn.Module):
    def forward(self, x):
        return State(2 * x, 3 * x)


class Plain(nn.Module):
    def forward(self, state):
        return state[0] + state[1], torch.ones(2, dtype=torch.int64)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks, self.head = nn.ModuleList([Named(), Plain()]), nn.Identity()

    def forward(self, x):
        return self.head(self.blocks[1](self.blocks[0](x))[0])


def test_modules__are_chosen_by_patterns_in_their_order():
    assert features.matching_modules(Net(), ["head", "blocks.*"]) == ["head", "blocks.0", "blocks.1"]
    with pytest.raises(UserError, match=r"layers\.modules: expected modules of Net, got 'body\.\*'"):
        features.matching_modules(Net(), ["body.*"])


def test_features__are_named_by_field_or_place_and_can_be_replaced():
    x, seen = torch.ones(2, 3), {}
    with features.feature_hooks(Net(), [], lambda *_: None):
        pass
    net = Net()
    with features.feature_hooks(net, ["blocks.0", "blocks.1", "head"], lambda n, t: seen.update({n: t})):
        out = net(x)
    assert list(seen) == ["blocks.0.atom", "blocks.0.pair", "blocks.1.0", "head"]
    torch.testing.assert_close(out, 5 * x)
    with features.feature_hooks(net, ["blocks.0"], lambda n, t: 0 * t if n.endswith("pair") else None):
        torch.testing.assert_close(net(x), 2 * x)
    torch.testing.assert_close(net(x), 5 * x)  # hooks are gone

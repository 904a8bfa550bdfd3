"""Modules that objectives look into, by their paths."""

import pytest
import torch

from twirlscope.errors import UserError
from twirlscope.objectives.common.gradnorm import shared_parameters
from twirlscope.objectives.common.modules import module_at


class Blocks(torch.nn.Module):
    def __init__(self, count):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(count))
        self.last = torch.nn.Linear(2, 2)


def test_module__is_the_named_one_or_the_last_block():
    model = Blocks(3)
    assert module_at(model, "blocks.1", "x") is model.blocks[1]
    assert module_at(model, "", "x") is model.blocks[2]
    assert module_at(Blocks(0), "", "x") is None
    assert shared_parameters(Blocks(0), "")[0].shape == (2, 2)


def test_module__that_is_not_there_is_named_with_its_neighbour():
    with pytest.raises(UserError, match=r"train.objective.layer: .*got 'block.1'.*did you mean 'blocks.1'"):
        shared_parameters(Blocks(2), "block.1")

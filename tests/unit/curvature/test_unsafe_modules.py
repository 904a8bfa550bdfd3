"""Unreliable operations are found in the modules in which they run."""

import torch
from torch import nn

from twirlscope import LayerNorm
from twirlscope.curvature.unsafe_modules import unsafe_modules


def test_unsafe_modules__names_modules_with_their_operations_and_no_others():
    scripted = torch.jit.script(nn.Linear(6, 4))
    inner = nn.Sequential(nn.GroupNorm(2, 6), nn.ReLU(), nn.SiLU(inplace=True), LayerNorm(6))
    model = nn.Sequential(nn.Linear(3, 6), inner, scripted)
    assert unsafe_modules(_Reads(model), {"x": torch.randn(5, 3)}) == [
        "body.2 (RecursiveScriptModule: compiled)",
        "body.1.0 (GroupNorm: group_norm)",
        "body.1.1 (ReLU: relu)",
        "body.1.2 (SiLU: silu_ in place)",
    ]


class _Reads(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, inputs):
        return self.body(inputs["x"])


def test_unsafe_modules__names_a_module_that_torch_compile_made():
    model = _Reads(nn.Sequential(torch.compile(nn.Linear(3, 3), backend="eager")))
    assert unsafe_modules(model, {"x": torch.randn(5, 3)})[0] == "body.0 (OptimizedModule: compiled)"

"""Dense layers as most transformers have them, with derivatives that are right to third order."""

from __future__ import annotations

import torch
from torch import nn

from .hints import Float, Tensor


class RMSNorm(nn.Module):
    """x over its root mean square, times learned factors. By hand, as native norms have wrong third derivatives."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """The normed features."""
        return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * self.weight


class Dense(nn.Sequential):
    """Linear, GELU, dropout."""

    def __init__(self, inputs: int, out: int, dropout: float = 0.0):
        super().__init__(linear(inputs, out), nn.GELU(), nn.Dropout(dropout))


class FeedForward(nn.Sequential):
    """Linear, GELU, dropout, linear."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__(*Dense(width, hidden, dropout), linear(hidden, width))


def linear(inputs: int, out: int) -> nn.Linear:
    """A linear layer with uniform Xavier weights and a bias of 0."""
    layer = nn.Linear(inputs, out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer

"""Norms and dense layers whose derivatives of every order are right, for models with conservative forces.

The Hessian of a loss on such forces is a third derivative of the energy. That of torch's own layer norm is wrong.
"""

from __future__ import annotations

import torch

from ..._typing import Float, Sequence, Tensor


class LayerNorm(torch.nn.LayerNorm):
    """`torch.nn.LayerNorm` from elementary operations: the same arguments, parameters, state dict and values.

    The fused kernel of `torch.nn.functional.layer_norm` has right first and second derivatives, but wrong third ones in
    every mode of differentiation. A conservative force field with it trains well and has a wrong Hessian. This layer
    takes more time and memory.
    """

    def forward(self, input: Tensor) -> Tensor:
        """x minus its mean, over its standard deviation, along the last axes, those of `normalized_shape`."""
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.layer_norm` from elementary operations: the same arguments and values."""
    axes = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(axes, keepdim=True)
    normed = centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    scaled = normed if weight is None else normed * weight
    return scaled if bias is None else scaled + bias


def rms_norm(x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
    """x over its root mean square, without learned factors."""
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


class RMSNorm(torch.nn.Module):
    """x over its root mean square, times learned factors."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """Normed features."""
        return rms_norm(x) * self.weight


class Dense(torch.nn.Sequential):
    """Linear, GELU, dropout."""

    def __init__(self, inputs: int, out: int, dropout: float = 0.0):
        super().__init__(linear(inputs, out), torch.nn.GELU(), torch.nn.Dropout(dropout))


class FeedForward(torch.nn.Sequential):
    """Linear, GELU, dropout, linear."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__(*Dense(width, hidden, dropout), linear(hidden, width))


def linear(inputs: int, out: int) -> torch.nn.Linear:
    """Linear layer with uniform Xavier weights and a bias of 0."""
    layer = torch.nn.Linear(inputs, out)
    torch.nn.init.xavier_uniform_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer

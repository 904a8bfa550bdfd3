"""Layers whose derivatives of every order are right, for models whose forces are minus the gradient of an energy.

The Hessian of a loss on such forces is a third derivative, and torch's own layer norm has a wrong one.
"""

from __future__ import annotations

import torch

from .hints import Sequence, Tensor


class LayerNorm(torch.nn.LayerNorm):
    """`torch.nn.LayerNorm` from elementary operations: the same arguments, parameters, state dict and values.

    The fused kernel of `torch.nn.functional.layer_norm` has right first and second derivatives but wrong third ones in
    every way of differentiating it, so that a conservative force field with it trains well and has a wrong Hessian.
    This one takes more time and memory.
    """

    def forward(self, input: Tensor) -> Tensor:
        """x less its mean, over its standard deviation, on the last axes of `normalized_shape`."""
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

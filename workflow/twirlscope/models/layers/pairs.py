"""Layers of a transformer whose attention is biased by pair features: norms, gates and updates of the pairs."""

from __future__ import annotations

import torch
from torch import nn

from ..._typing import Float, Int, Tensor
from .norms import LayerNorm, layer_norm

MAX_TRIANGLE_WIDTH = 196  # hidden features of a triangle update


class PairUpdate(nn.Module):
    """Update of pair features from their residues, from all triangles they are part of, and by a dense layer."""

    def __init__(self, width: int, pair: int):
        super().__init__()
        self.norm, self.outer = LayerNorm(width), nn.Linear(width, 2 * pair, bias=False)
        self.outgoing, self.incoming = (TriangleUpdate(pair, min(pair, MAX_TRIANGLE_WIDTH)) for _ in range(2))
        self.update_norm = LayerNorm(pair)
        self.update = nn.Sequential(nn.Linear(pair, 2 * pair), nn.SiLU(), nn.Linear(2 * pair, pair))

    def forward(self, token: Tensor, pair: Float[Tensor, "sample row pair"], mask: Tensor) -> Tensor:
        """Pair features after the update, one row per pair as before; `mask` is False on padding."""
        pair_mask = mask[:, :, None] & mask[:, None]
        pair = pair.unflatten(1, pair_mask.shape[1:])
        left, right = self.outer(self.norm(token)).chunk(2, -1)
        pair = pair + left[:, :, None] + right[:, None]
        pair = pair + self.outgoing(pair, pair_mask)
        pair = pair + self.incoming(pair.transpose(1, 2), pair_mask).transpose(1, 2)
        return (pair + self.update(self.update_norm(pair))).flatten(1, 2)


class TriangleUpdate(nn.Module):
    """Update of each pair (i, j) from the pairs (i, k) and (j, k) of all k.

    Source: Jumper et al., Nature 596, 583 (2021).
    """

    def __init__(self, pair: int, hidden: int):
        super().__init__()
        self.norm, self.sides, self.gates = LayerNorm(pair), nn.Linear(pair, 2 * hidden), nn.Linear(pair, 2 * hidden)
        self.out_norm, self.out, self.out_gate = LayerNorm(hidden), nn.Linear(hidden, pair), nn.Linear(pair, pair)

    def forward(self, pair: Tensor, pair_mask: Tensor) -> Float[Tensor, "sample residue residue pair"]:
        """Update, without the residual."""
        x = self.norm(pair)
        first, second = (self.sides(x) * self.gates(x).sigmoid() * pair_mask[..., None]).chunk(2, -1)
        product = torch.einsum("bikh,bjkh->bijh", first, second)
        return self.out(self.out_norm(product)) * self.out_gate(x).sigmoid()


class Gated(nn.Module):
    """SwiGLU feed-forward layer without biases. Source: Shazeer, arXiv:2002.05202."""

    def __init__(self, width: int, factor: int):
        super().__init__()
        self.up = nn.Linear(width, 2 * factor * width, bias=False)
        self.down = nn.Linear(factor * width, width, bias=False)

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """Output of the layer, without the residual."""
        gate, value = self.up(x).chunk(2, -1)
        return self.down(nn.functional.silu(gate) * value)


class Affine(nn.Module):
    """Weight and bias for each feature."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """x scaled and shifted."""
        return x * self.weight + self.bias

    def folded(self, x: Float[Tensor, "*n width"], layer: nn.Linear) -> Float[Tensor, "*n out"]:
        """`layer(self(x))` for a layer without bias, in one pass over x, as there are many pairs."""
        return nn.functional.linear(x, layer.weight * self.weight, layer.weight @ self.bias)


class AdaptiveNorm(nn.Module):
    """Layer norm whose scale and shift depend on the time. Source: Peebles and Xie, arXiv:2212.09748."""

    def __init__(self, width: int, condition: int):
        super().__init__()
        self.scale, self.shift = nn.Linear(condition, width), nn.Linear(condition, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "sample n width"],
        condition: Float[Tensor, "sample kind condition"],
        kind: Int[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "sample n width"]:
        """x normed, scaled and shifted.

        Args:
            condition: features of the time, by kind of token.
            kind: kind of each token of x; left out if there is only one.
        """
        scale, shift = self.scale(condition).sigmoid(), self.shift(condition)
        if kind is not None:
            scale, shift = scale.index_select(1, kind), shift.index_select(1, kind)
        return layer_norm(x, x.shape[-1:]) * scale + shift


def closed_gate(condition: int, width: int) -> nn.Linear:
    """Gate that is nearly closed before training, at every time: each block starts close to the identity."""
    gate = nn.Linear(condition, width)
    nn.init.zeros_(gate.weight)
    nn.init.constant_(gate.bias, -2.0)
    return gate


def sinusoidal_embedding(x: Float[Tensor, "*n"], count: int, base: float) -> Float[Tensor, "*n count"]:
    """Sines and cosines of x, with wavelengths from 2 pi to `base` times 2 pi."""
    power = torch.arange(count // 2, device=x.device, dtype=x.dtype) / (count // 2)
    phase = x[..., None] * base**-power
    return torch.cat([phase.sin(), phase.cos()], -1)

"""Layers of a transformer whose attention is biased by pairs: norms, gates, and updates of the pairs themselves.

Norms are written out, as native layer norm has wrong third derivatives.
"""

from __future__ import annotations

import torch
from torch import nn

from ..._typing import Float, Tensor

TRIANGLE = 196  # most hidden features of a triangle update


class PairUpdate(nn.Module):
    """Pairs updated from their residues, around all triangles they are part of, and each for itself."""

    def __init__(self, width: int, pair: int):
        super().__init__()
        self.norm, self.outer = Norm(width), nn.Linear(width, 2 * pair, bias=False)
        self.outgoing, self.incoming = (Triangle(pair, min(pair, TRIANGLE)) for _ in range(2))
        self.update_norm = Norm(pair)
        self.update = nn.Sequential(nn.Linear(pair, 2 * pair), nn.SiLU(), nn.Linear(2 * pair, pair))

    def forward(self, token: Tensor, pair: Float[Tensor, "sample row pair"], mask: Tensor) -> Tensor:
        """The pairs after the update, one row a pair as before; `mask` says which residues are real."""
        both = mask[:, :, None] & mask[:, None]
        pair = pair.unflatten(1, both.shape[1:])
        left, right = self.outer(self.norm(token)).chunk(2, -1)
        pair = pair + left[:, :, None] + right[:, None]
        pair = pair + self.outgoing(pair, both)
        pair = pair + self.incoming(pair.transpose(1, 2), both).transpose(1, 2)
        return (pair + self.update(self.update_norm(pair))).flatten(1, 2)


class Triangle(nn.Module):
    """Each pair (i, j) from the pairs (i, k) and (j, k) of all k. Source: Jumper et al., Nature 596, 583 (2021)."""

    def __init__(self, pair: int, hidden: int):
        super().__init__()
        self.norm, self.sides, self.gates = Norm(pair), nn.Linear(pair, 2 * hidden), nn.Linear(pair, 2 * hidden)
        self.out_norm, self.out, self.out_gate = Norm(hidden), nn.Linear(hidden, pair), nn.Linear(pair, pair)

    def forward(self, pair: Tensor, both: Tensor) -> Float[Tensor, "sample residue residue pair"]:
        """The update, without residual."""
        x = self.norm(pair)
        first, second = (self.sides(x) * self.gates(x).sigmoid() * both[..., None]).chunk(2, -1)
        joined = torch.einsum("bikh,bjkh->bijh", first, second)
        return self.out(self.out_norm(joined)) * self.out_gate(x).sigmoid()


class Gated(nn.Module):
    """SwiGLU feed-forward layer without biases. Source: Shazeer, arXiv:2002.05202."""

    def __init__(self, width: int, factor: int):
        super().__init__()
        self.up = nn.Linear(width, 2 * factor * width, bias=False)
        self.down = nn.Linear(factor * width, width, bias=False)

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """The layer, without residual."""
        gate, value = self.up(x).chunk(2, -1)
        return self.down(nn.functional.silu(gate) * value)


class Affine(nn.Module):
    """A weight and a bias for each feature."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """x scaled and shifted."""
        return x * self.weight + self.bias

    def folded(self, x: Float[Tensor, "*n width"], layer: nn.Linear) -> Float[Tensor, "*n out"]:
        """`layer(self(x))` for a layer without bias, in one pass over x: pairs are many."""
        return nn.functional.linear(x, layer.weight * self.weight, layer.weight @ self.bias)


class Norm(Affine):
    """Layer norm with a weight and a bias."""

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """x normed, scaled and shifted."""
        return super().forward(normed(x))


class Adaptive(nn.Module):
    """Layer norm whose scale and shift come from the time. Source: Peebles and Xie, arXiv:2212.09748."""

    def __init__(self, width: int, condition: int):
        super().__init__()
        self.scale, self.shift = nn.Linear(condition, width), nn.Linear(condition, width, bias=False)

    def forward(self, x: Float[Tensor, "sample n width"], c: Tensor, kind: Tensor | None = None) -> Tensor:
        """x normed, scaled and shifted.

        Args:
            c: features of the time, `[sample, kind, condition]`.
            kind: which of them each row of x has; all have the only one if left out.
        """
        scale, shift = self.scale(c).sigmoid(), self.shift(c)
        if kind is not None:
            scale, shift = scale.index_select(1, kind), shift.index_select(1, kind)
        return normed(x) * scale + shift


def closed_gate(condition: int, width: int) -> nn.Linear:
    """A gate that is nearly closed at first, whatever the time: every block starts close to doing nothing."""
    gate = nn.Linear(condition, width)
    nn.init.zeros_(gate.weight)
    nn.init.constant_(gate.bias, -2.0)
    return gate


def normed(x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
    """x less its mean, over its standard deviation. By hand, as native norms have wrong third derivatives."""
    centred = x - x.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()


def sinusoidal_embedding(x: Float[Tensor, "*n"], count: int, base: float) -> Float[Tensor, "*n count"]:
    """Sines and cosines of x with wavelengths from 2 pi to `base` times that."""
    power = torch.arange(count // 2, device=x.device, dtype=x.dtype) / (count // 2)
    phase = x[..., None] * base**-power
    return torch.cat([phase.sin(), phase.cos()], -1)

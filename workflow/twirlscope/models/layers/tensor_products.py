"""Layers of equivariant message passing with e3nn: rounds of tensor products between points, gated, never compiled.

Scripts of e3nn break forward-mode and second derivatives, so everything here is built and run eagerly; its constants
are kept in the precision of the model.

Source: Batzner et al., Nature Communications 13, 2453 (2022), arXiv:2101.03164.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import e3nn
import torch
from e3nn import o3
from e3nn.nn import FullyConnectedNet
from torch import nn

from ..._typing import Callable, Float, Int, Tensor

SILU_GAIN = 1.6765  # over the root mean square of silu of a normal variable, so that layers keep the variance
SIGMOID_GAIN = 1.8462  # the same of the sigmoid


@contextmanager
def eager() -> Iterator[None]:
    """Modules of e3nn that are built inside are not compiled: scripts break forward-mode and second derivatives."""
    before = e3nn.get_optimization_defaults()["jit_mode"]
    e3nn.set_optimization_defaults(jit_mode="eager")
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(jit_mode=before)


@dataclass(frozen=True)
class Edges:
    """Pairs of neighbours, and what a round needs to know of them.

    receiver, sender: point that gets the message, and its neighbour.
    harmonics: of the direction from receiver to sender, degrees 0 to l_max, of mean square 1.
    features: invariant numbers, functions of the distance and the like.
    weight: factor of the message.
    """

    receiver: Int[Tensor, " pair"]
    sender: Int[Tensor, " pair"]
    harmonics: Float[Tensor, "pair harmonic"]
    features: Float[Tensor, "pair feature"]
    weight: Float[Tensor, "pair 1"]


class InteractionBlock(nn.Module):
    """One round of messages: channels mixed, tensor products with the neighbours' directions, mixed again, gated.

    Args:
        before, after: irreps of the features of a point; where they are the same the round is residual.
        harmonics: irreps of the spherical harmonics.
        sizes: features of a pair, and hidden units of the dense layers that weight the paths by them.
    """

    def __init__(self, before: o3.Irreps, after: o3.Irreps, harmonics: o3.Irreps, sizes: list[int]):
        super().__init__()
        self.gate, self.after, self.residual = Gate(after), after, before == after
        self.send = o3.Linear(before, before)
        self.product = Product(before, harmonics, after)
        self.weights = FullyConnectedNet([*sizes, self.product.weights], silu)
        self.receive = o3.Linear(self.product.irreps.simplify(), self.gate.irreps_in)
        self.own = o3.Linear(before, self.gate.irreps_in, biases=True)

    def forward(self, x: Float[Tensor, "point before"], edges: Edges) -> Float[Tensor, "point after"]:
        """The features after the round."""
        sent = self.send(x).index_select(0, edges.sender)
        message = self.product(sent, edges.harmonics, self.weights(edges.features) * edges.weight)
        summed = message.new_zeros(len(x), message.shape[1]).index_add(0, edges.receiver, message)
        update = self.gate(math.sqrt(0.5) * (self.own(x) + self.receive(summed)))  # sums that keep the variance
        return math.sqrt(0.5) * (x + update) if self.residual else update


class Product(nn.Module):
    """Products of features and harmonics, channel by channel, each path with a weight for every pair and channel.

    e3nn keeps its constants in single precision and computes products that nothing uses when it is not compiled: the
    constants are made anew in the precision of the model, and what nothing uses is left out.

    Args:
        before: irreps of the features.
        harmonics: irreps of the spherical harmonics.
        after: irreps among which the products may be.
    """

    def __init__(self, before: o3.Irreps, harmonics: o3.Irreps, after: o3.Irreps):
        super().__init__()
        paths = sorted(
            (ir, i, j)
            for i, (_, first) in enumerate(before)
            for j, (_, second) in enumerate(harmonics)
            for ir in first * second
            if ir in after
        )
        self.irreps = o3.Irreps([(before[i].mul, ir) for ir, i, _ in paths])
        instructions = [(i, j, k, "uvu", True) for k, (_, i, j) in enumerate(paths)]
        self.product = o3.TensorProduct(before, harmonics, self.irreps, instructions, shared_weights=False)
        self.weights = self.product.weight_numel
        for each in self._graphs():
            each.graph.eliminate_dead_code()
            each.recompile()

    def forward(self, x: Float[Tensor, "pair before"], harmonics: Tensor, weights: Tensor) -> Tensor:
        """The products, `[pair, path]`."""
        return self.product(x, harmonics, weights)

    def _graphs(self) -> list[torch.fx.GraphModule]:
        return [m for m in self.product.modules() if isinstance(m, torch.fx.GraphModule)]

    def _apply(self, function: Callable, recurse: bool = True) -> nn.Module:
        """To another device or precision; constants are not rounded on the way."""
        super()._apply(function, recurse)
        for graph in self._graphs():
            for name, value in list(graph.named_buffers()):
                degrees = re.fullmatch(r"_w3j_(\d+)_(\d+)_(\d+)", name)
                graph.register_buffer(name, o3.wigner_3j(*map(int, degrees.groups()), torch.float64).to(value))
        return self


class Gate(nn.Module):
    """Scalars through SiLU; higher degrees times the sigmoid of a scalar of their own.

    The gate of e3nn writes into tensors in place and knows the fused SiLU alone: without forward-mode derivatives.

    Args:
        after: irreps of the output, scalars first if there are any.
    """

    def __init__(self, after: o3.Irreps):
        super().__init__()
        self.scalars = sum(part.mul for part in after if part.ir.l == 0)
        self.higher = [(part.mul, part.ir.dim) for part in after if part.ir.l > 0]
        self.gates = sum(mul for mul, _ in self.higher)
        vectors = o3.Irreps([part for part in after if part.ir.l > 0])
        self.irreps_in = (o3.Irreps([(self.scalars + self.gates, "0e")]) + vectors).simplify()

    def forward(self, x: Float[Tensor, "*point before"]) -> Float[Tensor, "*point after"]:
        """The gated features."""
        sizes = [mul * dim for mul, dim in self.higher]
        scalars, gates, *higher = x.split([self.scalars, self.gates, *sizes], -1)
        gates = (SIGMOID_GAIN * gates.sigmoid()).split([mul for mul, _ in self.higher], -1)
        gated = [
            (part.unflatten(-1, shape) * gate[..., None]).flatten(-2)
            for part, gate, shape in zip(higher, gates, self.higher, strict=True)
        ]
        return torch.cat([SILU_GAIN * silu(scalars), *gated], -1)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x); the gradient of the fused one has no forward-mode derivative."""
    return x * x.sigmoid()

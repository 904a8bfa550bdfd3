"""Layers of equivariant message passing with e3nn: tensor products between points, gated, never compiled.

Compiled scripts of e3nn break forward-mode and second derivatives, so everything here is built and run eagerly. The
constants are kept in the precision of the model.

Source: Batzner et al., Nature Communications 13, 2453 (2022), arXiv:2101.03164.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ..._typing import Callable, Float, Int, Tensor
from ...errors import Deferred, needs

with needs("equivariant"):
    e3nn, o3, dense = Deferred("e3nn"), Deferred("e3nn.o3"), Deferred("e3nn.nn")

SILU_GAIN = 1.6765  # 1 / root mean square of silu of a normal variable, so that layers preserve the variance
SIGMOID_GAIN = 1.8462  # the same for the sigmoid


@contextmanager
def eager() -> Iterator[None]:
    """Context in which modules of e3nn are built without compilation."""
    before = e3nn.get_optimization_defaults()["jit_mode"]
    e3nn.set_optimization_defaults(jit_mode="eager")
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(jit_mode=before)


@dataclass(frozen=True)
class Edges:
    """Pairs of neighbours with the inputs of an `InteractionBlock`.

    receiver: point that receives the message.
    sender: its neighbour, which sends it.
    harmonics: spherical harmonics of the direction from receiver to sender, degrees 0 to l_max, of mean square 1.
    features: invariant features of the pair, such as functions of the distance.
    weight: factor of the message.
    """

    receiver: Int[Tensor, " pair"]
    sender: Int[Tensor, " pair"]
    harmonics: Float[Tensor, "pair harmonic"]
    features: Float[Tensor, "pair feature"]
    weight: Float[Tensor, "pair 1"]


class InteractionBlock(nn.Module):
    """Message passing: linear mix, tensor products with the directions of the neighbours, linear mix, gate.

    Args:
        before: irreps of the input features of a point.
        after: irreps of the output features; where they equal `before`, the block is residual.
        harmonics: irreps of the spherical harmonics.
        sizes: number of pair features, and hidden units of the dense layers that turn them into path weights.
    """

    def __init__(self, before: o3.Irreps, after: o3.Irreps, harmonics: o3.Irreps, sizes: list[int]):
        super().__init__()
        self.gate, self.after, self.residual = Gate(after), after, before == after
        self.send = o3.Linear(before, before)
        self.product = Product(before, harmonics, after)
        self.weights = dense.FullyConnectedNet([*sizes, self.product.weights], silu)
        self.receive = o3.Linear(self.product.irreps.simplify(), self.gate.irreps_in)
        self.own = o3.Linear(before, self.gate.irreps_in, biases=True)

    def forward(self, x: Float[Tensor, "point before"], edges: Edges) -> Float[Tensor, "point after"]:
        """Features after the block."""
        sent = self.send(x).index_select(0, edges.sender)
        message = self.product(sent, edges.harmonics, self.weights(edges.features) * edges.weight)
        summed = message.new_zeros(len(x), message.shape[1]).index_add(0, edges.receiver, message)
        update = self.gate(math.sqrt(0.5) * (self.own(x) + self.receive(summed)))  # factors that preserve the variance
        return math.sqrt(0.5) * (x + update) if self.residual else update


class Product(nn.Module):
    """Tensor products of features and harmonics per channel; each path has a weight per pair and channel.

    Without compilation, e3nn keeps its constants in single precision and computes products that are not used. Here the
    constants are computed in the precision of the model, and unused products are removed.

    Args:
        before: irreps of the features.
        harmonics: irreps of the spherical harmonics.
        after: irreps that the products may have.
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
        """Products, `[pair, path]`."""
        return self.product(x, harmonics, weights)

    def _graphs(self) -> list[torch.fx.GraphModule]:
        return [m for m in self.product.modules() if isinstance(m, torch.fx.GraphModule)]

    def _apply(self, function: Callable, recurse: bool = True) -> nn.Module:
        """Moves to another device or precision, and computes the constants anew: they are not rounded on the way."""
        super()._apply(function, recurse)
        for graph in self._graphs():
            for name, value in list(graph.named_buffers()):
                degrees = re.fullmatch(r"_w3j_(\d+)_(\d+)_(\d+)", name)
                graph.register_buffer(name, o3.wigner_3j(*map(int, degrees.groups()), torch.float64).to(value))
        return self


class Gate(nn.Module):
    """Gated nonlinearity: SiLU of scalars; each field of higher degree times the sigmoid of a scalar of its own.

    The gate of e3nn writes into tensors in place and uses the fused SiLU, which has no forward-mode derivative.

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
        """Gated features."""
        sizes = [mul * dim for mul, dim in self.higher]
        scalars, gates, *higher = x.split([self.scalars, self.gates, *sizes], -1)
        gates = (SIGMOID_GAIN * gates.sigmoid()).split([mul for mul, _ in self.higher], -1)
        gated = [
            (part.unflatten(-1, shape) * gate[..., None]).flatten(-2)
            for part, gate, shape in zip(higher, gates, self.higher, strict=True)
        ]
        return torch.cat([SILU_GAIN * silu(scalars), *gated], -1)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x); the gradient of torch's fused kernel has no forward-mode derivative."""
    return x * x.sigmoid()

"""Tensor-product message passing for molecules: equivariant by construction, under rotations and reflections.

The counterpart of `vector_attention`: what that one has to learn, this one has from the start, so its equivariance
error is rounding. Hidden features are irreps of O(3) up to degree `l_max`, of natural parity (0e, 1o, 2e, ...); atoms
send each other tensor products of their features with spherical harmonics, weighted by functions of the distance.

Source: Batzner et al., Nature Communications 13, 2453 (2022), arXiv:2101.03164; here without pseudo-tensors, and with
the same self-interaction for all elements, which enter by their embedding alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import e3nn
import torch
from e3nn import o3
from e3nn.nn import FullyConnectedNet
from torch import nn

from ..conservative import with_forces
from ..contracts import Model
from ..elements import ElementRows
from ..hints import Float, Int, Tensor
from ..neighbours import atom_mean, envelope, padded, pairs
from ..settings.base import Settings, key

SILU_GAIN = 1.6765  # over the root mean square of silu of a normal variable, so that layers keep the variance
SIGMOID_GAIN = 1.8462  # the same of the sigmoid


class TensorProductNetwork(Model):
    """Energy, an invariant number, and forces, polar vectors, of a molecule; exactly equivariant under O(3).

    The energy is the mean over atoms of one number read out of each, in the units of the loss. Direct forces are a
    vector read out of each atom; they need not sum to zero. Invariant under translations.

    Args:
        settings: sizes.
        constants: `elements`, the atomic numbers it will see, and for conservative forces the units of the loss.
    """

    class Settings(Settings):
        """Sizes. Defaults, or width 36 with `l_max` 2, match the parameters of `vector_attention` within 5 %."""

        width: int = key(54, "channels of every degree", ge=1)
        layers: int = key(3, "rounds of messages", ge=1)
        l_max: int = key(1, "highest degree of hidden features and of spherical harmonics; forces need 1", ge=1, le=6)
        radial: int = key(8, "Bessel functions that encode a distance", ge=1)
        radial_width: int = key(64, "hidden units of the dense layers that weight the paths by distance", ge=1)
        cutoff: float = key(4.0, "largest distance of a neighbour", "Å", gt=0)
        neighbours: int = key(24, "most neighbours of an atom: the nearest; outputs jump where this binds", ge=1)
        average_neighbours: float = key(
            10.0, "sums of messages are divided by its root: about the number in the data", gt=0
        )
        forces: Literal["direct", "conservative"] = key(
            "direct", "a readout of their own, or minus the gradient of the energy"
        )

    task = "force_field"

    def __init__(self, settings: TensorProductNetwork.Settings, constants: dict):
        super().__init__()
        s = self.settings = settings
        self.constants, self.rows = constants, ElementRows(constants["elements"])
        direct = s.forces == "direct"
        hidden = o3.Irreps([(s.width, (degree, (-1) ** degree)) for degree in range(s.l_max + 1)])
        scalars, seen = hidden[:1], hidden[:2] if direct else hidden[:1]
        states = [scalars, *[hidden] * (s.layers - 1), seen]  # the last round makes only what is read out
        self.embed = nn.Embedding(self.rows.count, s.width)
        with eager():
            self.harmonics = o3.SphericalHarmonics(list(range(s.l_max + 1)), False, "component")
            self.blocks = nn.ModuleList(Round(s, *pair) for pair in pairwise(states))
            self.readout = o3.Linear(seen, "1o + 0e" if direct else "0e", biases=True)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Forces `[sample, atom, 3]` (0 on padding) and energy `[sample, 1]`, in the units of the loss.

        Args:
            inputs: `numbers` [sample, atom], 0 on padding, and `positions` [sample, atom, 3] in Å.

        Raises:
            ValueError: an element that was not among `constants["elements"]`.
        """
        if self.settings.forces == "conservative":
            return with_forces(self._energy, inputs, self.constants)
        out = self._outputs(inputs)
        return {"forces": out[..., :3], "energy": atom_mean(out[..., 3:], inputs["numbers"] > 0)}

    def _energy(self, inputs: dict[str, Tensor]) -> Float[Tensor, "sample 1"]:
        """The energy where forces are its gradient."""
        return atom_mean(self._outputs(inputs), inputs["numbers"] > 0)

    def _outputs(self, inputs: dict[str, Tensor]) -> Float[Tensor, "sample atom out"]:
        """What is read out of every atom; 0 on padding."""
        numbers, positions = inputs["numbers"], inputs["positions"]
        real = numbers > 0
        atoms, receiver, sender = pairs(positions, real, self.settings.cutoff, self.settings.neighbours)
        flat = positions.flatten(0, 1).index_select(0, atoms)
        vector = flat.index_select(0, sender) - flat.index_select(0, receiver)
        length = vector.square().sum(-1, keepdim=True).sqrt()
        weight = envelope(length / self.settings.cutoff) / math.sqrt(self.settings.average_neighbours)
        edges = Edges(receiver, sender, self.harmonics(vector / length), self._bessel(length), weight)
        x = self.embed(self.rows(numbers.flatten().index_select(0, atoms)))
        for each in self.blocks:
            x = each(x, edges)
        return padded(self.readout(x), real)

    def _bessel(self, length: Float[Tensor, "pair 1"]) -> Float[Tensor, "pair radial"]:
        """Radial Bessel functions of order 0 that vanish at the cutoff, of mean square near 1 at bond lengths.

        Source: Gasteiger et al., arXiv:2003.03123.
        """
        cutoff = self.settings.cutoff
        order = torch.arange(1, self.settings.radial + 1, device=length.device, dtype=length.dtype)
        return math.sqrt(2 * cutoff) * (order * math.pi * length / cutoff).sin() / length


@dataclass(frozen=True)
class Edges:
    """Pairs of atoms within the cutoff, and what a round needs to know of them.

    receiver, sender: atom that gets the message, and its neighbour.
    harmonics: of the direction from receiver to sender, degrees 0 to l_max, of mean square 1.
    radial: functions of the distance.
    weight: factor of the message, 0 at the cutoff.
    """

    receiver: Int[Tensor, " pair"]
    sender: Int[Tensor, " pair"]
    harmonics: Float[Tensor, "pair harmonic"]
    radial: Float[Tensor, "pair radial"]
    weight: Float[Tensor, "pair 1"]


class Round(nn.Module):
    """One round of messages: channels mixed, tensor products with the neighbours' directions, mixed again, gated.

    Args:
        settings: sizes.
        before, after: irreps of the features of an atom; where they are the same the round is residual.
    """

    def __init__(self, settings: TensorProductNetwork.Settings, before: o3.Irreps, after: o3.Irreps):
        super().__init__()
        self.gate, self.residual = Gate(after), before == after
        self.send = o3.Linear(before, before)
        self.product = convolution(before, settings.l_max, after)
        sizes = [settings.radial, settings.radial_width, settings.radial_width, self.product.weight_numel]
        self.weights = FullyConnectedNet(sizes, silu)
        self.receive = o3.Linear(self.product.irreps_out.simplify(), self.gate.irreps_in)
        self.own = o3.Linear(before, self.gate.irreps_in, biases=True)

    def forward(self, x: Float[Tensor, "atom before"], edges: Edges) -> Float[Tensor, "atom after"]:
        """The features after the round."""
        sent = self.send(x).index_select(0, edges.sender)
        message = self.product(sent, edges.harmonics, self.weights(edges.radial) * edges.weight)
        summed = message.new_zeros(len(x), message.shape[1]).index_add(0, edges.receiver, message)
        update = self.gate(math.sqrt(0.5) * (self.own(x) + self.receive(summed)))  # sums that keep the variance
        return math.sqrt(0.5) * (x + update) if self.residual else update


class Gate(nn.Module):
    """Scalars through SiLU; higher degrees times the sigmoid of a scalar of their own.

    The gate of e3nn writes into tensors in place and knows the fused SiLU alone: without forward-mode derivatives.

    Args:
        after: irreps of the output, scalars first.
    """

    def __init__(self, after: o3.Irreps):
        super().__init__()
        self.scalars, self.higher = after[0].mul, [(part.mul, part.ir.dim) for part in after[1:]]
        self.gates = sum(mul for mul, _ in self.higher)
        self.irreps_in = (o3.Irreps([(self.scalars + self.gates, "0e")]) + after[1:]).simplify()

    def forward(self, x: Float[Tensor, "atom before"]) -> Float[Tensor, "atom after"]:
        """The gated features."""
        sizes = [mul * dim for mul, dim in self.higher]
        scalars, gates, *higher = x.split([self.scalars, self.gates, *sizes], -1)
        gates = (SIGMOID_GAIN * gates.sigmoid()).split([mul for mul, _ in self.higher], -1)
        gated = [
            (part.unflatten(-1, shape) * gate[..., None]).flatten(-2)
            for part, gate, shape in zip(higher, gates, self.higher, strict=True)
        ]
        return torch.cat([SILU_GAIN * silu(scalars), *gated], -1)


def convolution(before: o3.Irreps, l_max: int, after: o3.Irreps) -> o3.TensorProduct:
    """Products of features and harmonics, channel by channel, each path with a weight for every pair and channel."""
    harmonics = o3.Irreps.spherical_harmonics(l_max)
    paths = sorted(
        (ir, i, j)
        for i, (_, first) in enumerate(before)
        for j, (_, second) in enumerate(harmonics)
        for ir in first * second
        if ir in after
    )
    out = o3.Irreps([(before[i].mul, ir) for ir, i, _ in paths])
    instructions = [(i, j, k, "uvu", True) for k, (_, i, j) in enumerate(paths)]
    return o3.TensorProduct(before, harmonics, out, instructions, shared_weights=False)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x); the gradient of the fused one has no forward-mode derivative."""
    return x * x.sigmoid()


@contextmanager
def eager() -> Iterator[None]:
    """Modules of e3nn that are built inside are not compiled: scripts break forward-mode and second derivatives."""
    before = e3nn.get_optimization_defaults()["jit_mode"]
    e3nn.set_optimization_defaults(jit_mode="eager")
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(jit_mode=before)

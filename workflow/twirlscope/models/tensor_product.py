"""Tensor-product message passing for molecules: equivariant by construction, under rotations and reflections.

Counterpart of `vector_attention`, which has to learn the symmetry; here the equivariance error is rounding. Hidden
features are irreps of O(3) up to degree `l_max`, of natural parity (0e, 1o, 2e, ...). Messages are tensor products of
features with spherical harmonics, weighted by functions of the distance.

Source: Batzner et al., Nature Communications 13, 2453 (2022), arXiv:2101.03164. Unlike there, pseudo-tensors are left
out, and all elements have the same self-interaction: elements enter by their embedding alone.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from .._typing import Float, Tensor
from ..errors import Deferred, UserError, needs
from ..geometry import stress
from ..settings.base import Settings, key
from .layers.atom_model import AtomModel, by_term
from .layers.neighbours import envelope, neighbour_pairs, padded
from .layers.tensor_products import Edges, InteractionBlock, eager

with needs("equivariant"):
    o3 = Deferred("e3nn.o3")

TERM_IRREPS = {"forces": "1o", "energy": "0e", "stress": stress.IRREPS}


class TensorProductNetwork(AtomModel):
    """Energy (invariant), forces (polar vectors) and, if the task has it, stress (tensor); exact under O(3).

    Direct forces are a vector output of each atom; they need not sum to zero. Invariant under translations.

    Args:
        settings: sizes.
        constants: as in `AtomModel`.

    Raises:
        UserError: a direct stress, which is a tensor of degree 2, with `l_max` below 2.
    """

    class Settings(Settings):
        """Sizes. Defaults, or width 36 with `l_max` 2, match the parameters of `vector_attention` within 5 %."""

        width: int = key(54, "channels per degree", ge=1)
        layers: int = key(3, "interaction blocks, of one round of message passing each", ge=1)
        l_max: int = key(
            1,
            "maximum degree of hidden features and of spherical harmonics; forces need 1, direct stress 2",
            ge=1,
            le=6,
        )
        radial: int = key(8, "Bessel basis functions of the distance", ge=1)
        radial_width: int = key(64, "hidden units of the dense layers from distance to path weights", ge=1)
        cutoff: float = key(4.0, "cutoff distance of neighbours", "Å", gt=0)
        neighbours: int = key(
            24, "maximum number of neighbours per atom, nearest first; outputs jump where it is exceeded", ge=1
        )
        average_neighbours: float = key(
            10.0, "about the mean number of neighbours in the data; sums of messages are divided by its root", gt=0
        )
        forces: Literal["direct", "conservative"] = key(
            "direct", "direct: outputs of the network; conservative: minus the gradient of the energy"
        )

    equivariant = True

    def __init__(self, settings: TensorProductNetwork.Settings, constants: dict):
        super().__init__(settings, constants)
        s = settings
        self.terms = (*self.direct_terms[:1], "energy", *self.direct_terms[1:])  # order of the output columns
        if "stress" in self.terms and s.l_max < 2:
            raise UserError("model tensor_product", "l_max of 2 or more, or conservative forces, for a stress", s.l_max)
        hidden = o3.Irreps([(s.width, (degree, (-1) ** degree)) for degree in range(s.l_max + 1)])
        scalars, used = hidden[:1], hidden[: len(self.terms)]
        states = [scalars, *[hidden] * (s.layers - 1), used]  # the last block computes only what the readout uses
        self.embed = nn.Embedding(self.rows.count, s.width)
        with eager():
            self.harmonics = o3.SphericalHarmonics(list(range(s.l_max + 1)), False, "component")
            sizes = [s.radial, s.radial_width, s.radial_width]
            harmonics = self.harmonics.irreps_out
            self.blocks = nn.ModuleList(InteractionBlock(*pair, harmonics, sizes) for pair in pairwise(states))
            self.readout = o3.Linear(used, " + ".join(TERM_IRREPS[term] for term in self.terms), biases=True)

    @property
    def activations(self) -> dict[str, str]:
        """Features of the atoms after each interaction block."""
        return {f"blocks.{i}": str(block.after) for i, block in enumerate(self.blocks)}

    def outputs(self, inputs: dict[str, Tensor]) -> dict[str, Float[Tensor, "sample ..."]]:
        """Energy and direct terms, all from the last features of each atom."""
        numbers, s = inputs["numbers"], self.settings
        real = numbers > 0
        atoms, receiver, sender, vector = neighbour_pairs(inputs, s.cutoff, s.neighbours)
        length = vector.square().sum(-1, keepdim=True).sqrt()
        weight = envelope(length / s.cutoff) / math.sqrt(s.average_neighbours)
        edges = Edges(receiver, sender, self.harmonics(vector / length), self._bessel(length), weight)
        x = self.embed(self.rows(numbers.flatten().index_select(0, atoms)))
        for block in self.blocks:
            x = block(x, edges)
        return by_term(padded(self.readout(x), real), real, self.terms)

    def _bessel(self, length: Float[Tensor, "pair 1"]) -> Float[Tensor, "pair radial"]:
        """Spherical Bessel functions of order 0 that vanish at the cutoff; mean square near 1 at bond lengths.

        Source: Gasteiger et al., arXiv:2003.03123.
        """
        cutoff = self.settings.cutoff
        order = torch.arange(1, self.settings.radial + 1, device=length.device, dtype=length.dtype)
        return math.sqrt(2 * cutoff) * (order * math.pi * length / cutoff).sin() / length

"""Tensor-product message passing for molecules: equivariant by construction, under rotations and reflections.

The counterpart of `vector_attention`: what that one has to learn, this one has from the start, so its equivariance
error is rounding. Hidden features are irreps of O(3) up to degree `l_max`, of natural parity (0e, 1o, 2e, ...); atoms
send each other tensor products of their features with spherical harmonics, weighted by functions of the distance.

Source: Batzner et al., Nature Communications 13, 2453 (2022), arXiv:2101.03164; here without pseudo-tensors, and with
the same self-interaction for all elements, which enter by their embedding alone.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from e3nn import o3
from torch import nn

from .._typing import Float, Tensor
from ..errors import UserError
from ..geometry import stress
from ..settings.base import Settings, key
from .layers.atom_model import AtomModel, by_term
from .layers.neighbours import envelope, padded, pairs
from .layers.tensor_products import Edges, InteractionBlock, eager

TERM_IRREPS = {"forces": "1o", "energy": "0e", "stress": stress.IRREPS}


class TensorProductNetwork(AtomModel):
    """Energy, an invariant number, forces, polar vectors, and stress if the task has it; exact under O(3).

    The energy is the mean over atoms of one number read out of each, in the units of the loss. Direct forces are a
    vector read out of each atom; they need not sum to zero. Invariant under translations.

    Args:
        settings: sizes.
        constants: `elements`, the atomic numbers it will see, and for conservative forces the units of the loss,
            of which that of the stress asks for one.

    Raises:
        UserError: a direct stress, which is a tensor, of features without tensors.
    """

    class Settings(Settings):
        """Sizes. Defaults, or width 36 with `l_max` 2, match the parameters of `vector_attention` within 5 %."""

        width: int = key(54, "channels of every degree", ge=1)
        layers: int = key(3, "rounds of messages", ge=1)
        l_max: int = key(
            1,
            "highest degree of hidden features and of spherical harmonics; forces need 1, direct stress 2",
            ge=1,
            le=6,
        )
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

    equivariant = True

    def __init__(self, settings: TensorProductNetwork.Settings, constants: dict):
        super().__init__(settings, constants)
        s = settings
        self.terms = (*self.direct_terms[:1], "energy", *self.direct_terms[1:])  # in the order of the outputs
        if "stress" in self.terms and s.l_max < 2:
            raise UserError("model tensor_product", "l_max of 2 or more, or conservative forces, for a stress", s.l_max)
        hidden = o3.Irreps([(s.width, (degree, (-1) ** degree)) for degree in range(s.l_max + 1)])
        scalars, used = hidden[:1], hidden[: len(self.terms)]
        states = [scalars, *[hidden] * (s.layers - 1), used]  # the last block computes only what the readout uses
        self.embed = nn.Embedding(self.rows.count, s.width)
        with eager():
            self.harmonics = o3.SphericalHarmonics(list(range(s.l_max + 1)), False, "component")
            sizes = [s.radial, s.radial_width, s.radial_width]
            self.blocks = nn.ModuleList(
                InteractionBlock(*pair, self.harmonics.irreps_out, sizes) for pair in pairwise(states)
            )
            self.readout = o3.Linear(used, " + ".join(TERM_IRREPS[term] for term in self.terms), biases=True)

    @property
    def activations(self) -> dict[str, str]:
        """The features of the atoms after each round of messages."""
        return {f"blocks.{i}": str(each.after) for i, each in enumerate(self.blocks)}

    def predicted(self, inputs: dict[str, Tensor]) -> dict[str, Float[Tensor, "sample ..."]]:
        """Energy and direct terms from the outputs of the network for every atom."""
        numbers = inputs["numbers"]
        atoms, receiver, sender, vector = pairs(inputs, self.settings.cutoff, self.settings.neighbours)
        length = vector.square().sum(-1, keepdim=True).sqrt()
        weight = envelope(length / self.settings.cutoff) / math.sqrt(self.settings.average_neighbours)
        edges = Edges(receiver, sender, self.harmonics(vector / length), self._bessel(length), weight)
        x = self.embed(self.rows(numbers.flatten().index_select(0, atoms)))
        for each in self.blocks:
            x = each(x, edges)
        real = numbers > 0
        return by_term(padded(self.readout(x), real), real, self.terms)

    def _bessel(self, length: Float[Tensor, "pair 1"]) -> Float[Tensor, "pair radial"]:
        """Radial Bessel functions of order 0 that vanish at the cutoff, of mean square near 1 at bond lengths.

        Source: Gasteiger et al., arXiv:2003.03123.
        """
        cutoff = self.settings.cutoff
        order = torch.arange(1, self.settings.radial + 1, device=length.device, dtype=length.dtype)
        return math.sqrt(2 * cutoff) * (order * math.pi * length / cutoff).sin() / length

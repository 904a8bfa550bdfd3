"""Tensor-product message passing for flow matching on protein backbones: equivariant under rotations by construction.

Counterpart of `protein_transformer`, with the same inputs. Residues send messages along the chain and to their nearest
residues at the current time. Hidden features are irreps of SO(3): reflections are no symmetry of backbones, and a
network with that symmetry could not tell a right-handed helix from a left-handed one.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from .._typing import Bool, Float, Int, Tensor
from ..errors import Deferred, needs
from ..settings.base import Settings, key
from .layers.backbone_model import BackboneModel
from .layers.neighbours import atom_mean, envelope, nearest_neighbours, padded
from .layers.tensor_products import Edges, InteractionBlock, eager

with needs("equivariant"):
    o3 = Deferred("e3nn.o3")

MAX_DISTANCE = 100.0  # [nm] no two residues are that far apart


class BackboneTensorProduct(BackboneModel):
    """Velocity per residue, exactly equivariant under SO(3) and invariant under translations.

    The nearest residues are searched in every input. Messages fade to zero at the distance of the first residue that is
    left out, so that the velocity does not jump where the choice changes.

    Args:
        settings: sizes.
        constants: not used.
    """

    class Settings(Settings):
        """Sizes. The defaults match the parameters of `protein_transformer` within 5 %."""

        width: int = key(54, "channels per degree", ge=1)
        layers: int = key(3, "interaction blocks, of one round of message passing each", ge=1)
        l_max: int = key(1, "maximum degree of hidden features and of spherical harmonics", ge=1, le=6)
        neighbours: int = key(12, "nearest residues that send messages, besides those within `span`", ge=1)
        span: int = key(4, "residues at most this far apart along the chain always send messages", ge=1)
        separations: int = key(16, "separations along the chain of this many residues or more share a class", ge=1)
        radial: int = key(16, "basis functions of the distance", ge=2)
        reach: float = key(3.0, "distance at the centre of the last basis function", "nm", gt=0)
        radial_width: int = key(64, "hidden units of the dense layers from pair features to path weights", ge=1)
        time_features: int = key(48, "sines and cosines of the time", ge=2, multiple_of=2)
        index_features: int = key(32, "sines and cosines of the residue index", ge=2, multiple_of=2)

    equivariant = True

    def __init__(self, settings: BackboneTensorProduct.Settings, constants: dict):
        super().__init__(settings)
        s = settings
        hidden = o3.Irreps([(s.width, (degree, 1)) for degree in range(s.l_max + 1)])
        states = [hidden[:2], *[hidden] * (s.layers - 1), hidden[1:2]]  # the readout uses vectors alone
        self.time = nn.Linear(s.time_features, s.width)
        self.features = nn.Linear(s.index_features + 1, s.width)
        self.separation = nn.Embedding(2 * s.separations + 1, s.radial)
        sizes = [2 * s.radial + s.width, s.radial_width, s.radial_width]
        with eager():
            harmonics = o3.Irreps.spherical_harmonics(s.l_max, p=1)
            self.harmonics = o3.SphericalHarmonics(harmonics, False, "component")
            self.place = o3.Linear("1e", hidden[1:2])
            self.blocks = nn.ModuleList(InteractionBlock(*pair, harmonics, sizes) for pair in pairwise(states))
            self.readout = o3.Linear(hidden[1:2], "1e")

    @property
    def activations(self) -> dict[str, str]:
        """Features of the residues after each interaction block."""
        return {f"blocks.{i}": str(block.after) for i, block in enumerate(self.blocks)}

    def predicted_velocity(self, inputs: dict[str, Tensor]) -> Float[Tensor, "sample residue 3"]:
        """Velocity in nm, 0 on padding."""
        real = inputs["mask"] > 0
        positions, residues = inputs["positions"] * real[..., None], real.flatten().nonzero()[:, 0]
        centred = (positions - atom_mean(positions, real)[:, None]).flatten(0, 1).index_select(0, residues)
        time = self.time(self.time_embedding(inputs)).to(positions)
        edges = self._edges(centred, positions, real, time)
        features = self.features(self.residue_embedding(inputs))
        scalars = (features + time[:, None]).flatten(0, 1).index_select(0, residues)
        x = torch.cat([scalars, self.place(centred)], -1)
        for block in self.blocks:
            x = block(x, edges)
        return padded(self.readout(x.to(positions)), real)

    def _edges(
        self, x: Float[Tensor, "real 3"], positions: Float[Tensor, "sample residue 3"], real: Tensor, time: Tensor
    ) -> Edges:
        """Neighbours along the chain and in space, with their directions, distances and separations."""
        s = self.settings
        sample, receiver, sender, limit = links(positions, real, s.neighbours, s.span)
        row = real.flatten().cumsum(0).reshape(real.shape) - 1
        separation = (sender - receiver).clamp(-s.separations, s.separations) + s.separations
        receiver, sender = row[sample, receiver], row[sample, sender]
        vector = x.index_select(0, sender) - x.index_select(0, receiver)
        length = vector.square().sum(-1, keepdim=True).sqrt()
        weight = envelope((length / limit[:, None]).clamp_max(1)) / math.sqrt(s.neighbours + 2 * s.span)
        harmonics = self.harmonics(vector / length)
        features = [self._distance(length), self.separation(separation), time.index_select(0, sample)]
        return Edges(receiver, sender, harmonics, torch.cat(features, -1), weight)

    def _distance(self, length: Float[Tensor, "pair 1"]) -> Float[Tensor, "pair radial"]:
        """Gaussians of the distance, evenly spaced, of mean square near 1."""
        s = self.settings
        centre = torch.linspace(0, s.reach, s.radial, device=length.device, dtype=length.dtype)
        step = s.reach / (s.radial - 1)
        return math.sqrt(s.radial / 2) * (-(((length - centre) / step) ** 2) / 2).exp()


@torch.no_grad()
def links(
    positions: Float[Tensor, "sample residue 3"], real: Bool[Tensor, "sample residue"], nearest: int, span: int
) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"], Int[Tensor, " pair"], Float[Tensor, " pair"]]:
    """Sample, receiver and sender of every message, and the distance [nm] at which it has faded to zero.

    Residues at most `span` apart along the chain are linked at any distance. Of the others, the `nearest` residues of
    each receiver are linked, and their messages fade to zero at the distance of the next one.
    """
    index = torch.arange(real.shape[1], device=real.device)
    apart = (index[:, None] - index).abs()
    chain = ((apart > 0) & (apart <= span) & real[:, :, None] & real[:, None]).nonzero()
    neighbour, filled = nearest_neighbours(positions, real, MAX_DISTANCE, nearest + 1, span)
    vector = positions.gather(1, neighbour.flatten(1)[..., None].expand(-1, -1, 3)).unflatten(1, neighbour.shape[1:])
    distance = (vector - positions[:, :, None]).square().sum(-1).sqrt()
    limit = torch.full_like(distance[..., 0], MAX_DISTANCE)
    if neighbour.shape[2] > nearest:
        limit = torch.where(filled[..., nearest], distance[..., nearest], limit)
    sample, receiver, column = filled[..., :nearest].nonzero(as_tuple=True)
    near = torch.stack([sample, receiver, neighbour[sample, receiver, column]], 1)
    pairs, limits = torch.cat([chain, near]), limit[sample, receiver]
    return *pairs.unbind(1), torch.cat([limits.new_full((len(chain),), MAX_DISTANCE), limits])

"""Tensor-product message passing for flow matching on protein backbones: equivariant under rotations by construction.

The counterpart of `protein_transformer`, with the same inputs. Residues send messages along the chain and to the
nearest others on the path; hidden features are irreps of SO(3) alone: reflections are no symmetry of backbones, and a
network that had it could not tell a right-handed helix from a left-handed one.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from e3nn import o3
from torch import nn

from .._typing import Bool, Float, Int, Tensor
from ..contracts import Model
from ..settings.base import Settings, key
from .layers.neighbours import atom_mean, envelope, nearest, padded
from .layers.pairs import sinusoidal_embedding
from .layers.tensor_products import Edges, InteractionBlock, eager

INDEX_BASE = 2056.0  # longest wavelength of the sines that encode the place in the chain
TIME_SCALE = 2000.0  # of the time in its sines
FARTHEST = 100.0  # [nm] no residue is that far away


class BackboneTensorProduct(Model):
    """Velocity of every residue, a vector; exactly equivariant under SO(3), and invariant under translations.

    The nearest residues are sought anew in every input; messages fade to nothing at the distance of the first residue
    that is left out, so that the velocity does not jump where the choice changes.

    Args:
        settings: sizes.
        constants: none are needed.
    """

    class Settings(Settings):
        """Sizes. The defaults match the parameters of `protein_transformer` within 5 %."""

        width: int = key(54, "channels of every degree", ge=1)
        layers: int = key(3, "rounds of messages", ge=1)
        l_max: int = key(1, "highest degree of hidden features and of spherical harmonics", ge=1, le=6)
        neighbours: int = key(12, "nearest residues that send messages, without those near in the chain", ge=1)
        span: int = key(4, "places in the chain over which residues always send messages", ge=1)
        separations: int = key(16, "places in the chain from which on pairs count as equally far apart in it", ge=1)
        radial: int = key(16, "functions that encode a distance", ge=2)
        reach: float = key(3.0, "distance at which the functions that encode it end", "nm", gt=0)
        radial_width: int = key(64, "hidden units of the dense layers that weight the paths", ge=1)
        time_features: int = key(48, "sines and cosines that encode the time", ge=2, multiple_of=2)
        index_features: int = key(32, "sines and cosines that encode the place in the chain", ge=2, multiple_of=2)

    task = "flow_matching"
    equivariant = True

    def __init__(self, settings: BackboneTensorProduct.Settings, constants: dict):
        super().__init__()
        s = self.settings = settings
        hidden = o3.Irreps([(s.width, (degree, 1)) for degree in range(s.l_max + 1)])
        states = [hidden[:2], *[hidden] * (s.layers - 1), hidden[1:2]]  # the last round makes only what is read out
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
        """The features of the residues after each round of messages."""
        return {f"blocks.{i}": str(each.after) for i, each in enumerate(self.blocks)}

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Velocity `[sample, residue, 3]` in nm, 0 on padding.

        Args:
            inputs: `positions` [sample, residue, 3] in nm, `time` [sample] in 0..1, `mask` and `chain_break`
                [sample, residue].
        """
        s, real = self.settings, inputs["mask"] > 0
        positions, residues = inputs["positions"] * real[..., None], real.flatten().nonzero()[:, 0]
        centred = (positions - atom_mean(positions, real)[:, None]).flatten(0, 1).index_select(0, residues)
        time = self.time(sinusoidal_embedding(TIME_SCALE * inputs["time"], s.time_features, 1e4)).to(positions)
        edges = self._edges(centred, positions, real, time)
        index = torch.arange(real.shape[1], device=real.device, dtype=positions.dtype)
        place = sinusoidal_embedding(index, s.index_features, INDEX_BASE).expand(len(real), -1, -1)
        known = self.features(torch.cat([place, inputs["chain_break"][..., None].to(place)], -1))
        scalars = (known + time[:, None]).flatten(0, 1).index_select(0, residues)
        x = torch.cat([scalars, self.place(centred)], -1)
        for each in self.blocks:
            x = each(x, edges)
        return {"velocity": padded(self.readout(x.to(positions)), real)}

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
        """Bumps over the distance, evenly spaced, of mean square near 1."""
        s = self.settings
        centre = torch.linspace(0, s.reach, s.radial, device=length.device, dtype=length.dtype)
        step = s.reach / (s.radial - 1)
        return math.sqrt(s.radial / 2) * (-(((length - centre) / step) ** 2) / 2).exp()


@torch.no_grad()
def links(
    positions: Float[Tensor, "sample residue 3"], real: Bool[Tensor, "sample residue"], most: int, span: int
) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"], Int[Tensor, " pair"], Float[Tensor, " pair"]]:
    """Sample, receiver and sender of every message, and the distance [nm] at which it has faded to nothing.

    Residues at most `span` places apart in the chain are linked at any distance. Of the others the nearest are, those
    of each receiver up to the first one that is left out.
    """
    index = torch.arange(real.shape[1], device=real.device)
    apart = (index[:, None] - index).abs()
    chain = ((apart > 0) & (apart <= span) & real[:, :, None] & real[:, None]).nonzero()
    neighbour, filled = nearest(positions, real, FARTHEST, most + 1, span)
    vector = positions.gather(1, neighbour.flatten(1)[..., None].expand(-1, -1, 3)).unflatten(1, neighbour.shape[1:])
    distance = (vector - positions[:, :, None]).square().sum(-1).sqrt()
    limit = torch.full_like(distance[..., 0], FARTHEST)
    if neighbour.shape[2] > most:
        limit = torch.where(filled[..., most], distance[..., most], limit)
    sample, receiver, column = filled[..., :most].nonzero(as_tuple=True)
    near = torch.stack([sample, receiver, neighbour[sample, receiver, column]], 1)
    found, limits = torch.cat([chain, near]), limit[sample, receiver]
    return *found.unbind(1), torch.cat([limits.new_full((len(chain),), FARTHEST), limits])

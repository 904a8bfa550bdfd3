"""Layers of the model `escaip`: attention among the edges of an atom, on invariant features.

The layers take the settings of the model, which hold their sizes.

Source: Qu and Krishnapriyan, arXiv:2410.24169.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from ..._typing import Bool, Float, Int, Tensor
from ...settings.base import Settings
from .neighbours import neighbour_mean
from .norms import Dense, FeedForward, RMSNorm, linear


@dataclass(frozen=True)
class Graph:
    """Edges of all real atoms of a batch, the same number of entries for every atom.

    row: row of each atom in the tables of elements.
    neighbour: index of the neighbouring atom.
    filled: mask of the entries that are edges.
    direction: unit vector from the atom to its neighbour.
    cosine: of the angle between two edges of an atom.
    gaussians: of the distance, evenly spaced from 0 to the cutoff, two spacings wide.
    order: bond-orientational order parameters of an atom.
    """

    row: Int[Tensor, " atom"]
    neighbour: Int[Tensor, "atom neighbour"]
    filled: Bool[Tensor, "atom neighbour"]
    direction: Float[Tensor, "atom neighbour 3"]
    cosine: Float[Tensor, "atom neighbour neighbour_other"]
    gaussians: Float[Tensor, "atom neighbour radial"]
    order: Float[Tensor, "atom degree"]


class EdgeScalars(nn.Module):
    """Features of an edge from its length, and from the element and the order parameters of both its atoms."""

    def __init__(self, s: Settings, elements: int):
        super().__init__()
        self.distance = linear(s.radial, s.distance_width)
        self.order = nn.ModuleList(linear(s.degrees, s.order_width) for _ in range(2))
        self.element = nn.ModuleList(nn.Embedding(elements, s.element_width) for _ in range(2))
        for table in self.element:
            nn.init.uniform_(table.weight, -0.001, 0.001)
        self.mix = Dense(s.distance_width + 2 * s.order_width + 2 * s.element_width, s.width, s.dropout)

    def forward(self, graph: Graph) -> Float[Tensor, "atom neighbour width"]:
        """Features of the edges; the atom and its neighbour have tables of their own."""
        ends = [element(graph.row) for element in self.element] + [order(graph.order) for order in self.order]
        own, other = torch.cat(ends[::2], -1), torch.cat(ends[1::2], -1)
        own = own[:, None].expand(-1, graph.neighbour.shape[1], -1)
        distance = nn.functional.gelu(self.distance(graph.gaussians))
        return self.mix(torch.cat([distance, own, other[graph.neighbour]], -1))


class Input(nn.Module):
    """Initial features: edges from their scalars, atoms as means over their edges."""

    def __init__(self, s: Settings, elements: int):
        super().__init__()
        self.scalars, self.update = EdgeScalars(s, elements), Residual(s, s.width)

    def forward(self, graph: Graph) -> tuple[Float[Tensor, "atom width"], Float[Tensor, "atom neighbour width"]]:
        """Features of atoms and edges."""
        edge = self.update(self.scalars(graph))
        return neighbour_mean(edge, graph.filled), edge


class Block(nn.Module):
    """Messages along the edges, made from the features of both atoms; the edges of an atom attend to each other."""

    def __init__(self, s: Settings, elements: int):
        super().__init__()
        self.scalars = EdgeScalars(s, elements)
        self.norm = RMSNorm(s.width)
        self.pair = Dense(2 * s.width, s.width, s.dropout)
        self.message = Dense(2 * s.width, s.width)
        self.attention = Attention(s)

    def forward(self, atom: Float[Tensor, "atom width"], graph: Graph) -> Float[Tensor, "atom neighbour width"]:
        """Messages."""
        normed = self.norm(atom)
        own = normed[:, None].expand(-1, graph.neighbour.shape[1], -1)
        pair = self.pair(torch.cat([normed[graph.neighbour], own], -1))
        return self.attention(self.message(torch.cat([self.scalars(graph), pair], -1)), graph)


class Attention(nn.Module):
    """Multi-head self-attention among the edges of an atom; a bias favours edges of similar direction."""

    def __init__(self, s: Settings):
        super().__init__()
        self.heads, self.dropout = s.heads, nn.Dropout(s.attention_dropout)
        self.project, self.out = linear(s.width, 3 * s.width), linear(s.width, s.width)
        self.alignment = nn.Parameter(torch.ones(()))

    def forward(self, message: Float[Tensor, "atom neighbour width"], graph: Graph):
        """New messages `[atom, neighbour, width]`. Written out, as fused kernels have no second derivative."""
        atoms, neighbours, width = message.shape
        split = self.project(message).reshape(atoms, neighbours, 3, self.heads, width // self.heads)
        query, keys, values = split.permute(2, 0, 3, 1, 4)
        logit = query @ keys.mT / math.sqrt(width // self.heads) + (self.alignment * graph.cosine)[:, None]
        logit = logit.masked_fill(~graph.filled[:, None, None], -1e9)  # finite: an atom may have no edge at all
        mixed = self.dropout(logit.softmax(-1)) @ values
        return self.out(mixed.transpose(1, 2).reshape(atoms, neighbours, width))


class FeatureStream(nn.Module):
    """Features of atoms, or of edges, through all blocks, and their combination that the heads take."""

    def __init__(self, s: Settings):
        super().__init__()
        self.updates = nn.ModuleList(Residual(s, 2 * s.width) for _ in range(s.layers))
        self.readouts = nn.ModuleList(Residual(s, 2 * s.width) for _ in range(s.layers + 1))
        wide = (s.layers + 1) * s.width
        self.projection = nn.Sequential(RMSNorm(wide), Dense(wide, s.width), RMSNorm(s.width))

    def forward(self, messages: list[Float[Tensor, "*n width"]]) -> Float[Tensor, "*n width"]:
        """Input of the heads, where the messages that the blocks add are known: for edges."""
        states = messages[:1]
        for layer, message in enumerate(messages[1:]):
            states.append(self.update(layer, states[-1] + message))
        return self.combined(states)

    def update(self, layer: int, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """Features after a block."""
        return self.updates[layer](x)

    def combined(self, states: list[Float[Tensor, "*n width"]]) -> Float[Tensor, "*n width"]:
        """Input of the heads, from the features before and after every block."""
        return self.projection(torch.cat([r(x) for r, x in zip(self.readouts, states, strict=True)], -1))


class Residual(nn.Module):
    """Residual block: a feed-forward layer after a norm, added to its input."""

    def __init__(self, s: Settings, hidden: int):
        super().__init__()
        self.norm, self.feed = RMSNorm(s.width), FeedForward(s.width, hidden, s.dropout)

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """Updated features."""
        return x + self.feed(self.norm(x))


class Head(nn.Module):
    """Output layer of the network."""

    def __init__(self, s: Settings, out: int, gain: float = 1.0):
        super().__init__()
        self.feed, self.last = FeedForward(s.width, 2 * s.width, s.dropout), nn.Linear(s.width, out, bias=False)
        nn.init.xavier_uniform_(self.last.weight, gain)

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n out"]:
        """Outputs."""
        return self.last(x + self.feed(x))

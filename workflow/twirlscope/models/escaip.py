"""EScAIP, version 1: attention among the neighbours of an atom. A file longer because a model is one file.

Every hidden feature is a rotation-invariant number, and forces are direct. The energy is therefore exactly invariant,
and symmetry is broken in one place alone: forces multiply each component of a unit vector between two atoms by a weight
of its own,

    F_i = m_i SUM_j w_ij * d_ij     (m_i a number, w_ij three numbers, * component by component),

so the twisted forces hold degrees 0 and 2 and no other, the twirled prediction is m_i SUM_j mean(w_ij) d_ij, and half
turns about the axes x, y, z, which change signs only, are exact symmetries. A direct stress, which is no part of the
published model, is made likewise: the components of d_ij d_ij^T in irreps, each times a weight of its own.

Source: Qu and Krishnapriyan, arXiv:2410.24169; sizes of the paper's model are in `config/forcefields.yaml`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import model_validator
from torch import nn

from ..conservative import with_forces
from ..contracts import Model
from ..elements import ElementRows
from ..hints import Bool, Float, Int, Tensor
from ..layers import Dense, FeedForward, RMSNorm, linear
from ..neighbours import atom_mean, listed, neighbour_mean, order_parameters, padded
from ..settings.base import Settings, key
from ..stress import COMPONENTS, components


class Escaip(Model):
    """Atom and edge features; an edge runs from an atom to one of its nearest neighbours, and attends to the others.

    The energy is a mean over atoms, in the units of the loss. Invariant under translations, and under permutations
    but where a tie at the last neighbour is broken by order.

    Args:
        settings: sizes.
        constants: `elements`, the atomic numbers it will see, and for a stress its unit in the loss.
    """

    class Settings(Settings):
        """Sizes. The defaults have 197,186 parameters with four elements; the published ones 6,136,966."""

        width: int = key(48, "features of an atom and of an edge", ge=1)
        layers: int = key(2, "blocks of attention and update", ge=1)
        heads: int = key(4, "attention heads; divides the width", ge=1)
        neighbours: int = key(10, "most neighbours of an atom: the nearest; outputs jump where this binds", ge=1)
        cutoff: float = key(6.0, "largest distance of a neighbour", "Å", gt=0)
        radial: int = key(32, "Gaussians that encode a distance", ge=2)
        distance_width: int = key(32, "features made of the Gaussians", ge=1)
        degrees: int = key(6, "bond-orientational order parameters of an atom: degrees 0 to one below this", ge=1)
        order_width: int = key(16, "features made of the order parameters, for either end of an edge", ge=1)
        element_width: int = key(16, "features of an element, for either end of an edge", ge=1)
        element_rows: int = key(
            0, "rows of the tables of elements, for atomic numbers below it; 0 for a row an element of the data", ge=0
        )
        forces: Literal["direct", "conservative"] = key(
            "direct", "a head of their own, or minus the gradient of the energy: then both are exactly equivariant"
        )
        dropout: float = key(0.0, "dropout in dense layers", ge=0, lt=1)
        attention_dropout: float = key(0.0, "dropout of attention weights", ge=0, lt=1)

        @model_validator(mode="after")
        def _heads_divide_the_width(self):
            if self.width % self.heads:
                raise ValueError(f"heads that divide width = {self.width}")
            return self

    task = "force_field"
    optional = frozenset({"cell", "stress"})

    def __init__(self, settings: Escaip.Settings, constants: dict):
        super().__init__()
        s = self.settings = settings
        self.constants = constants
        self.rows = ElementRows(constants["elements"], s.element_rows)
        self.input = Input(s, self.rows.count)
        self.blocks = nn.ModuleList(Block(s, self.rows.count) for _ in range(s.layers))
        self.atoms, self.energy = Stream(s), Head(s, 1, 0.01)
        if s.forces == "direct":
            self.edges, self.magnitude, self.direction = Stream(s), Head(s, 1), Head(s, 3)
            self.stress = Head(s, COMPONENTS) if "stress_scale" in constants else None

    @property
    def equivariant(self) -> bool:
        """The forces of an invariant energy are equivariant."""
        return self.settings.forces == "conservative"

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Forces `[sample, atom, 3]` (0 on padding), energy `[sample, 1]`, and stress `[sample, 6]` if the task has it.

        In the units of the loss.

        Args:
            inputs: `numbers` [sample, atom], 0 on padding, `positions` [sample, atom, 3] in Å, and for periodic frames
                `cell` [sample, 3, 3] in Å.

        Raises:
            ValueError: an element that was not among `constants["elements"]`.
        """
        if self.settings.forces == "conservative":
            return with_forces(self._energy, inputs, self.constants)
        real, graph = inputs["numbers"] > 0, self.graph(inputs)
        atom, messages = self.atom_features(graph)
        edge = self.edges(messages)
        pull = self.direction(edge) * graph.direction * graph.filled[..., None]
        forces = padded(self.magnitude(atom) * pull.sum(1), real)
        out = {"forces": forces, "energy": atom_mean(padded(self.energy(atom), real), real)}
        if self.stress is not None:
            square = components(graph.direction[..., None] * graph.direction[..., None, :])
            press = self.stress(edge) * square * graph.filled[..., None]
            out["stress"] = atom_mean(padded(press.sum(1), real), real)
        return out

    def _energy(self, inputs: dict[str, Tensor]) -> Float[Tensor, "sample 1"]:
        """The energy alone, as the forces of which it is the potential need it."""
        real, (atom, _) = inputs["numbers"] > 0, self.atom_features(self.graph(inputs))
        return atom_mean(padded(self.energy(atom), real), real)

    def atom_features(self, graph: Graph) -> tuple[Float[Tensor, "atom width"], list[Tensor]]:
        """What the heads of an atom read, and the messages `[atom, neighbour, width]` of which edges are made."""
        atom, edge = self.input(graph)
        atoms, messages = [atom], [edge]
        for layer, block in enumerate(self.blocks):
            messages.append(block(atoms[-1], graph))
            atoms.append(self.atoms.update(layer, atoms[-1] + neighbour_mean(messages[-1], graph.filled)))
        return self.atoms.read(atoms), messages

    def graph(self, inputs: dict[str, Tensor]) -> Graph:
        """Edges of the real atoms of a batch and their geometry, which autocast leaves in full precision."""
        with torch.autocast(inputs["positions"].device.type, enabled=False):
            return self._graph(inputs)

    def _graph(self, inputs: dict[str, Tensor]) -> Graph:
        """The graph, in the precision that is set."""
        numbers, positions = inputs["numbers"], inputs["positions"]
        s, real = self.settings, numbers > 0
        neighbour, filled, offset = listed(inputs, s.cutoff, s.neighbours)
        place = torch.arange(len(real), device=real.device)[:, None, None]
        vector = positions[place, neighbour][real] - positions[real][:, None]
        if offset is not None:
            vector = vector + offset[real]
        filled = filled[real]
        unit = torch.tensor([1.0, 0.0, 0.0], device=vector.device, dtype=vector.dtype)
        vector = torch.where(filled[..., None], vector, unit)  # no derivative of a length of 0
        length = vector.square().sum(-1, keepdim=True).sqrt()
        direction = vector / length
        cosine = direction @ direction.mT
        last = s.radial - 1
        centre = torch.arange(s.radial, device=length.device, dtype=length.dtype)
        return Graph(
            row=self.rows(numbers[real]),
            neighbour=(real.flatten().cumsum(0).reshape(real.shape) - 1)[place, neighbour][real],
            filled=filled,
            direction=direction,
            cosine=cosine,
            gaussians=(-0.5 * ((length * (last / s.cutoff) - centre) / 2).square()).exp(),
            order=order_parameters(cosine, filled, s.degrees),
        )


@dataclass(frozen=True)
class Graph:
    """Edges of all real atoms of a batch, a fixed number of places an atom.

    row: row of each atom in the tables of elements.
    neighbour, filled: the atom at each place, and whether there is one.
    direction: unit vector from the atom to its neighbour.
    cosine: of the angle between the edges of an atom.
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
    """Features of an edge from its length, and from element and surroundings of both its ends."""

    def __init__(self, s: Escaip.Settings, elements: int):
        super().__init__()
        self.distance = linear(s.radial, s.distance_width)
        self.order = nn.ModuleList(linear(s.degrees, s.order_width) for _ in range(2))
        self.element = nn.ModuleList(nn.Embedding(elements, s.element_width) for _ in range(2))
        for table in self.element:
            nn.init.uniform_(table.weight, -0.001, 0.001)
        self.mix = Dense(s.distance_width + 2 * s.order_width + 2 * s.element_width, s.width, s.dropout)

    def forward(self, graph: Graph) -> Float[Tensor, "atom neighbour width"]:
        """The features; those of an atom come first from its own tables, then from those of neighbours."""
        ends = [element(graph.row) for element in self.element] + [order(graph.order) for order in self.order]
        own, other = torch.cat(ends[::2], -1), torch.cat(ends[1::2], -1)
        own = own[:, None].expand(-1, graph.neighbour.shape[1], -1)
        distance = nn.functional.gelu(self.distance(graph.gaussians))
        return self.mix(torch.cat([distance, own, other[graph.neighbour]], -1))


class Input(nn.Module):
    """The first features: edges from their scalars, atoms as means over their edges."""

    def __init__(self, s: Escaip.Settings, elements: int):
        super().__init__()
        self.scalars, self.update = EdgeScalars(s, elements), Residual(s, s.width)

    def forward(self, graph: Graph) -> tuple[Float[Tensor, "atom width"], Float[Tensor, "atom neighbour width"]]:
        """Features of atoms and edges."""
        edge = self.update(self.scalars(graph))
        return neighbour_mean(edge, graph.filled), edge


class Block(nn.Module):
    """Messages along the edges, from the features of both ends, which attend to each other around every atom."""

    def __init__(self, s: Escaip.Settings, elements: int):
        super().__init__()
        self.scalars = EdgeScalars(s, elements)
        self.norm = RMSNorm(s.width)
        self.pair = Dense(2 * s.width, s.width, s.dropout)
        self.message = Dense(2 * s.width, s.width)
        self.attention = Attention(s)

    def forward(self, atom: Float[Tensor, "atom width"], graph: Graph) -> Float[Tensor, "atom neighbour width"]:
        """The messages."""
        normed = self.norm(atom)
        own = normed[:, None].expand(-1, graph.neighbour.shape[1], -1)
        pair = self.pair(torch.cat([normed[graph.neighbour], own], -1))
        return self.attention(self.message(torch.cat([self.scalars(graph), pair], -1)), graph)


class Attention(nn.Module):
    """Multi-head self-attention among the edges of an atom, which attend more where they point the same way."""

    def __init__(self, s: Escaip.Settings):
        super().__init__()
        self.heads, self.dropout = s.heads, nn.Dropout(s.attention_dropout)
        self.project, self.out = linear(s.width, 3 * s.width), linear(s.width, s.width)
        self.alignment = nn.Parameter(torch.ones(()))

    def forward(self, message: Float[Tensor, "atom neighbour width"], graph: Graph):
        """The new messages `[atom, neighbour, width]`; written out, as fused kernels have no second derivative."""
        atoms, places, width = message.shape
        split = self.project(message).reshape(atoms, places, 3, self.heads, width // self.heads)
        query, keys, values = split.permute(2, 0, 3, 1, 4)
        logit = query @ keys.mT / math.sqrt(width // self.heads) + (self.alignment * graph.cosine)[:, None]
        logit = logit.masked_fill(~graph.filled[:, None, None], -1e9)  # finite: an atom alone has no edge at all
        mixed = self.dropout(logit.softmax(-1)) @ values
        return self.out(mixed.transpose(1, 2).reshape(atoms, places, width))


class Stream(nn.Module):
    """The features of atoms, or of edges, from block to block, and what the heads see of all of them."""

    def __init__(self, s: Escaip.Settings):
        super().__init__()
        self.updates = nn.ModuleList(Residual(s, 2 * s.width) for _ in range(s.layers))
        self.readouts = nn.ModuleList(Residual(s, 2 * s.width) for _ in range(s.layers + 1))
        wide = (s.layers + 1) * s.width
        self.projection = nn.Sequential(RMSNorm(wide), Dense(wide, s.width), RMSNorm(s.width))

    def forward(self, messages: list[Float[Tensor, "*n width"]]) -> Float[Tensor, "*n width"]:
        """What the heads see, where each block adds a message that is known: of edges."""
        states = messages[:1]
        for layer, message in enumerate(messages[1:]):
            states.append(self.update(layer, states[-1] + message))
        return self.read(states)

    def update(self, layer: int, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """The features after a block."""
        return self.updates[layer](x)

    def read(self, states: list[Float[Tensor, "*n width"]]) -> Float[Tensor, "*n width"]:
        """What the heads see of the features before and after every block."""
        return self.projection(torch.cat([r(x) for r, x in zip(self.readouts, states, strict=True)], -1))


class Residual(nn.Module):
    """A feed-forward layer, normed before, added to its input."""

    def __init__(self, s: Escaip.Settings, hidden: int):
        super().__init__()
        self.norm, self.feed = RMSNorm(s.width), FeedForward(s.width, hidden, s.dropout)

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n width"]:
        """The updated features."""
        return x + self.feed(self.norm(x))


class Head(nn.Module):
    """Numbers read out of features."""

    def __init__(self, s: Escaip.Settings, out: int, gain: float = 1.0):
        super().__init__()
        self.feed, self.last = FeedForward(s.width, 2 * s.width, s.dropout), nn.Linear(s.width, out, bias=False)
        nn.init.xavier_uniform_(self.last.weight, gain)

    def forward(self, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n out"]:
        """The numbers."""
        return self.last(x + self.feed(x))

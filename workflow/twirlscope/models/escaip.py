"""EScAIP, version 1: attention among the neighbours of an atom, on invariant features.

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

from typing import Literal

import torch
from pydantic import model_validator
from torch import nn

from .._typing import Float, Tensor
from ..geometry.stress import COMPONENTS, components
from ..settings.base import Settings, key
from .layers.atom_model import AtomModel
from .layers.edge_attention import Block, Graph, Head, Input, Stream
from .layers.neighbours import atom_mean, listed, neighbour_mean, order_parameters, padded


class Escaip(AtomModel):
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

    def __init__(self, settings: Escaip.Settings, constants: dict):
        super().__init__(settings, constants, settings.element_rows)
        s = settings
        self.input = Input(s, self.rows.count)
        self.blocks = nn.ModuleList(Block(s, self.rows.count) for _ in range(s.layers))
        self.atoms, self.energy = Stream(s), Head(s, 1, 0.01)
        if "forces" in self.direct_terms:
            self.edges, self.magnitude, self.direction = Stream(s), Head(s, 1), Head(s, 3)
        if "stress" in self.direct_terms:
            self.stress = Head(s, COMPONENTS)

    @property
    def equivariant(self) -> bool:
        """The forces of an invariant energy are equivariant."""
        return self.settings.forces == "conservative"

    def predicted(self, inputs: dict[str, Tensor]) -> dict[str, Float[Tensor, "sample ..."]]:
        """Energy and direct terms from the features of atoms and edges."""
        real, graph = inputs["numbers"] > 0, self.graph(inputs)
        atom, messages = self.atom_features(graph)
        outputs = {}
        if "forces" in self.direct_terms:
            edge = self.edges(messages)
            pull = self.direction(edge) * graph.direction * graph.filled[..., None]
            outputs["forces"] = padded(self.magnitude(atom) * pull.sum(1), real)
        outputs["energy"] = atom_mean(padded(self.energy(atom), real), real)
        if "stress" in self.direct_terms:
            square = components(graph.direction[..., None] * graph.direction[..., None, :])
            press = self.stress(edge) * square * graph.filled[..., None]
            outputs["stress"] = atom_mean(padded(press.sum(1), real), real)
        return outputs

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

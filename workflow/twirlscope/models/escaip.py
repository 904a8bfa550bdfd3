"""EScAIP, version 1: attention among the neighbours of an atom, on invariant features.

Every hidden feature is a rotation-invariant number, and forces are direct. So the energy is exactly invariant, and only
the output layer of the forces breaks the symmetry. It multiplies each component of a unit vector between two atoms by a
weight of its own,

    F_i = m_i SUM_j w_ij * d_ij     (m_i a number, w_ij three numbers, * component by component),

so the twisted forces hold degrees 0 and 2 and no other, and the twirled prediction is m_i SUM_j mean(w_ij) d_ij. Half
turns about the axes x, y, z change signs only and are exact symmetries. A direct stress, which the published model does
not have, is built likewise: the components of d_ij d_ij^T in irreps, each times a weight of its own.

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
from .layers.edge_attention import Block, FeatureStream, Graph, Head, Input
from .layers.neighbours import atom_mean, neighbour_list, neighbour_mean, order_parameters, padded


class Escaip(AtomModel):
    """Features of atoms and of edges to their nearest neighbours; the edges of an atom attend to each other.

    Invariant under translations. Equivariant under permutations of the atoms, except where the maximum number of
    neighbours separates atoms at the same distance.

    Args:
        settings: sizes.
        constants: as in `AtomModel`.
    """

    class Settings(Settings):
        """Sizes. The defaults have 197,186 parameters with four elements; the published ones 6,136,966."""

        width: int = key(48, "features per atom and per edge", ge=1)
        layers: int = key(2, "blocks of attention and update", ge=1)
        heads: int = key(4, "attention heads; must divide `width`", ge=1)
        neighbours: int = key(
            10, "maximum number of neighbours per atom, nearest first; outputs jump where it is exceeded", ge=1
        )
        cutoff: float = key(6.0, "cutoff distance of neighbours", "Å", gt=0)
        radial: int = key(32, "Gaussian basis functions of the distance", ge=2)
        distance_width: int = key(32, "features computed from the Gaussians", ge=1)
        degrees: int = key(6, "bond-orientational order parameters per atom, those of degrees 0 to `degrees` - 1", ge=1)
        order_width: int = key(16, "features computed from the order parameters, for each atom of an edge", ge=1)
        element_width: int = key(16, "features per element, for each atom of an edge", ge=1)
        element_rows: int = key(
            0, "rows of the element tables, indexed by atomic number; 0 for one row per element of the data", ge=0
        )
        forces: Literal["direct", "conservative"] = key(
            "direct",
            "direct: outputs of the network; conservative: minus the gradient of the energy, exactly equivariant",
        )
        dropout: float = key(0.0, "dropout rate in dense layers", ge=0, lt=1)
        attention_dropout: float = key(0.0, "dropout rate of attention weights", ge=0, lt=1)

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
        self.atoms, self.energy = FeatureStream(s), Head(s, 1, 0.01)
        if "forces" in self.direct_terms:
            self.edges, self.magnitude, self.direction = FeatureStream(s), Head(s, 1), Head(s, 3)
        if "stress" in self.direct_terms:
            self.stress = Head(s, COMPONENTS)

    @property
    def equivariant(self) -> bool:
        """True for conservative forces, as the energy is invariant."""
        return self.settings.forces == "conservative"

    def outputs(self, inputs: dict[str, Tensor]) -> dict[str, Float[Tensor, "sample ..."]]:
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
        """Input of the heads of atoms, and the messages `[atom, neighbour, width]` that edge features are made of."""
        atom, edge = self.input(graph)
        atoms, messages = [atom], [edge]
        for layer, block in enumerate(self.blocks):
            messages.append(block(atoms[-1], graph))
            atoms.append(self.atoms.update(layer, atoms[-1] + neighbour_mean(messages[-1], graph.filled)))
        return self.atoms.combined(atoms), messages

    def graph(self, inputs: dict[str, Tensor]) -> Graph:
        """Edges of the real atoms of a batch with their geometry, in full precision even under autocast."""
        with torch.autocast(inputs["positions"].device.type, enabled=False):
            return self._graph(inputs)

    def _graph(self, inputs: dict[str, Tensor]) -> Graph:
        """Graph in the current precision."""
        numbers, positions = inputs["numbers"], inputs["positions"]
        s, real = self.settings, numbers > 0
        neighbour, filled, offset = neighbour_list(inputs, s.cutoff, s.neighbours)
        sample = torch.arange(len(real), device=real.device)[:, None, None]
        vector = positions[sample, neighbour][real] - positions[real][:, None]
        if offset is not None:
            vector = vector + offset[real]
        filled = filled[real]
        unit = torch.tensor([1.0, 0.0, 0.0], device=vector.device, dtype=vector.dtype)
        vector = torch.where(filled[..., None], vector, unit)  # a length of 0 has no derivative
        length = vector.square().sum(-1, keepdim=True).sqrt()
        direction = vector / length
        cosine = direction @ direction.mT
        last = s.radial - 1
        centre = torch.arange(s.radial, device=length.device, dtype=length.dtype)
        return Graph(
            row=self.rows(numbers[real]),
            neighbour=(real.flatten().cumsum(0).reshape(real.shape) - 1)[sample, neighbour][real],
            filled=filled,
            direction=direction,
            cosine=cosine,
            gaussians=(-0.5 * ((length * (last / s.cutoff) - centre) / 2).square()).exp(),
            order=order_parameters(cosine, filled, s.degrees),
        )

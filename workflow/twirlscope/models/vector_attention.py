"""Transformer for molecules that attends to neighbours and takes raw edge vectors as input.

It is not equivariant by construction: the components of the vector between two atoms enter a dense layer like any other
feature, and forces leave a dense layer as three numbers. All its symmetry is learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from pydantic import model_validator
from torch import nn

from .._typing import Float, Int, Tensor
from ..settings.base import Settings, key
from .layers.atom_model import COLUMNS, AtomModel, by_term
from .layers.neighbours import envelope, neighbour_pairs, padded
from .layers.norms import rms_norm

SCALE = math.sqrt(3)  # factor of unit vectors, so that their components have unit variance over directions


class VectorAttention(AtomModel):
    """Tokens of atoms and of pairs (atom, neighbour): each atom attends to its pairs, then both are updated.

    Direct forces are three outputs of each atom plus the sum of three outputs of each of its pairs. A direct stress is
    the mean over atoms of six such outputs, the energy that of one. Invariant under translations, as only differences
    of positions enter, and equivariant under permutations of the atoms; not under rotations.

    Args:
        settings: sizes.
        constants: as in `AtomModel`.
    """

    class Settings(Settings):
        """Sizes. About `15 * layers * width**2` parameters: 1e4 at width 16 and 2 layers, 1e8 at width 1024 and 6."""

        width: int = key(48, "features per atom token and per pair token", ge=4)
        layers: int = key(3, "blocks of attention and update", ge=1)
        heads: int = key(4, "attention heads; must divide `width`", ge=1)
        hidden: float = key(
            1.0,
            "hidden width of the pair update as a multiple of `width`; the atom update has twice that",
            gt=0,
        )
        radial: int = key(24, "Gaussian basis functions of the distance", ge=2)
        cutoff: float = key(4.0, "cutoff distance of neighbours", "Å", gt=0)
        neighbours: int = key(
            24, "maximum number of neighbours per atom, nearest first; forces jump where it is exceeded", ge=1
        )
        forces: Literal["direct", "conservative"] = key(
            "direct", "direct: outputs of the network; conservative: minus the gradient of the energy"
        )

        @model_validator(mode="after")
        def _heads_divide_the_width(self):
            if self.width % self.heads:
                raise ValueError(f"heads that divide width = {self.width}")
            return self

    def __init__(self, settings: VectorAttention.Settings, constants: dict):
        super().__init__(settings, constants)
        s = settings
        self.embed = nn.Embedding(self.rows.count, s.width)
        self.first = PairLayer(s.radial, s.width, s.width, s.width)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        direct = sum(COLUMNS[term] for term in self.direct_terms)
        self.pair_readout = PairLayer(s.width, s.width, s.width, direct or 1)
        self.atom_readout = Gated(s.width, s.width, direct + 1)

    def outputs(self, inputs: dict[str, Tensor]) -> dict[str, Float[Tensor, "sample ..."]]:
        """Energy and direct terms; the outputs of pairs add to the direct terms, or else to the energy."""
        numbers, s = inputs["numbers"], self.settings
        real = numbers > 0
        atoms, receiver, sender, vector = neighbour_pairs(inputs, s.cutoff, s.neighbours)
        length = vector.square().sum(-1, keepdim=True).sqrt()
        edges = Edges(receiver, sender, SCALE * vector / length, envelope(length / s.cutoff))
        atom = self.embed(self.rows(numbers.flatten().index_select(0, atoms)))
        pair = self.first(self._gaussians(length), atom, edges)
        for block in self.blocks:
            atom, pair = block(atom, pair, edges)
        out = self.atom_readout(rms_norm(atom))
        push = self.pair_readout(rms_norm(pair), rms_norm(atom), edges) * edges.envelope
        columns = push.shape[-1]
        summed = out[:, :columns].to(push).index_add(0, receiver, push)
        out = torch.cat([summed, out[:, columns:]], -1)
        return by_term(padded(out, real), real, (*self.direct_terms, "energy"))

    def _gaussians(self, length: Float[Tensor, "pair 1"]) -> Float[Tensor, "pair radial"]:
        """Gaussians of the distance, evenly spaced from 0 to the cutoff, one spacing wide."""
        last = self.settings.radial - 1
        centre = torch.arange(last + 1, device=length.device, dtype=length.dtype)
        return (-0.5 * (length * (last / self.settings.cutoff) - centre).square()).exp()


@dataclass(frozen=True)
class Edges:
    """Pairs of atoms within the cutoff, sorted by receiver.

    receiver: atom that attends.
    sender: its neighbour.
    direction: unit vector from receiver to sender, times `SCALE`.
    envelope: weight of the pair, 0 at the cutoff.
    """

    receiver: Int[Tensor, " pair"]
    sender: Int[Tensor, " pair"]
    direction: Float[Tensor, "pair 3"]
    envelope: Float[Tensor, "pair 1"]


class Tokens(NamedTuple):
    """Features of atoms and of pairs."""

    atom: Float[Tensor, "atom width"]
    pair: Float[Tensor, "pair width"]


class Block(nn.Module):
    """Attention of atoms to their pairs, then a gated update of atoms and of pairs. Residual, with pre-norm."""

    def __init__(self, settings: VectorAttention.Settings):
        super().__init__()
        width, self.heads = settings.width, settings.heads
        hidden = max(1, round(settings.hidden * width))
        self.query = nn.Linear(width, width, bias=False)
        self.keys = nn.Linear(width, width, bias=False)
        self.values = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)
        self.feed = Gated(width, 2 * hidden, width)
        self.update = PairLayer(width, width, hidden, width)

    def forward(self, atom: Float[Tensor, "atom width"], pair: Float[Tensor, "pair width"], edges: Edges) -> Tokens:
        """Tokens after the block."""
        normed = rms_norm(pair)
        atom = atom + self.mix(self._attend(self.query(rms_norm(atom)), self.keys(normed), self.values(normed), edges))
        atom = atom + self.feed(rms_norm(atom))
        return Tokens(atom, pair + self.update(normed, rms_norm(atom), edges))

    def _attend(self, query, keys, values, edges: Edges) -> Float[Tensor, "atom width"]:
        """Values averaged by softmax over the pairs of an atom and a null pair of logit 0, weighted by envelopes."""
        split = (-1, self.heads, query.shape[-1] // self.heads)
        logit = (query.index_select(0, edges.receiver) * keys).reshape(split).sum(-1) / math.sqrt(split[-1])
        logit = logit.to(edges.envelope)  # autocast leaves the envelope in full precision
        index = edges.receiver[:, None].expand(-1, self.heads)
        peak = logit.new_zeros(len(query), self.heads).scatter_reduce(0, index, logit.detach(), "amax")
        weight = (logit - peak.index_select(0, edges.receiver)).exp() * edges.envelope
        total = (-peak).exp().index_add(0, edges.receiver, weight)
        weighted = (weight[..., None] * values.reshape(split)).flatten(1)
        summed = weighted.new_zeros(query.shape).index_add(0, edges.receiver, weighted)
        return (summed.reshape(split) / total[..., None]).flatten(1)


class PairLayer(nn.Module):
    """Bilinear gated layer: (pair + receiver) times (pair + sender + raw direction), each through a linear layer.

    Without a nonlinearity on the gate, products of directions have a low degree, and symmetry is learned sooner.

    Source: the bilinear variant of Shazeer, arXiv:2002.05202.
    """

    def __init__(self, inputs: int, width: int, hidden: int, out: int):
        super().__init__()
        self.gate, self.value = nn.Linear(inputs, hidden), nn.Linear(inputs, hidden)
        self.receiver = nn.Linear(width, hidden, bias=False)
        self.sender = nn.Linear(width, hidden, bias=False)
        self.direction = nn.Linear(3, hidden, bias=False)
        self.down = nn.Linear(hidden, out)

    def forward(self, pair: Float[Tensor, "pair inputs"], atom: Float[Tensor, "atom width"], edges: Edges):
        """Output of the layer, without the residual, `[pair, out]`."""
        gate = self.gate(pair) + self.receiver(atom).index_select(0, edges.receiver)
        value = self.value(pair) + self.sender(atom).index_select(0, edges.sender) + self.direction(edges.direction)
        return self.down(gate * value)


class Gated(nn.Module):
    """SwiGLU feed-forward layer. Source: Shazeer, arXiv:2002.05202."""

    def __init__(self, width: int, hidden: int, out: int):
        super().__init__()
        self.gate, self.value = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, out)

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n out"]:
        """Output of the layer, without the residual."""
        gate = self.gate(x)  # not F.silu: the gradient of the native one has no forward-mode derivative
        return self.down(gate * gate.sigmoid() * self.value(x))

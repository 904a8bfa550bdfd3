"""A transformer for flow matching on protein backbones that sees raw coordinates, biased by features of residue pairs.

Coordinates enter a dense layer and velocities leave one: nothing in between is equivariant by construction. Pairs are
told apart by their separation along the chain and, unless switched off, by their distance on the path, which does not
turn. Every sublayer is normed and gated by the time.

Source: Geffner et al., arXiv:2503.00710, for the architecture; Peebles and Xie, arXiv:2212.09748, for the norms; the
pair bias and the triangle update are those of Jumper et al., Nature 596, 583 (2021).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import nn

from .._typing import Float, Int, Tensor
from ..contracts import Model
from ..settings.base import Settings, key
from .layers.pairs import Adaptive, Affine, Gated, Norm, PairUpdate, closed_gate, normed, sinusoidal_embedding

SMALLEST = {"time_features": 48, "index_features": 32, "condition_layers": 0, "separations": 33, "distance_bins": 24}
USUAL = {"time_features": 256, "index_features": 128, "condition_layers": 2, "separations": 127, "distance_bins": 64}
LARGE = USUAL | {"condition": 512, "time_features": 1024}

SIZES: dict[str, dict[str, int]] = {
    "170k": SMALLEST | {"width": 48, "layers": 3, "heads": 4, "pair": 16, "condition": 48},
    "1.0M": USUAL | {"width": 96, "layers": 4, "heads": 4, "pair": 64, "condition": 96},
    "4.8M": USUAL | {"width": 192, "layers": 5, "heads": 6, "pair": 96, "condition": 192},
    "16.7M": USUAL | {"width": 320, "layers": 7, "heads": 8, "pair": 128, "condition": 256},
    "65M": LARGE | {"width": 512, "layers": 10, "heads": 8, "pair": 256},
    "191M": LARGE | {"width": 768, "layers": 15, "heads": 12, "pair": 512},
    "398M": LARGE | {"width": 1024, "layers": 18, "heads": 16, "pair": 512, "pair_update_every": 5},
}

REGISTERS = 10  # learned tokens before the chain that attend and are attended to
SHORTEST, LONGEST = 0.1, 3.0  # [nm] range of the bins of distances
INDEX_BASE = 2056.0  # longest wavelength of the sines that encode the place in the chain
TIME_SCALE = 2000.0  # of the time in its sines


class ProteinTransformer(Model):
    """Residues attend to each other, biased by pair features; time scales, shifts and gates every sublayer.

    With self-conditioning, half of the training samples get the clean chain that a first pass predicts; in evaluation
    it is that of the input `clean`, or none. Invariant under nothing but a common shift that keeps chains centred.

    Args:
        settings: sizes.
        constants: none are needed.
    """

    class Settings(Settings):
        """Sizes, by name or one by one."""

        size: Literal["", *SIZES] = key("", "all sizes by the number of parameters; empty takes the keys below")
        width: int = key(48, "features of a residue", ge=4)
        layers: int = key(3, "blocks of attention and update", ge=1)
        heads: int = key(4, "attention heads; divides the width", ge=1)
        pair: int = key(16, "features of a pair of residues", ge=1)
        condition: int = key(48, "features of the time that norms and gates see", ge=1)
        condition_layers: int = key(0, "layers of the time's features", ge=0)
        time_features: int = key(48, "sines and cosines that encode the time", ge=2, multiple_of=2)
        index_features: int = key(32, "sines and cosines that encode the place in the chain", ge=2, multiple_of=2)
        separations: int = key(33, "classes of the separation of a pair along the chain; odd", ge=1)
        distance_bins: int = key(24, "classes of the distance of a pair; of the clean one twice that", ge=3)
        distances: bool = key(True, "whether pairs see their distance, which is invariant")
        pair_update_every: int = key(0, "blocks between two triangle updates of the pairs; 0 for none", ge=0)
        self_conditioning: bool = key(False, "whether the clean chain that a first pass predicts is an input")

        @model_validator(mode="before")
        @classmethod
        def _named_size(cls, values: Any):
            size = values.get("size", "") if isinstance(values, dict) else ""
            wanted = SIZES.get(size, {})
            for name, value in wanted.items():
                if values.get(name, value) != value:
                    raise ValueError(f"no key `{name}` beside size {size!r}, whose {name} is {value}")
            return {**values, **wanted} if isinstance(values, dict) else values

        @model_validator(mode="after")
        def _sizes_fit(self):
            if self.width % self.heads:
                raise ValueError(f"heads that divide width = {self.width}")
            if not self.separations % 2:
                raise ValueError("an odd number of separations")
            return self

    task = "flow_matching"

    def __init__(self, settings: ProteinTransformer.Settings, constants: dict):
        super().__init__()
        s = self.settings = settings
        self.coordinates = nn.Linear(3, s.width, bias=False)
        self.features = nn.Linear(s.index_features + 1 + 3 * s.self_conditioning, s.width)
        self.registers = nn.Parameter(torch.randn(REGISTERS, s.width) / 20)
        self.condition = nn.Linear(s.time_features, s.condition)
        self.condition_layers = nn.ModuleList(Gated(s.condition, 2) for _ in range(s.condition_layers))
        self.pairs = Pairs(s)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        updates = range(0, s.layers, s.pair_update_every) if s.pair_update_every else ()
        self.pair_updates = nn.ModuleDict({str(i): PairUpdate(s.width, s.pair) for i in updates})
        self.norm = Norm(s.width)
        self.velocity = nn.Linear(s.width, 3, bias=False)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Velocity `[sample, residue, 3]` in nm, 0 on padding.

        Args:
            inputs: `positions` [sample, residue, 3] in nm, `time` [sample] in 0..1, `mask` and `chain_break`
                [sample, residue], and optionally `clean` [sample, residue, 3], a guess of the clean chain in nm; for
                training with self-conditioning `chance` [sample], uniform in 0..1, below 0.5 where one is made.
        """
        clean = inputs.get("clean", torch.zeros_like(inputs["positions"]))
        if self.training and self.settings.self_conditioning:
            with torch.no_grad():
                step = (1 - inputs["time"])[:, None, None] * self._velocity(inputs, clean)
                guessed = (inputs["chance"] < 0.5)[:, None, None]
                clean = torch.where(guessed, inputs["positions"] + step, clean)
        return {"velocity": self._velocity(inputs, clean)}

    def _velocity(self, inputs: dict[str, Tensor], clean: Tensor) -> Float[Tensor, "sample residue 3"]:
        """One pass."""
        x, mask = inputs["positions"], inputs["mask"] > 0
        c = self.condition(sinusoidal_embedding(TIME_SCALE * inputs["time"], self.settings.time_features, 1e4))
        for layer in self.condition_layers:
            c = c + layer(normed(c))
        token, (pair, place) = self._tokens(inputs, clean), self.pairs(x, clean, c)
        seen = nn.functional.pad(mask, (REGISTERS, 0), value=True)
        kind = (torch.arange(seen.shape[1], device=x.device) >= REGISTERS).long()
        c = torch.stack([torch.zeros_like(c), c], 1)  # registers know no time
        pair_normed = normed(pair)
        for i, block in enumerate(self.blocks):
            token = block(token, pair_normed, place, c, kind, seen)
            if str(i) in self.pair_updates:
                pair = self.pair_updates[str(i)](token[:, REGISTERS:], pair, mask)
                pair_normed = normed(pair)
        return self.velocity(self.norm(token[:, REGISTERS:])) * mask[..., None]

    def _tokens(self, inputs: dict[str, Tensor], clean: Tensor) -> Float[Tensor, "sample token width"]:
        """What residues are told of themselves, behind the registers."""
        x = inputs["positions"]
        place = sinusoidal_embedding(
            torch.arange(x.shape[1], device=x.device, dtype=x.dtype), self.settings.index_features, INDEX_BASE
        )
        known = [place.expand(len(x), -1, -1), inputs["chain_break"][..., None].to(x)]
        if self.settings.self_conditioning:
            known.append(clean)
        token = self.coordinates(x) + self.features(torch.cat(known, -1))
        return torch.cat([self.registers.expand(len(x), -1, -1), token], 1)


class Pairs(nn.Module):
    """Features of residue pairs: classes of their separation and of their distances, normed and scaled by the time.

    All pairs of a class have the same features, so there is one row a class and each pair has a place among the rows:
    an order of magnitude fewer than pairs. Where pairs differ in more than that, there is one row a pair.
    """

    def __init__(self, settings: ProteinTransformer.Settings):
        super().__init__()
        s = self.settings = settings
        self.separation = nn.Embedding(s.separations, s.pair)
        self.distance = nn.Embedding(s.distance_bins, s.pair) if s.distances else None
        self.clean = nn.Embedding(2 * s.distance_bins, s.pair) if s.distances and s.self_conditioning else None
        self.norm = Norm(s.pair)
        self.adapt = Adaptive(s.pair, s.condition)

    def forward(
        self, x: Float[Tensor, "sample residue 3"], clean: Float[Tensor, "sample residue 3"], c: Tensor
    ) -> tuple[Float[Tensor, "sample row pair"], Int[Tensor, "sample residue residue"]]:
        """The features, and the row of each pair; those of padding mean nothing."""
        index, most = torch.arange(x.shape[1], device=x.device), self.settings.separations // 2
        rows = self.separation.weight
        place = ((index[:, None] - index).clamp(-most, most) + most).expand(len(x), -1, -1)
        if self.distance is not None:
            rows = (rows[:, None] + self.distance.weight).flatten(0, 1)
            place = place * self.settings.distance_bins + distance_class(x, self.settings.distance_bins)
        rows = rows.expand(len(x), -1, -1)
        if self.clean is not None or self.settings.pair_update_every:
            rows = taken(rows, place).flatten(1, 2)
            place = (index[:, None] * len(index) + index).expand(len(x), -1, -1)
        if self.clean is not None:
            rows = rows + self.clean(distance_class(clean, self.clean.num_embeddings)).flatten(1, 2)
        return self.adapt(self.norm(rows), c[:, None]), place


def taken(rows: Float[Tensor, "sample row feature"], place: Int[Tensor, "sample i j"]) -> Tensor:
    """The row of each pair, `[sample, i, j, feature]`."""
    index = place.flatten(1)[..., None].expand(-1, -1, rows.shape[-1])
    return rows.gather(1, index).unflatten(1, place.shape[1:])


class Block(nn.Module):
    """Attention with pair bias, then a gated update of each token; both normed, scaled and gated by the time."""

    def __init__(self, settings: ProteinTransformer.Settings):
        super().__init__()
        s = settings
        self.adapt, self.adapt_update = Adaptive(s.width, s.condition), Adaptive(s.width, s.condition)
        self.attention = Attention(s)
        self.update = Gated(s.width, 4)
        self.gate, self.gate_update = closed_gate(s.condition, s.width), closed_gate(s.condition, s.width)

    def forward(self, token: Tensor, pair: Tensor, place: Tensor, c: Tensor, kind: Tensor, seen: Tensor) -> Tensor:
        """The tokens after the block.

        Args:
            pair, place: normed features of pairs by row, and the row of each pair.
            c, kind: features of the time by kind of token, and the kind of each token.
            seen: which tokens are attended to.
        """
        gate, gate_update = (g(c).sigmoid().index_select(1, kind) for g in (self.gate, self.gate_update))
        token = token + gate * self.attention(self.adapt(token, c, kind), pair, place, seen)
        return token + gate_update * self.update(self.adapt_update(token, c, kind))


class Attention(nn.Module):
    """Multi-head attention with a bias from the pairs and a gated output; queries and keys are normed."""

    def __init__(self, settings: ProteinTransformer.Settings):
        super().__init__()
        width, self.heads = settings.width, settings.heads
        self.norm = Norm(width)
        self.query, self.keys, self.values = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.query_norm, self.key_norm = Norm(width), Norm(width)
        self.pair_norm, self.bias = Affine(settings.pair), nn.Linear(settings.pair, self.heads, bias=False)
        self.gate = nn.Linear(width, width)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, pair: Tensor, place: Tensor, seen: Tensor) -> Float[Tensor, "sample token width"]:
        """What tokens learn from each other, without residual. Registers have no pairs, and no bias."""
        x = self.norm(x)
        q, k, v = self.query_norm(self.query(x)), self.key_norm(self.keys(x)), self.values(x)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        bias = taken(self.pair_norm.folded(pair, self.bias), place).permute(0, 3, 1, 2)
        logit = q @ k.mT / math.sqrt(q.shape[-1]) + nn.functional.pad(bias, (REGISTERS, 0, REGISTERS, 0))
        weight = logit.masked_fill(~seen[:, None, None], -math.inf).softmax(-1)
        return self.out((weight @ v).transpose(1, 2).flatten(2) * self.gate(x).sigmoid())


@torch.no_grad()
def distance_class(x: Float[Tensor, "sample residue 3"], count: int) -> Tensor:
    """Class of the distance of each pair: evenly spaced bins, the first and last of them open."""
    edges = torch.linspace(SHORTEST, LONGEST, count - 1, device=x.device, dtype=x.dtype)
    return torch.bucketize((x[:, :, None] - x[:, None]).square().sum(-1).sqrt(), edges)

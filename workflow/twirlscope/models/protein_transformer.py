"""Transformer for flow matching on protein backbones: raw coordinates as input, attention biased by residue pairs.

Coordinates enter a dense layer and velocities leave one: nothing in between is equivariant by construction. Pair
features depend on the separation along the chain and, unless switched off, on the distance at the current time, which
is invariant. The time scales, shifts and gates every sublayer.

Source: Geffner et al., arXiv:2503.00710, for the architecture; Peebles and Xie, arXiv:2212.09748, for the norms; Jumper
et al., Nature 596, 583 (2021), for the pair bias and the triangle update.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import nn

from .._typing import Bool, Float, Int, Tensor
from ..settings.base import Settings, key
from .layers.backbone_model import BackboneModel
from .layers.norms import LayerNorm, layer_norm
from .layers.pairs import AdaptiveNorm, Affine, Gated, PairUpdate, closed_gate

TINY = {"time_features": 48, "index_features": 32, "condition_layers": 0, "separations": 33, "distance_bins": 24}
COMMON = {"time_features": 256, "index_features": 128, "condition_layers": 2, "separations": 127, "distance_bins": 64}
LARGE = COMMON | {"condition": 512, "time_features": 1024}

SIZES: dict[str, dict[str, int]] = {
    "170k": TINY | {"width": 48, "layers": 3, "heads": 4, "pair": 16, "condition": 48},
    "1.0M": COMMON | {"width": 96, "layers": 4, "heads": 4, "pair": 64, "condition": 96},
    "4.8M": COMMON | {"width": 192, "layers": 5, "heads": 6, "pair": 96, "condition": 192},
    "16.7M": COMMON | {"width": 320, "layers": 7, "heads": 8, "pair": 128, "condition": 256},
    "65M": LARGE | {"width": 512, "layers": 10, "heads": 8, "pair": 256},
    "191M": LARGE | {"width": 768, "layers": 15, "heads": 12, "pair": 512},
    "398M": LARGE | {"width": 1024, "layers": 18, "heads": 16, "pair": 512, "pair_update_every": 5},
}

REGISTERS = 10  # learned tokens before the chain; they take part in attention
FIRST_EDGE, LAST_EDGE = 0.1, 3.0  # [nm] of the distance bins


class ProteinTransformer(BackboneModel):
    """Attention between residues, biased by pair features; the time scales, shifts and gates every sublayer.

    With self-conditioning, half of the training samples get the clean chain that a first pass predicts. In evaluation
    the clean chain is the input `clean`, or zeros. No symmetry is built in; chains are centred, so translations do not
    occur.

    Args:
        settings: sizes.
        constants: not used.
    """

    class Settings(Settings):
        """Sizes, by name or one by one."""

        size: Literal["", *SIZES] = key("", "number of parameters, which sets all sizes; empty uses the keys below")
        width: int = key(48, "features per residue", ge=4)
        layers: int = key(3, "blocks of attention and update", ge=1)
        heads: int = key(4, "attention heads; must divide `width`", ge=1)
        pair: int = key(16, "features per pair of residues", ge=1)
        condition: int = key(48, "features of the time, for norms and gates", ge=1)
        condition_layers: int = key(0, "dense layers applied to the features of the time", ge=0)
        time_features: int = key(48, "sines and cosines of the time", ge=2, multiple_of=2)
        index_features: int = key(32, "sines and cosines of the residue index", ge=2, multiple_of=2)
        separations: int = key(33, "classes of the separation of a pair along the chain, signed; odd", ge=1)
        distance_bins: int = key(24, "classes of the distance of a pair; twice that in the predicted clean chain", ge=3)
        distances: bool = key(True, "whether pair features depend on the distance, which is invariant")
        pair_update_every: int = key(0, "number of blocks per triangle update of the pairs; 0 for no updates", ge=0)
        self_conditioning: bool = key(False, "whether the clean chain predicted by a first pass is an input")

        @model_validator(mode="before")
        @classmethod
        def _named_size(cls, values: Any):
            size = values.get("size", "") if isinstance(values, dict) else ""
            sizes = SIZES.get(size, {})
            for name, value in sizes.items():
                if values.get(name, value) != value:
                    raise ValueError(f"no key `{name}` beside size {size!r}, whose {name} is {value}")
            return {**values, **sizes} if isinstance(values, dict) else values

        @model_validator(mode="after")
        def _sizes_fit(self):
            if self.width % self.heads:
                raise ValueError(f"heads that divide width = {self.width}")
            if not self.separations % 2:
                raise ValueError("an odd number of separations")
            return self

    def __init__(self, settings: ProteinTransformer.Settings, constants: dict):
        super().__init__(settings)
        s = settings
        self.coordinates = nn.Linear(3, s.width, bias=False)
        self.features = nn.Linear(s.index_features + 1 + 3 * s.self_conditioning, s.width)
        self.registers = nn.Parameter(torch.randn(REGISTERS, s.width) / 20)
        self.condition = nn.Linear(s.time_features, s.condition)
        self.condition_layers = nn.ModuleList(Gated(s.condition, 2) for _ in range(s.condition_layers))
        self.pairs = Pairs(s)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        updates = range(0, s.layers, s.pair_update_every) if s.pair_update_every else ()
        self.pair_updates = nn.ModuleDict({str(i): PairUpdate(s.width, s.pair) for i in updates})
        self.norm = LayerNorm(s.width)
        self.velocity = nn.Linear(s.width, 3, bias=False)

    def predicted_velocity(self, inputs: dict[str, Tensor]) -> Float[Tensor, "sample residue 3"]:
        """Velocity in nm, 0 on padding; in training with self-conditioning, from two passes for half of the samples."""
        clean = inputs.get("clean", torch.zeros_like(inputs["positions"]))
        if self.training and self.settings.self_conditioning:
            with torch.no_grad():
                step = (1 - inputs["time"])[:, None, None] * self._velocity(inputs, clean)
                guessed = (inputs["chance"] < 0.5)[:, None, None]
                clean = torch.where(guessed, inputs["positions"] + step, clean)
        return self._velocity(inputs, clean)

    def _velocity(self, inputs: dict[str, Tensor], clean: Tensor) -> Float[Tensor, "sample residue 3"]:
        """Velocity from one pass of the network, given a guess of the clean chain."""
        x, mask = inputs["positions"], inputs["mask"] > 0
        condition = self.condition(self.time_embedding(inputs))
        for layer in self.condition_layers:
            condition = condition + layer(layer_norm(condition, condition.shape[-1:]))
        token, (pair, row) = self._tokens(inputs, clean), self.pairs(x, clean, condition)
        kind = (torch.arange(token.shape[1], device=x.device) >= REGISTERS).long()
        condition = torch.stack([torch.zeros_like(condition), condition], 1)  # registers do not depend on the time
        pair_normed, bias_row = layer_norm(pair, pair.shape[-1:]), rows_of_biases(row, pair.shape[1], mask)
        for i, block in enumerate(self.blocks):
            token = block(token, pair_normed, bias_row, condition, kind)
            if str(i) in self.pair_updates:
                pair = self.pair_updates[str(i)](token[:, REGISTERS:], pair, mask)
                pair_normed = layer_norm(pair, pair.shape[-1:])
        return self.velocity(self.norm(token[:, REGISTERS:])) * mask[..., None]

    def _tokens(self, inputs: dict[str, Tensor], clean: Tensor) -> Float[Tensor, "sample token width"]:
        """Registers, then one token per residue."""
        x, features = inputs["positions"], self.residue_embedding(inputs)
        if self.settings.self_conditioning:
            features = torch.cat([features, clean], -1)
        token = self.coordinates(x) + self.features(features)
        return torch.cat([self.registers.expand(len(x), -1, -1), token], 1)


class Pairs(nn.Module):
    """Features of residue pairs: classes of their separation and of their distances, normed and scaled by the time.

    All pairs of a class have the same features. So there is one row per class, an order of magnitude fewer than pairs,
    and each pair has the index of its row. If pairs of a class differ, there is one row per pair.
    """

    def __init__(self, settings: ProteinTransformer.Settings):
        super().__init__()
        s = self.settings = settings
        self.separation = nn.Embedding(s.separations, s.pair)
        self.distance = nn.Embedding(s.distance_bins, s.pair) if s.distances else None
        self.clean = nn.Embedding(2 * s.distance_bins, s.pair) if s.distances and s.self_conditioning else None
        self.norm = LayerNorm(s.pair)
        self.adapt = AdaptiveNorm(s.pair, s.condition)

    def forward(
        self, x: Float[Tensor, "sample residue 3"], clean: Float[Tensor, "sample residue 3"], condition: Tensor
    ) -> tuple[Float[Tensor, "sample row pair"], Int[Tensor, "sample residue residue"]]:
        """Features by row, and the row of each pair; rows of pairs with padding have no meaning."""
        index, most = torch.arange(x.shape[1], device=x.device), self.settings.separations // 2
        rows = self.separation.weight
        row = ((index[:, None] - index).clamp(-most, most) + most).expand(len(x), -1, -1)
        if self.distance is not None:
            rows = (rows[:, None] + self.distance.weight).flatten(0, 1)
            row = row * self.settings.distance_bins + distance_class(x, self.settings.distance_bins)
        rows = rows.expand(len(x), -1, -1)
        if self.clean is not None or self.settings.pair_update_every:
            rows = gather_rows(rows, row).flatten(1, 2)
            row = (index[:, None] * len(index) + index).expand(len(x), -1, -1)
        if self.clean is not None:
            rows = rows + self.clean(distance_class(clean, self.clean.num_embeddings)).flatten(1, 2)
        return self.adapt(self.norm(rows), condition[:, None]), row


def gather_rows(rows: Float[Tensor, "sample row feature"], row: Int[Tensor, "sample i j"]) -> Tensor:
    """Features of each pair, `[sample, i, j, feature]`, from the index of its row."""
    index = row.flatten(1)[..., None].expand(-1, -1, rows.shape[-1])
    return rows.gather(1, index).unflatten(1, row.shape[1:])


def rows_of_biases(
    row: Int[Tensor, "sample residue residue"], count: int, mask: Bool[Tensor, "sample residue"]
) -> Int[Tensor, "sample token token"]:
    """Row of the bias of each pair of tokens, once registers and padding have a row each after all others.

    Args:
        row: row of each pair of residues.
        count: number of rows of pairs.
        mask: False on padding, which is not attended to.
    """
    row = nn.functional.pad(row, (REGISTERS, 0, REGISTERS, 0), value=count)
    return row.masked_fill(~nn.functional.pad(mask, (REGISTERS, 0), value=True)[:, None], count + 1)


class Block(nn.Module):
    """Attention with pair bias, then a dense update of each token; the time scales, shifts and gates both."""

    def __init__(self, settings: ProteinTransformer.Settings):
        super().__init__()
        s = settings
        self.adapt, self.adapt_update = AdaptiveNorm(s.width, s.condition), AdaptiveNorm(s.width, s.condition)
        self.attention = Attention(s)
        self.update = Gated(s.width, 4)
        self.gate, self.gate_update = closed_gate(s.condition, s.width), closed_gate(s.condition, s.width)

    def forward(
        self, token: Tensor, pair: Tensor, bias_row: Tensor, condition: Tensor, kind: Tensor
    ) -> Float[Tensor, "sample token width"]:
        """Tokens after the block.

        Args:
            token: features of registers and residues.
            pair: normed pair features by row.
            bias_row: row of the bias of each pair of tokens, see `rows_of_biases`.
            condition: features of the time by kind of token: registers, residues.
            kind: kind of each token.
        """
        gate, gate_update = (g(condition).sigmoid().index_select(1, kind) for g in (self.gate, self.gate_update))
        token = token + gate * self.attention(self.adapt(token, condition, kind), pair, bias_row)
        return token + gate_update * self.update(self.adapt_update(token, condition, kind))


class Attention(nn.Module):
    """Multi-head attention with a bias from the pairs and a gated output; queries and keys are normed."""

    def __init__(self, settings: ProteinTransformer.Settings):
        super().__init__()
        width, self.heads = settings.width, settings.heads
        self.norm = LayerNorm(width)
        self.query, self.keys, self.values = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.query_norm, self.key_norm = LayerNorm(width), LayerNorm(width)
        self.pair_norm, self.bias = Affine(settings.pair), nn.Linear(settings.pair, self.heads, bias=False)
        self.gate = nn.Linear(width, width)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, pair: Tensor, bias_row: Tensor) -> Float[Tensor, "sample token width"]:
        """Update of the tokens, without the residual. Registers have no bias, padding has one of minus infinity."""
        x = self.norm(x)
        q, k, v = self.query_norm(self.query(x)), self.key_norm(self.keys(x)), self.values(x)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2).flatten(0, 1) for t in (q, k, v))
        rows = nn.functional.pad(self.pair_norm.folded(pair, self.bias).mT, (0, 1))
        rows = nn.functional.pad(rows, (0, 1), value=-math.inf)
        bias = rows.gather(2, bias_row.flatten(1)[:, None].expand(-1, self.heads, -1)).flatten(0, 1)
        bias = bias.unflatten(-1, bias_row.shape[1:])
        weight = torch.baddbmm(bias, q, k.mT, alpha=1 / math.sqrt(q.shape[-1])).softmax(-1)
        return self.out((weight @ v).unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2) * self.gate(x).sigmoid())


@torch.no_grad()
def distance_class(x: Float[Tensor, "sample residue 3"], count: int) -> Tensor:
    """Class of the distance of each pair: evenly spaced bins, of which the first and the last are open."""
    edges = torch.linspace(FIRST_EDGE, LAST_EDGE, count - 1, device=x.device, dtype=x.dtype)
    return torch.bucketize((x[:, :, None] - x[:, None]).square().sum(-1).sqrt(), edges)

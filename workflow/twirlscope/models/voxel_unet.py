"""Three-dimensional U-Net that maps noisy fields on voxels to clean ones, without built-in rotation symmetry.

Convolutions share their weights between positions, not between orientations, so its symmetry is learned. With the key
`average` it is made equivariant under the rotations of a cube.

Source: Pinheiro et al., arXiv:2306.07473 (VoxMol), for shape and sizes, from the description there; Ho et al.,
arXiv:2006.11239, for the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from .._typing import Float, Tensor
from ..errors import UserError
from ..geometry import so3
from ..geometry.grid_action import permute
from ..geometry.rotation_sets import rotation_set
from ..settings.base import Settings, key
from .layers.voxel_model import VoxelModel


@dataclass(frozen=True)
class Shape:
    """Widths and depths of a network.

    With one more residual block per level up than down, as published, all layers on the way down have skip connections,
    and the last block of a level reduces the width. Otherwise only the blocks have, the coarsest level has no block on
    the way up, and transposed convolutions reduce the width.

    widths: features per level, the finest first.
    down: residual blocks per level on the way down.
    up: residual blocks per level on the way up.
    groups: of the group norm.
    attention: number of levels with attention, the coarsest ones.
    """

    widths: tuple[int, ...]
    down: int
    up: int
    groups: int
    attention: int

    @property
    def full(self) -> bool:
        """True if all layers on the way down have skip connections."""
        return self.up > self.down


SIZES = {
    "2k": Shape((2, 2), 1, 1, 1, 0),
    "190k": Shape((8, 16, 32), 1, 1, 4, 0),
    "7M": Shape((8, 16, 32, 128), 2, 3, 4, 2),
    "28M": Shape((16, 32, 64, 256), 2, 3, 8, 2),
    "112M": Shape((32, 64, 128, 512), 2, 3, 16, 2),
}


class VoxelUnet(VoxelModel):
    """Residual blocks and strided convolutions down; skip connections, blocks and transposed convolutions up.

    Its state holds the element of each channel and is not loaded into a model with other channels.

    Args:
        settings: size.
        constants: as in `VoxelModel`.
    """

    class Settings(Settings):
        """Size by name. `112M` is the published network; grids of 16, 32 or 64 voxels per edge fit all sizes."""

        size: Literal[tuple(SIZES)] = key(
            "190k",
            "approximate number of parameters; 190k trains in minutes on a CPU, 2k is small enough for all eigenvalues "
            "of its Hessian",
        )
        dropout: float = key(0.0, "dropout rate in every block; published: 0.1", ge=0, lt=1)
        average: Literal["none", "octahedral"] = key(
            "none", "octahedral: average predictions over the 24 grid rotations, exactly equivariant at 24 passes"
        )

    def __init__(self, settings: VoxelUnet.Settings, constants: dict):
        shape = SIZES[settings.size]
        super().__init__(settings, constants, len(shape.widths))
        self.shape = shape
        channels, finest, widest = len(self.channels), shape.widths[0], shape.widths[-1]
        self.register_buffer("elements", torch.tensor(self.channels))
        self.register_load_state_dict_pre_hook(_same_channels)
        self.enter = nn.Conv3d(channels, finest, 3, padding=1)
        self.down, skips = descent(shape, settings.dropout)
        attends = [True, False] if shape.full else [False]
        self.middle = nn.ModuleList(
            Block(widest, widest, shape.groups, settings.dropout, a and shape.attention > 0) for a in attends
        )
        self.up = ascent(shape, skips, settings.dropout)
        self.norm = GroupNorm(finest, shape.groups)
        self.leave = nn.Conv3d(finest, channels, 3, padding=1)

    @property
    def equivariant(self) -> bool:
        """True if predictions are averaged over the rotations of a cube."""
        return self.settings.average == "octahedral"

    def denoised(self, grid: Float[Tensor, "sample x y z channel"]) -> Float[Tensor, "sample x y z channel"]:
        """Clean fields from one pass, or averaged over 24 passes."""
        one_pass = super().denoised
        if self.settings.average == "none":
            return one_pass(grid)
        rotations = so3.matrix(rotation_set("O").quaternion).to(grid)
        passes = (permute(r.mT, one_pass(permute(r, grid))) for r in rotations[:, None].expand(-1, len(grid), -1, -1))
        return sum(passes) / len(rotations)

    def network(self, x: Float[Tensor, "sample channel x y z"]) -> Float[Tensor, "sample channel x y z"]:
        """Clean fields with the channels first."""
        x = self.enter(x)
        skips = [x] if self.shape.full else []
        for level in self.down:
            for block in level["blocks"]:
                x = block(x)
                skips.append(x)
            if "halving" in level:
                x = level["halving"](x)
                skips += [x] if self.shape.full else []
        if not self.shape.full:
            skips.pop()  # of the coarsest level, which has no block on the way up
        for block in self.middle:
            x = block(x)
        for level in self.up:
            for block in level["blocks"]:
                x = block(torch.cat([x, skips.pop()], 1))
            if "doubling" in level:
                x = level["doubling"](x)
        return self.leave(nn.functional.silu(self.norm(x)))


def _same_channels(model: VoxelUnet, state: dict[str, Tensor], prefix: str, *_args: object) -> None:
    """Refuses the state of a model whose channels are other elements, or the same in another order."""
    elements = state.get(f"{prefix}elements", model.elements).tolist()
    if elements != model.elements.tolist():
        raise UserError("model VoxelUnet", f"weights for the channels {model.elements.tolist()}", elements)


def descent(shape: Shape, dropout: float) -> tuple[nn.ModuleList, list[int]]:
    """Levels of the way down, and the widths of their skip connections, in order."""
    levels, width, last = nn.ModuleList(), shape.widths[0], len(shape.widths) - 1
    skips = [width] if shape.full else []
    for i, wide in enumerate(shape.widths):
        attends = i > last - shape.attention
        blocks = [Block(width if b == 0 else wide, wide, shape.groups, dropout, attends) for b in range(shape.down)]
        level, width = {"blocks": nn.ModuleList(blocks)}, wide
        skips += [wide] * shape.down
        if i < last:
            level["halving"] = nn.Conv3d(wide, wide, 3, stride=2, padding=1)
            skips += [wide] if shape.full else []
        levels.append(nn.ModuleDict(level))
    return levels, skips if shape.full else skips[:-1]


def ascent(shape: Shape, skips: list[int], dropout: float) -> nn.ModuleList:
    """Levels of the way up; each block takes the last skip connection that is not yet used."""
    levels, width, last, skips = nn.ModuleList(), shape.widths[-1], len(shape.widths) - 1, list(skips)
    for i in range(last, -1, -1):
        wide, finer = shape.widths[i], shape.widths[max(i - 1, 0)]
        blocks, count = nn.ModuleList(), shape.up if shape.full or i < last else 0
        for b in range(count):
            out = finer if shape.full and b == count - 1 else wide
            blocks.append(Block(width + skips.pop(), out, shape.groups, dropout, i > last - shape.attention))
            width = out
        level = {"blocks": blocks}
        if i > 0:
            level["doubling"] = nn.ConvTranspose3d(width, finer, 4, stride=2, padding=1)
            width = finer
        levels.append(nn.ModuleDict(level))
    return levels


class Block(nn.Module):
    """Residual block: norm, SiLU and convolution, twice, plus a shortcut; then attention if `attends`."""

    def __init__(self, inputs: int, out: int, groups: int, dropout: float, attends: bool):
        super().__init__()
        self.first = nn.Sequential(GroupNorm(inputs, groups), nn.SiLU(), nn.Conv3d(inputs, out, 3, padding=1))
        second = [GroupNorm(out, groups), nn.SiLU(), nn.Dropout(dropout), nn.Conv3d(out, out, 3, padding=1)]
        self.second = nn.Sequential(*second)
        self.shortcut = nn.Identity() if inputs == out else nn.Conv3d(inputs, out, 1)
        self.attention = Attention(out) if attends else nn.Identity()

    def forward(self, x: Float[Tensor, "sample inputs x y z"]) -> Float[Tensor, "sample out x y z"]:
        """Features after the block."""
        return self.attention(self.second(self.first(x)) + self.shortcut(x))


class Attention(nn.Module):
    """Residual single-head attention between all voxels. Written out, so that it has second derivatives."""

    def __init__(self, width: int):
        super().__init__()
        self.project, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "sample width x y z"]) -> Float[Tensor, "sample width x y z"]:
        """Features after attention."""
        tokens = x.flatten(2).mT
        query, keys, values = self.project(tokens).chunk(3, -1)
        weight = (query @ keys.mT / x.shape[1] ** 0.5).softmax(-1)
        return (tokens + self.mix(weight @ values)).mT.reshape(x.shape)


class GroupNorm(nn.Module):
    """Group norm: features minus the mean of their group, over its standard deviation.

    Written out, as the native norm has wrong third derivatives.

    Source: Wu and He, arXiv:1803.08494; `torch.nn.GroupNorm` computes the same values.
    """

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.groups = groups
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "sample width x y z"]) -> Float[Tensor, "sample width x y z"]:
        """Normed features."""
        grouped = x.reshape(len(x), self.groups, -1)
        centred = grouped - grouped.mean(-1, keepdim=True)
        normed = centred * (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        column = (-1, 1, 1, 1)
        return normed.reshape(x.shape) * self.scale.reshape(column) + self.shift.reshape(column)

"""A three-dimensional U-Net on voxels: noisy fields in, clean fields out. Nothing in it knows of rotations, unless its
mean over those of a cube is asked for.

Convolutions share their weights between places, not between orientations, so what symmetry it has, it has learned.
Source: the shape and sizes, Pinheiro et al., arXiv:2306.07473 (VoxMol), from its description; Ho et al.,
arXiv:2006.11239, for the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from .._typing import Float, Tensor
from ..contracts import Model
from ..errors import UserError
from ..geometry import so3
from ..geometry.grid_action import permute
from ..geometry.rotation_sets import rotation_set
from ..settings.base import Settings, key


@dataclass(frozen=True)
class Shape:
    """What a name of a size stands for.

    widths: features of every level, the finest first.
    down, up: residual blocks of a level on the way down and up. With one more up than down, as published, everything
        on the way down is handed over to the way up and the last block of a level narrows; otherwise the blocks alone
        are, the coarsest level goes up at once, and transposed convolutions narrow.
    groups: of the normalisation.
    attention: number of coarsest levels whose blocks attend.
    """

    widths: tuple[int, ...]
    down: int
    up: int
    groups: int
    attention: int

    @property
    def full(self) -> bool:
        """Whether everything on the way down is handed over."""
        return self.up > self.down


SIZES = {
    "190k": Shape((8, 16, 32), 1, 1, 4, 0),
    "7M": Shape((8, 16, 32, 128), 2, 3, 4, 2),
    "28M": Shape((16, 32, 64, 256), 2, 3, 8, 2),
    "112M": Shape((32, 64, 128, 512), 2, 3, 16, 2),
}


class VoxelUnet(Model):
    """Residual blocks and strided convolutions down, transposed ones and skip connections up, a plain output.

    A state remembers which element each channel is, and is not loaded into a model with other channels.

    Args:
        settings: its size.
        constants: `elements`, the atomic numbers of the channels in their order, and `size`, voxels along an edge.

    Raises:
        UserError: a grid that cannot be halved as often as there are levels.
    """

    class Settings(Settings):
        """Its size by name. `112M` is the published network; grids of 16 to 64 voxels fit all sizes."""

        size: Literal[tuple(SIZES)] = key("190k", "number of parameters, about; 190k is for minutes on a processor")
        dropout: float = key(0.0, "share of features dropped in every block while training; published: 0.1", ge=0, lt=1)
        average: Literal["none", "octahedral"] = key(
            "none", "the mean of what it makes of all 24 rotations of the grid, exactly equivariant at 24 passes"
        )

    task = "voxel_denoising"

    def __init__(self, settings: VoxelUnet.Settings, constants: dict):
        super().__init__()
        self.settings = settings
        self.shape = shape = SIZES[settings.size]
        factor = 2 ** (len(shape.widths) - 1)
        if constants["size"] % factor:
            raise UserError("model voxel_unet", f"voxels along an edge a multiple of {factor}", constants["size"])
        channels, finest, widest = len(constants["elements"]), shape.widths[0], shape.widths[-1]
        self.register_buffer("elements", torch.tensor(constants["elements"]))
        self.register_load_state_dict_pre_hook(_same_channels)
        self.enter = nn.Conv3d(channels, finest, 3, padding=1)
        self.down, handed = descent(shape, settings.dropout)
        attends = [True, False] if shape.full else [False]
        self.middle = nn.ModuleList(
            Block(widest, widest, shape.groups, settings.dropout, a and shape.attention > 0) for a in attends
        )
        self.up = ascent(shape, handed, settings.dropout)
        self.norm = GroupNorm(finest, shape.groups)
        self.leave = nn.Conv3d(finest, channels, 3, padding=1)

    @property
    def equivariant(self) -> bool:
        """With the mean over the rotations of a cube it is."""
        return self.settings.average == "octahedral"

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Clean fields `density` of the layout and shape of `inputs["grid"]`, `[sample, x, y, z, channel]`.

        Raises:
            UserError: another number of channels than that of the elements.
        """
        grid = inputs["grid"]
        if grid.shape[-1] != len(self.elements):
            expected = f"{len(self.elements)} channels, atomic numbers {self.elements.tolist()}"
            raise UserError("model voxel_unet", expected, f"a grid of shape {list(grid.shape)}")
        if self.settings.average == "none":
            return {"density": self._denoised(grid)}
        rotations = so3.matrix(rotation_set("O").quaternion).to(grid)
        passes = (
            permute(r.mT, self._denoised(permute(r, grid))) for r in rotations[:, None].expand(-1, len(grid), -1, -1)
        )
        return {"density": sum(passes) / len(rotations)}

    def _denoised(self, grid: Float[Tensor, "sample x y z channel"]) -> Float[Tensor, "sample x y z channel"]:
        """One pass."""
        x = self.enter(grid.movedim(-1, 1).contiguous())
        handed = [x] if self.shape.full else []
        for level in self.down:
            for block in level["blocks"]:
                x = block(x)
                handed.append(x)
            if "halving" in level:
                x = level["halving"](x)
                handed += [x] if self.shape.full else []
        if not self.shape.full:
            handed.pop()  # of the coarsest level, which goes up at once
        for block in self.middle:
            x = block(x)
        for level in self.up:
            for block in level["blocks"]:
                x = block(torch.cat([x, handed.pop()], 1))
            if "doubling" in level:
                x = level["doubling"](x)
        x = self.leave(nn.functional.silu(self.norm(x)))
        return x.movedim(1, -1)


def _same_channels(model: VoxelUnet, state: dict[str, Tensor], prefix: str, *_args: object) -> None:
    """Refuse the state of a model whose channels are other elements, or the same in another order."""
    found = state.get(f"{prefix}elements", model.elements).tolist()
    if found != model.elements.tolist():
        raise UserError("model voxel_unet", f"weights for the channels {model.elements.tolist()}", found)


def descent(shape: Shape, dropout: float) -> tuple[nn.ModuleList, list[int]]:
    """Levels of the way down, and the widths of what they hand over, in order."""
    levels, width, last = nn.ModuleList(), shape.widths[0], len(shape.widths) - 1
    handed = [width] if shape.full else []
    for i, wide in enumerate(shape.widths):
        attends = i > last - shape.attention
        blocks = [Block(width if b == 0 else wide, wide, shape.groups, dropout, attends) for b in range(shape.down)]
        level, width = {"blocks": nn.ModuleList(blocks)}, wide
        handed += [wide] * shape.down
        if i < last:
            level["halving"] = nn.Conv3d(wide, wide, 3, stride=2, padding=1)
            handed += [wide] if shape.full else []
        levels.append(nn.ModuleDict(level))
    return levels, handed if shape.full else handed[:-1]


def ascent(shape: Shape, handed: list[int], dropout: float) -> nn.ModuleList:
    """Levels of the way up; each block takes what was handed over last."""
    levels, width, last, handed = nn.ModuleList(), shape.widths[-1], len(shape.widths) - 1, list(handed)
    for i in range(last, -1, -1):
        wide, finer = shape.widths[i], shape.widths[max(i - 1, 0)]
        blocks, count = nn.ModuleList(), shape.up if shape.full or i < last else 0
        for b in range(count):
            out = finer if shape.full and b == count - 1 else wide
            blocks.append(Block(width + handed.pop(), out, shape.groups, dropout, i > last - shape.attention))
            width = out
        level = {"blocks": blocks}
        if i > 0:
            level["doubling"] = nn.ConvTranspose3d(width, finer, 4, stride=2, padding=1)
            width = finer
        levels.append(nn.ModuleDict(level))
    return levels


class Block(nn.Module):
    """Normalisation, SiLU and convolution, twice, beside a shortcut; then attention if asked for."""

    def __init__(self, inputs: int, out: int, groups: int, dropout: float, attends: bool):
        super().__init__()
        self.first = nn.Sequential(GroupNorm(inputs, groups), nn.SiLU(), nn.Conv3d(inputs, out, 3, padding=1))
        second = [GroupNorm(out, groups), nn.SiLU(), nn.Dropout(dropout), nn.Conv3d(out, out, 3, padding=1)]
        self.second = nn.Sequential(*second)
        self.shortcut = nn.Identity() if inputs == out else nn.Conv3d(inputs, out, 1)
        self.attention = Attention(out) if attends else nn.Identity()

    def forward(self, x: Float[Tensor, "sample inputs x y z"]) -> Float[Tensor, "sample out x y z"]:
        """The block, with its residual."""
        return self.attention(self.second(self.first(x)) + self.shortcut(x))


class Attention(nn.Module):
    """Single-head attention of every voxel to every voxel, residual. Written out, so that it has second derivatives."""

    def __init__(self, width: int):
        super().__init__()
        self.project, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "sample width x y z"]) -> Float[Tensor, "sample width x y z"]:
        """The voxels after attention."""
        tokens = x.flatten(2).mT
        query, keys, values = self.project(tokens).chunk(3, -1)
        share = (query @ keys.mT / x.shape[1] ** 0.5).softmax(-1)
        return (tokens + self.mix(share @ values)).mT.reshape(x.shape)


class GroupNorm(nn.Module):
    """Features of a group less their mean, over their standard deviation. By hand: native norms have wrong derivatives.

    Source: Wu and He, arXiv:1803.08494; `torch.nn.GroupNorm` computes the same values.
    """

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.groups = groups
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "sample width x y z"]) -> Float[Tensor, "sample width x y z"]:
        """The normalised features."""
        grouped = x.reshape(len(x), self.groups, -1)
        centred = grouped - grouped.mean(-1, keepdim=True)
        normed = centred * (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        column = (-1, 1, 1, 1)
        return normed.reshape(x.shape) * self.scale.reshape(column) + self.shift.reshape(column)

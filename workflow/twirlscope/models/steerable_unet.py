"""A U-Net of steerable convolutions on voxels: the counterpart of `voxel_unet`, with rotation built in.

Features are fields of scalars, vectors and higher degrees that turn with the grid. It is exactly equivariant under the
24 rotations of a cube, since kernels, pooling and padding are symmetric, and nearly so under others: the better, the
smoother its features are on the grid.

Source: the design, Diaz et al., arXiv:2201.08741 (the voxel networks of e3nn); Weiler et al., arXiv:1807.02547, for
the kernels.
"""

from __future__ import annotations

import torch
from pydantic import model_validator
from torch import nn

from .._typing import Tensor
from ..contracts import Model
from ..errors import UserError
from ..settings.base import Settings, key
from .layers.steerable import Convolution, Field, Gate, Parts, doubled, halved

FAINT = 0.1  # of the first output: densities are mostly 0


class SteerableUnet(Model):
    """Residual blocks of gated steerable convolutions; means of voxels on the way down, copies of them on the way up.

    Args:
        settings: its sizes.
        constants: `elements`, the atomic numbers of the channels in their order, and `size`, voxels along an edge.

    Raises:
        UserError: a grid that cannot be halved as often as there are levels.
    """

    class Settings(Settings):
        """Sizes. A width of 15 has the parameters of `voxel_unet` within 6 %, at about 13 times its cost."""

        width: int = key(4, "fields of every degree on the finest level; twice as many on every coarser one", ge=1)
        levels: int = key(3, "resolutions, each half of the one before", ge=1)
        l_max: int = key(1, "highest degree of fields", ge=1, le=4)
        kernel: int = key(3, "voxels along an edge of a kernel; odd", ge=3)

        @model_validator(mode="after")
        def _has_a_middle(self):
            if not self.kernel % 2:
                raise ValueError("an odd kernel")
            return self

    task = "voxel_denoising"
    equivariant = True

    def __init__(self, settings: SteerableUnet.Settings, constants: dict):
        super().__init__()
        s = self.settings = settings
        factor = 2 ** (s.levels - 1)
        if constants["size"] % factor:
            raise UserError("model steerable_unet", f"voxels along an edge a multiple of {factor}", constants["size"])
        elements: Parts = [(len(constants["elements"]), 0)]
        fields = [[(s.width * 2**i, degree) for degree in range(s.l_max + 1)] for i in range(s.levels)]
        self.enter = Convolution(elements, fields[0], s.kernel)
        down = [Block(fields[max(i - 1, 0)], fields[i], s.kernel) for i in range(s.levels)]
        up = [Block(fields[i + 1] + fields[i], fields[i], s.kernel) for i in reversed(range(s.levels - 1))]
        self.blocks = nn.ModuleList(down + up)
        self.leave = Convolution(fields[0], elements, s.kernel, FAINT)

    @property
    def activations(self) -> dict[str, str]:
        """The fields after each block, on the way down and up again."""
        fields = ("+".join(f"{mul}x{degree}e" for mul, degree in each.after) for each in self.blocks)
        return {f"blocks.{i}": each for i, each in enumerate(fields)}

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Clean fields `density` of the layout and shape of `inputs["grid"]`, `[sample, x, y, z, channel]`."""
        x, handed = self.enter(inputs["grid"].movedim(-1, 1).contiguous()), []
        for i, block in enumerate(self.blocks):
            if i < self.settings.levels:
                x = block(halved(x) if i else x)
                handed.append(x)
            else:
                x = block(torch.cat([doubled(x), handed[2 * self.settings.levels - 2 - i]], 1))
        return {"density": self.leave(x).movedim(1, -1)}


class Block(nn.Module):
    """Convolution and gate, twice, beside a shortcut that mixes fields."""

    def __init__(self, before: Parts, after: Parts, size: int):
        super().__init__()
        self.after = after
        self.gates = nn.ModuleList([Gate(after), Gate(after)])
        self.first = Convolution(before, self.gates[0].before, size)
        self.second = Convolution(after, self.gates[1].before, size)
        self.shortcut = Convolution(before, after, 1)

    def forward(self, x: Field) -> Field:
        """The fields after the block."""
        return self.shortcut(x) + self.gates[1](self.second(self.gates[0](self.first(x))))

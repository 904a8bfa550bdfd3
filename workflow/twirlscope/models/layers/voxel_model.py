"""Base class of models that map noisy fields on a cubic grid to clean ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..._typing import Float, Tensor
from ...contracts import Model
from ...errors import UserError
from ...settings.base import Settings


class VoxelModel(Model, ABC):
    """Abstract model of the task `voxel_denoising`; a subclass is the network that denoises.

    Args:
        settings: sizes.
        constants: `elements`, the atomic numbers of the channels in their order, and `size`, voxels along an edge.
        levels: number of resolutions, each half of the one before.

    Raises:
        UserError: a grid that cannot be halved `levels` - 1 times.
    """

    task = "voxel_denoising"

    def __init__(self, settings: Settings, constants: dict[str, Any], levels: int):
        super().__init__()
        self.settings, self.channels = settings, list(constants["elements"])
        factor = 2 ** (levels - 1)
        if constants["size"] % factor:
            expected = f"voxels along an edge (`size` of the task) a multiple of {factor}"
            raise UserError(f"model {type(self).__name__}", expected, constants["size"])

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Clean fields `density` of the layout and shape of `inputs["grid"]`, `[sample, x, y, z, channel]`.

        Raises:
            UserError: another number of channels than that of the elements.
        """
        grid = inputs["grid"]
        if grid.shape[-1] != len(self.channels):
            expected = f"{len(self.channels)} channels, atomic numbers {self.channels}"
            raise UserError(f"model {type(self).__name__}", expected, f"a grid of shape {list(grid.shape)}")
        return {"density": self.denoised(grid)}

    def denoised(self, grid: Float[Tensor, "sample x y z channel"]) -> Float[Tensor, "sample x y z channel"]:
        """Clean fields from one pass of the network."""
        return self.network(grid.movedim(-1, 1).contiguous()).movedim(1, -1)

    @abstractmethod
    def network(self, x: Float[Tensor, "sample channel x y z"]) -> Float[Tensor, "sample channel x y z"]:
        """Clean fields with the channels first."""

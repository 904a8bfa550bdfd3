"""Base class of models that predict a velocity per residue, and the embeddings of time and chain they share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from ..._typing import Float, Tensor
from ...contracts import Model
from ...settings.base import Settings
from .pairs import sinusoidal_embedding

TIME_SCALE = 2000.0  # factor of the time, which is 0..1, before it is embedded
TIME_BASE = 1e4  # longest wavelength of the time embedding, over 2 pi
INDEX_BASE = 2056.0  # longest wavelength of the residue index embedding, over 2 pi


class BackboneModel(Model, ABC):
    """Abstract model of the task `flow_matching`; a subclass computes the velocity.

    Args:
        settings: sizes; `time_features` and `index_features` are those of the embeddings.
    """

    task = "flow_matching"

    def __init__(self, settings: Settings):
        super().__init__()
        self.settings = settings

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Velocity `[sample, residue, 3]` in nm, 0 on padding.

        Args:
            inputs: `positions` [sample, residue, 3] in nm, `time` [sample] in 0..1, `mask` and `chain_break`
                [sample, residue]. Models with self-conditioning also read `clean` [sample, residue, 3], a guess of
                the clean chain in nm, zeros if left out. In training they need `chance` [sample], uniform in 0..1:
                where it is below 0.5, the model makes that guess itself.
        """
        return {"velocity": self.predicted_velocity(inputs)}

    @abstractmethod
    def predicted_velocity(self, inputs: dict[str, Tensor]) -> Float[Tensor, "sample residue 3"]:
        """Velocity in nm, 0 on padding; `forward` describes the inputs."""

    def time_embedding(self, inputs: dict[str, Tensor]) -> Float[Tensor, "sample feature"]:
        """Sines and cosines of the time."""
        return sinusoidal_embedding(TIME_SCALE * inputs["time"], self.settings.time_features, TIME_BASE)

    def residue_embedding(self, inputs: dict[str, Tensor]) -> Float[Tensor, "sample residue feature"]:
        """Sines and cosines of the residue index, and 1 where a chain break follows."""
        x = inputs["positions"]
        index = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        embedding = sinusoidal_embedding(index, self.settings.index_features, INDEX_BASE)
        return torch.cat([embedding.expand(len(x), -1, -1), inputs["chain_break"][..., None].to(x)], -1)

"""A plug-in model as a user would write it: one file, one class, one Settings."""

import torch

from twirlscope.contracts import Model
from twirlscope.settings.base import Settings, key


class Mlp(Model):
    """Forces of an atom from its own position: enough for the harmonic well, and not equivariant."""

    class Settings(Settings):
        """Its size."""

        width: int = key(16, "hidden units", ge=1)

    task = "force_field"

    def __init__(self, settings, constants):
        super().__init__()
        self.inner = torch.nn.Linear(3, settings.width)
        self.outer = torch.nn.Linear(settings.width, 4)

    def forward(self, inputs):
        real = (inputs["numbers"] > 0)[..., None]
        out = self.outer(torch.tanh(self.inner(inputs["positions"]))) * real
        return {"forces": out[..., :3], "energy": out[..., 3:].sum(1) / real.sum(1)}

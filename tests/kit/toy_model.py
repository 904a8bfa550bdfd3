"""Plug-in model as a user would write it: one file with one class and its `Settings`."""

import torch

from twirlscope import Model, Settings, key


class Mlp(Model):
    """Forces of each atom from its own position: sufficient for the harmonic well, and not equivariant."""

    class Settings(Settings):
        """Size."""

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

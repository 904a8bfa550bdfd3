"""Spectrum of features whose degrees are known: positions, and their squares."""

import numpy as np
import torch
from torch import nn

from twirlscope import Batch, FixedBatchTask
from twirlscope.contracts import Evaluation
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling.layers.feature_spectrum import feature_spectra
from twirlscope.twirling.panel import panel_of

OFFSET = 0.5


class Net(nn.Module):
    """Modules that return positions with an offset, and products of their components."""

    def __init__(self):
        super().__init__()
        self.vector, self.square = Vector(), Square()

    def forward(self, inputs):
        self.vector(inputs["points"]), self.square(inputs["points"])
        return {"arrow": inputs["points"]}


class Vector(nn.Module):
    def forward(self, x):
        return x + OFFSET


class Square(nn.Module):
    def forward(self, x):
        return (x[..., None] * x[..., None, :]).flatten(-2)


def test_spectra__of_known_features_are_theirs_within_errors():
    points = torch.randn(12, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = Batch({"points": points}, {"arrow": points}, {"arrow": torch.full((12, 6), 1 / 6, dtype=torch.float64)})
    task = FixedBatchTask(batch, {"points": "1o"}, {"arrow": "1o"})
    panel = panel_of(np.arange(12), TwirlSettings(panel=12, panel_replicates=4))
    means = {"vector": np.zeros(3), "square": np.zeros(9)}
    found = feature_spectra(Evaluation(Net(), task, dtype=torch.float64), panel, list(means), means, 3)
    length = points.square().sum(-1)
    exact = {
        "vector": [18 * OFFSET**2, length.sum(1), 0, 0],
        "square": [length.square().sum(1) / 3, 0, 2 / 3 * length.square().sum(1), 0],  # trace; traceless part
    }
    for name, parts in exact.items():
        q, whole = found[name]
        truth = np.stack([np.broadcast_to(part, 12) for part in parts], 1)
        np.testing.assert_allclose(whole, truth.sum(1), rtol=0.1)
        error = (q - truth).std(0, ddof=1) / 12**0.5
        assert (np.abs((q - truth).mean(0)) < 4 * error + 1e-9).all(), name
        assert (error < 0.1 * truth.sum(1).mean()).all(), name

"""Samples of a flow: noise carried to chains along the predicted velocity, and how a look at them is summed up."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from .hints import Array, Callable, Float, Int, Sequence, Tensor

Solver = Literal["euler", "heun"]
BINS = np.linspace(0.0, 4.0, 81)  # [nm] edges of the histogram of distances; what is beyond counts in the last bin


@torch.no_grad()
def integrate(
    model: Callable,
    noise: Float[Tensor, "sample residue 3"],
    mask: Int[Tensor, "sample residue"],
    steps: int,
    solver: Solver = "heun",
) -> Float[Tensor, "sample residue 3"]:
    """Positions at time 1 from noise at time 0, by equal steps along the velocity [nm].

    Every step ends centred on each chain. A model with self-conditioning gets the clean chain of the step before.

    Args:
        model: maps the inputs of `flow_matching` to `velocity`.
        noise: centred, 0 on padding.
        steps: of the solver; `heun` costs two passes each and is of second order.
    """
    count = mask.sum(1)[:, None, None]
    real = mask[..., None].to(noise)
    x, clean = noise, torch.zeros_like(noise)

    def velocity(x: Tensor, t: float, clean: Tensor) -> Tensor:
        time = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        inputs = {"positions": x, "time": time, "mask": mask, "chain_break": torch.zeros_like(mask), "clean": clean}
        return model(inputs)["velocity"] * real

    for i in range(steps):
        t, dt = i / steps, 1 / steps
        v = velocity(x, t, clean)
        clean = x + (1 - t) * v
        if solver == "heun":
            v = (v + velocity(x + dt * v, t + dt, clean)) / 2
        x = x + dt * v
        x = (x - (x * real).sum(1, keepdim=True) / count) * real
    return x


def distance_shares(traces: Sequence[Array]) -> Float[Array, " bin"]:
    """Share of the pairs of residues of all chains in each bin of their distance; pairs next to each other count."""
    found = np.zeros(len(BINS) - 1)
    for x in traces:
        distance = np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 1)]
        found += np.histogram(distance.clip(max=BINS[-1]), BINS)[0]
    return found / found.sum()

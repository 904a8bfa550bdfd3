"""Model whose forces are linear in the positions, with the gradients of both parts of its loss in closed form."""

from __future__ import annotations

import numpy as np
import torch
import toys

from twirlscope import Model, Settings, Task, losses

MATRIX = torch.tensor([[0.5, 1.0, 0.0], [0.2, -0.4, 0.3], [0.0, 0.7, 0.8]])
TASK = {"name": "force_field", "energy_weight": 0.0}


class Linear(Model):
    """Forces are a fixed matrix times the position; the targets are minus the position.

    z(R) = R^-1 A R x has the mean a x over rotations, a = tr A / 3. With c the mean of |x|^2 over atoms and samples,
    grad L_mean = 2 c / 9 (a + 1) I and grad L_equiv = 2 c / 9 (A - a I), orthogonal to each other.
    """

    class Settings(Settings):
        """No settings."""

    task = "force_field"

    def __init__(self, settings=None, constants=None):
        super().__init__()
        self.inner = torch.nn.Module()
        self.inner.matrix = torch.nn.Parameter(MATRIX.clone())

    def forward(self, inputs):
        forces = inputs["positions"] @ self.inner.matrix.T
        return {"forces": forces, "energy": torch.zeros_like(forces[:, 0, :1])}


def forces_task() -> Task:
    """The force-field task without its energy."""
    task = toys.force_field()
    task.terms = (task.terms[0],)
    return task


def exact_gradients(task: Task) -> torch.Tensor:
    """Gradients of both parts for `Linear`, on all 30 training samples: `[part, parameter]`."""
    batch = task.batch(np.arange(30)).to("cpu", torch.float64)
    c = losses.inner(batch.inputs["positions"], batch.inputs["positions"], batch.weights["forces"]).mean() * 3
    a, one = MATRIX.double().trace() / 3, torch.eye(3, dtype=torch.float64)
    return torch.stack([2 * c / 9 * (a + 1) * one, 2 * c / 9 * (MATRIX.double() - a * one)]).flatten(1)


def exact_losses(matrix: torch.Tensor) -> tuple[float, float]:
    """Both parts of the loss of `Linear` with this matrix, on all 30 training samples."""
    batch = forces_task().batch(np.arange(30)).to("cpu", torch.float64)
    c = losses.inner(batch.inputs["positions"], batch.inputs["positions"], batch.weights["forces"]).mean() * 3
    a, matrix = matrix.double().trace() / 3, matrix.double()
    return (c / 3 * (a + 1) ** 2).item(), (c / 9 * (matrix - a * torch.eye(3)).square().sum()).item()

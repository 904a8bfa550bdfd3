"""REMUL: a weighted sum of the loss on samples as they lie and of the loss on the same samples rotated."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from .._typing import Array, Callable, Int, Tensor
from ..contracts import Model, Task
from ..geometry import rotation_sets
from ..objective import Objective, Rows
from ..settings.base import Settings, key
from .common.comparison import half_squared_differences, row_losses, squared
from .common.gradnorm import GradNorm, shared_gradients, shared_parameters
from .common.views import require_exact, several_views


class Remul(Objective):
    """alpha l(f(x), y) + beta l(f(g x), g y), for samples x as the data lie and a uniform rotation g.

    Both parts are anchored at the target. The paper controls the equivariance of a network by beta alone, or balances
    the parts by GradNorm. With both views uniform and alpha = beta = 1/2 it is augmentation with two views.

    Source: Elhag, Rusch, Di Giovanni, Bronstein, Relaxed equivariance via multitask learning, arXiv:2410.17878.
    """

    views = 2

    class Settings(Settings):
        """Weights of both parts, fixed or balanced."""

        alpha: float = key(1.0, "weight of the loss on samples as the data lie; the first one under `gradnorm`", ge=0)
        beta: float = key(1.0, "weight of the loss on rotated samples; the first one under `gradnorm`", ge=0)
        first: Literal["data", "haar"] = key("data", "orientation of the first view: as the data lie, or uniform")
        balance: Literal["fixed", "gradnorm"] = key(
            "fixed", "weights stay, or follow the norms of the gradients of both parts"
        )
        rate: float = key(0.025, "learning rate of the weights under `gradnorm`", gt=0)
        exponent: float = key(1.5, "exponent of the relative training rate under `gradnorm`", ge=0)
        floor: float = key(1e-3, "smallest weight under `gradnorm`", ge=0)
        layer: str = key("", "module whose gradients `gradnorm` compares; empty for the last of `blocks`")

    def __init__(self, settings: Remul.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        require_exact(task, "train.objective")
        self.weights = GradNorm((settings.alpha, settings.beta), settings.rate, settings.exponent, settings.floor)
        self._shared = shared_parameters(model, settings.layer) if settings.balance == "gradnorm" else []

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The samples as the data lie, and rotated."""
        quaternion = rotation_sets.uniform(self.task.group, len(index), 2, generator=turns)
        as_they_lie = self.settings.first == "data"
        if as_they_lie:
            quaternion[:, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
        free = None if as_they_lie else turns
        return several_views(self.task, index, random, quaternion.flatten(0, 1), device, 2, free)

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss, both parts of it, and half the squared distance of both views."""
        prediction = model(rows.batch.inputs)
        parts = row_losses(self.task, prediction, rows.batch).reshape(-1, 2).mean(0)
        alpha, beta = self.weights.values.to(parts)
        found = {"total": alpha * parts[0] + beta * parts[1], "loss_data": parts[0], "loss_rotated": parts[1]}
        if squared(self.task):
            found["half_distance"] = half_squared_differences(self.task, prediction, rows).mean().detach()
        if self._shared:
            found |= {"weight_data": alpha, "weight_rotated": beta, "gradients": shared_gradients(parts, self._shared)}
        return found

    def balance(self, means: dict[str, Tensor]) -> None:
        """Move the weights towards equal training rates, by the gradients of both parts over the whole update."""
        if self._shared:
            losses = torch.stack([means["loss_data"], means["loss_rotated"]])
            self.weights.update(losses, means["gradients"].norm(dim=-1))

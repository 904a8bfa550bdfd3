"""Penalties on the change of predictions with orientation: the Lie derivative, near views, or the net torque."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch.autograd import forward_ad

from .._typing import Array, Callable, Float, Int, Tensor
from ..contracts import Model, Task
from ..errors import UserError
from ..geometry import action, so3
from ..objective import Objective, Rows
from ..runtime.precision import differentiable
from ..settings.base import Settings, key
from .common.comparison import half_squared_differences, require_squares, row_losses, squares
from .common.views import require_exact, several_views, single_views

Named = dict[str, Tensor]


class LiePenalty(Objective):
    """The task's loss on rotated samples, plus `weight` times the rate of change of predictions with orientation.

    `exact`: 3 |L_n z|^2 for a random axis n, by forward-mode derivatives through the model. `near`: 6 / w^2 times half
    the squared difference of two views an angle w apart, about a random axis. Both estimate SUM_a |L_a z|^2, the
    Lie-derivative error: the first without bias, the second up to terms of order w^2. `torque`: the length of the net
    torque of predicted forces over the number of atoms, which is the derivative of a conservative model's energy.

    Source: Gruver, Finzi, Goldblum, Wilson, arXiv:2210.02984 (derivative); Rhodes et al., Orb-v3, arXiv:2504.06231
    (equigrad, the torque).
    """

    class Settings(Settings):
        """Weight of the penalty, and the way it is computed."""

        weight: float = key(0.1, "weight of the penalty", gt=0)
        method: Literal["exact", "near", "torque"] = key(
            "near", "derivative through the model, two views close to each other, or net torque of conservative forces"
        )
        width: float = key(0.2, "angle between the two views of `near`", "rad", gt=0, le=1)

    def __init__(self, settings: LiePenalty.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        where = "train.objective"
        require_exact(task, where)
        if task.group != "SO3":
            raise UserError(where, "a task under all rotations; a finite group has no derivative", task.group)
        if settings.method == "torque":
            _require_conservative(task, model)
        else:
            require_squares(task, where)
        if settings.method == "exact":
            self._try(model)

    @classmethod
    def traits(cls, settings: LiePenalty.Settings) -> tuple[int, bool]:
        """Two views close to each other; no compilation of a derivative through the model."""
        return 2 if settings.method == "near" else 1, settings.method != "exact"

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The samples in random orientations; for `near` each in a second one, an angle `width` further."""
        start = so3.haar(len(index), generator=turns)
        axis = torch.randn(len(index), 3, dtype=torch.float64, generator=turns)
        if self.settings.method == "near":
            further = so3.product(so3.about(axis, self.settings.width), start)
            quaternion = torch.stack([start, further], 1).flatten(0, 1)
            return several_views(self.task, index, random, quaternion, device, 2)
        rows = single_views(self.task, index, random, so3.matrix(start).float(), device)
        return replace(rows, axis=axis.float().to(device))

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss, and the penalty without its weight."""
        if self.settings.method == "exact":
            prediction, each = self._derivative(model, rows)
        else:
            prediction = model(rows.batch.inputs)
            each = self._near(prediction, rows) if self.settings.method == "near" else self._torque(prediction, rows)
        loss, penalty = row_losses(self.task, prediction, rows.batch).mean(), each.mean()
        return {"total": loss + self.settings.weight * penalty, "penalty": penalty}

    def _try(self, model: Model) -> None:
        """Differentiate a penalty of one sample, which not every model supports: torch's softmax does not.

        Raises:
            UserError: with the reason of torch.
        """
        device = next(model.parameters()).device
        rows = single_views(self.task, np.arange(1), np.random.default_rng(0), None, device)
        rows = replace(rows, axis=torch.ones(1, 3, device=device))
        weights = [p for p in model.parameters() if p.requires_grad]
        try:
            with torch.random.fork_rng(devices=[]):
                torch.autograd.grad(self.forward(model, rows)["penalty"], weights, allow_unused=True)
        except (RuntimeError, NotImplementedError) as error:
            expected = "near, for a model whose forward-mode derivative has no gradient"
            raise UserError("train.objective.method", expected, f"'exact' ({str(error).split('.')[0]})") from error

    def _near(self, prediction: Named, rows: Rows) -> Float[Tensor, " sample"]:
        return 6 / self.settings.width**2 * half_squared_differences(self.task, prediction, rows)

    def _derivative(self, model: Callable, rows: Rows) -> tuple[Named, Float[Tensor, " sample"]]:
        """Predictions, and 3 |L_n z|^2 for the axis n of each row."""
        batch, weights, generator = rows.batch, rows.batch.weights, so3.generator(rows.axis)
        with differentiable(), forward_ad.dual_level():
            turn = forward_ad.make_dual(torch.eye(3).to(generator).repeat(len(generator), 1, 1), generator)
            response = model(self.task.rotate(batch, turn).inputs)
            z = {t.name: action.twist(t.irreps, turn, response[t.name].to(weights[t.name])) for t in self.task.terms}
            pairs = {name: forward_ad.unpack_dual(value) for name, value in z.items()}
        tangents = {k: torch.zeros_like(p.primal) if p.tangent is None else p.tangent for k, p in pairs.items()}
        tangents = {k: v.masked_fill(weights[k][..., None] == 0, 0.0) for k, v in tangents.items()}
        return {k: p.primal for k, p in pairs.items()}, 3 * squares(self.task, tangents, weights)

    def _torque(self, prediction: Named, rows: Rows) -> Float[Tensor, " sample"]:
        """Length of the net torque over the number of atoms, in units of the loss times those of the positions."""
        points, real = (rows.batch.inputs[name] for name in self.task.points)
        real = (real > 0)[..., None]
        count = real.sum(1)
        centred = (points - (points * real).sum(1, keepdim=True) / count[:, None]) * real
        torque = torch.linalg.cross(centred, prediction["forces"].to(points) * real).sum(1) / count
        return (torque.square().sum(-1) + torch.finfo(torque.dtype).tiny).sqrt()


def _require_conservative(task: Task, model: Model) -> None:
    """Refuse a model whose forces are not the gradient of an energy.

    Raises:
        UserError: it says what the model has.
    """
    forces = getattr(getattr(model, "settings", None), "forces", None)
    if task.points is None or "forces" not in {t.name for t in task.terms} or forces != "conservative":
        expected = "a model of forces that are the gradient of an energy (`forces: conservative`)"
        raise UserError("train.objective.method", expected, f"'torque' for a model with forces {forces!r}")

"""Augmentation: the task's loss on randomly rotated samples."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from pydantic import model_validator

from .._typing import Array, Callable, Float, Int, Tensor
from ..contracts import Model, Task
from ..errors import UserError
from ..geometry import rotation_sets, so3
from ..losses import weighted_loss
from ..objective import Objective, Rows
from ..settings.base import Settings, key
from .common.views import require_exact, several_views, single_views


class Augment(Objective):
    """Mean over views of the loss of randomly rotated samples, the default.

    One view per update is the cheapest: further views of the same sample take the place of other samples.
    """

    class Settings(Settings):
        """Distribution and number of the rotations."""

        rotations: Literal["haar", "euler_product"] = key(
            "haar", "rotations of training samples: uniform, or the biased product of three axis rotations"
        )
        views: int = key(1, "independent orientations of each sample in an update", ge=1)
        angle: float = key(
            180.0, "largest angle of rotation; below 180 the rotations are uniform up to it", "°", gt=0, le=180
        )

        @model_validator(mode="after")
        def _product_has_all_angles(self):
            if self.rotations == "euler_product" and (self.angle < 180 or self.views > 1):
                raise ValueError("rotations: haar for several views, and for an angle below 180")
            return self

    def __init__(self, settings: Augment.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        self.settings, self.task, self.views = settings, task, settings.views
        if self.views > 1:
            require_exact(task, "train.objective.views")
            if settings.angle < 180 and task.group != "SO3":
                raise UserError(
                    "train.objective.angle", f"180 for several views under the group {task.group}", settings.angle
                )

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The samples, each in `views` random orientations."""
        if self.views == 1:
            return single_views(
                self.task, index, random, so3.matrix(self._rotations(len(index), turns)).float(), device
            )
        if self.task.group == "SO3":
            quaternion = self._rotations(len(index) * self.views, turns)
        else:
            quaternion = rotation_sets.uniform(self.task.group, len(index) * self.views, generator=turns)
        return several_views(self.task, index, random, quaternion, device, self.views, turns)

    def _rotations(self, count: int, turns: torch.Generator) -> Float[Tensor, "row 4"]:
        if self.settings.rotations == "euler_product":
            return so3.euler_product(count, generator=turns)
        if self.settings.angle < 180:
            return so3.haar_within(math.radians(self.settings.angle), count, generator=turns)
        return so3.haar(count, generator=turns)

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss of the task; targets are turned, not predictions."""
        return {"total": weighted_loss(self.task, model(rows.batch.inputs), rows.batch)}

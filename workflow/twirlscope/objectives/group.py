"""Group batches: every sample in all orientations of a set of rotations, in random order of the set's own frame."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from .._typing import Array, Callable, Int, Tensor
from ..contracts import Model, Task
from ..errors import UserError
from ..geometry import rotation_sets
from ..losses import weighted_loss
from ..objective import Objective, Rows
from ..settings.base import Settings, key
from .common.views import require_exact, several_views


class Group(Objective):
    """Mean of the loss over {a h b} for all h of a group, with random rotations a and b of each sample.

    The equivariance error of low degree is then seen whole in every sample, and every sample takes 4 to 60 rows.
    """

    class Settings(Settings):
        """The group."""

        set: Literal["D2", "T", "O", "I"] = key("D2", "group of 4, 12, 24 or 60 rotations; a grid has no I")

    def __init__(self, settings: Group.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        require_exact(task, "train.objective")
        if task.group != "SO3" and settings.set == "I":
            raise UserError("train.objective.set", "rotations of a cube", settings.set, ["D2", "T", "O"])
        self._set = rotation_sets.rotation_set(settings.set)

    @classmethod
    def traits(cls, settings: Group.Settings) -> tuple[int, bool]:
        """As many views as the group has rotations."""
        return len(rotation_sets.rotation_set(settings.set)), cls.compiles

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The samples in all orientations of the set, with random rotations before and after it."""
        quaternion = rotation_sets.randomised(self._set, len(index), 1, turns, self.task.group).flatten(0, 2)
        return several_views(self.task, index, random, quaternion, device, self.views, turns)

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss of the task."""
        return {"total": weighted_loss(self.task, model(rows.batch.inputs), rows.batch)}

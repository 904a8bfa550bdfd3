"""No augmentation: samples as the data lie, or all in their principal axes."""

from __future__ import annotations

import numpy as np
import torch

from .._typing import Array, Callable, Int, Tensor
from ..contracts import Model, Task
from ..losses import weighted_loss
from ..objective import Objective, Rows
from ..settings.base import Settings, key
from .common.views import in_axes, single_views


class NoAugmentation(Objective):
    """The task's loss on samples that are not rotated at random.

    Orientations that the data happen to have may be as good as random ones. `canonical` removes them: every sample is
    turned into its principal axes, with the directions in which it is skewed. So the model sees no orientation twice.
    """

    class Settings(Settings):
        """Orientation of the samples."""

        canonical: bool = key(False, "true turns every sample into its principal axes")

    def __init__(self, settings: NoAugmentation.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)

    @classmethod
    def needs_points(cls, settings: NoAugmentation.Settings) -> bool:
        """True for principal axes."""
        return settings.canonical

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The samples as the data lie, or in their principal axes."""
        rows = single_views(self.task, index, random, None, device)
        return in_axes(self.task, rows) if self.settings.canonical else rows

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss of the task."""
        return {"total": weighted_loss(self.task, model(rows.batch.inputs), rows.batch)}

"""Penalty on the equivariance error: its weight in the loss is free, where augmentation gives it the weight 1."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import model_validator

from .._typing import Array, Callable, Int, Tensor
from ..contracts import Model, Task
from ..errors import UserError
from ..geometry import rotation_sets
from ..objective import Objective, Rows
from ..settings.base import Settings, key
from .common.comparison import half_squared_differences, require_squares, row_losses, sample_means
from .common.views import require_exact, several_views

SMALLEST = 0.1  # at 0 the estimate <e_1, e_2> of a batch has no lower bound, and its minimum is no small error


class EquivPenalty(Objective):
    """Twirled prediction error plus `weight` times the equivariance error, both without bias, from two views.

    With s the mean loss of both views and q = |z_1 - z_2|^2 / 2, that is s + (weight - 1) q. At weight 1 it is
    augmentation with two views. With a `share` below 1 the other rows are single views of other samples.
    """

    views = 2

    class Settings(Settings):
        """Weight of the penalty, and the rows that it is measured on."""

        weight: float = key(1.0, "weight of the equivariance error; 1 is augmentation with two views", ge=0)
        share: float = key(
            1.0,
            "share of the rows of an update that are two views of one sample; the others are single views",
            gt=0,
            le=1,
        )
        allow_divergence: bool = key(False, f"true accepts a weight below {SMALLEST}, with which trainings may diverge")

        @model_validator(mode="after")
        def _converges(self):
            if self.weight < SMALLEST and not self.allow_divergence:
                expected = f"weight of at least {SMALLEST}, or allow_divergence: true"
                raise ValueError(f"{expected} (at 0 the loss of a batch has no lower bound)")
            return self

    def __init__(self, settings: EquivPenalty.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        require_exact(task, "train.objective")
        require_squares(task, "train.objective")

    @classmethod
    def samples_of(cls, settings: EquivPenalty.Settings, rows: int) -> int:
        """Number of samples of an update of so many rows.

        Raises:
            UserError: a share of the rows that is no whole number of pairs.
        """
        pairs = round(settings.share * rows / 2)
        if not pairs or abs(pairs - settings.share * rows / 2) > 1e-6:
            expected = f"a share of the {rows} rows of an update that is a whole number of pairs"
            raise UserError("train.objective.share", expected, settings.share)
        return rows - pairs

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """Samples in two independent orientations, and single ones between them, evenly spread."""
        paired = round(len(index) * self.settings.share / (2 - self.settings.share))
        place = torch.arange(len(index) + 1) * paired // len(index)
        counts = 1 + place.diff()
        quaternion = rotation_sets.uniform(self.task.group, int(counts.sum()), generator=turns)
        return several_views(self.task, index, random, quaternion, device, counts, turns)

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss, and the estimate of the equivariance error."""
        prediction = model(rows.batch.inputs)
        loss = sample_means(row_losses(self.task, prediction, rows.batch), rows).mean()
        samples_per_pair = (2 - self.settings.share) / self.settings.share
        pairs = half_squared_differences(self.task, prediction, rows)
        equiv = samples_per_pair * pairs.sum() / len(rows)
        return {"total": loss + (self.settings.weight - 1) * equiv, "equiv": equiv}

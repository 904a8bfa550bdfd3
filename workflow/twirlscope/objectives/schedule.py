"""Two objectives, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import field_validator

from .. import plugins
from .._typing import Array, Callable, Int, Tensor
from ..contracts import Model, Task
from ..objective import Objective, Rows
from ..settings.base import Settings, key


class Schedule(Objective):
    """One objective up to a share of the training, another one from there on.

    The samples of an update are counted by the objective that makes it, and the optimiser keeps its state.
    """

    class Settings(Settings):
        """Both objectives, and the time of the change."""

        first: dict[str, Any] = key({"name": "none"}, "`name` and settings of the first objective")
        then: dict[str, Any] = key({"name": "augment"}, "`name` and settings of the second one")
        at: float = key(0.5, "share of the updates after which the second one begins", gt=0, lt=1)

        @field_validator("first", "then")
        @classmethod
        def _is_an_objective(cls, section: dict[str, Any]) -> dict[str, Any]:
            errors = plugins.settings_of("objective", section, "")[1]
            if errors:
                raise ValueError("; ".join(f"{e.where.strip('.')}: {e.message}" for e in errors))
            return plugins.filled("objective", section)

    def __init__(self, settings: Schedule.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        self.first = plugins.make_objective(settings.first, task, model, steps)
        self.then = plugins.make_objective(settings.then, task, model, steps)
        self.compiles = self.first.compiles and self.then.compiles
        self._change = round(settings.at * steps)
        self._share = settings.at

    def active(self, update: int) -> Objective:
        """The first objective before the change, the second one after it."""
        return (self.first if update < self._change else self.then).active(update)

    def phases(self) -> list[tuple[int, float]]:
        """The first update and the share of both."""
        return [(0, self._share), (self._change, 1 - self._share)]

    def samples(self, rows: int) -> int:
        """Number of samples of the first update; `active` knows that of another one."""
        return self.active(0).samples(rows)

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The rows of the first update; `active` makes those of another one."""
        return self.active(0).rows(index, random, turns, device)

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss of the first update; `active` gives that of another one."""
        return self.active(0)(model, rows)

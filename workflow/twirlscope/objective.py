"""Base class of training objectives, and the rows of an update that they exchange with the training loop.

A plug-in is ONE file in `objectives/` with one subclass of `Objective` and its `Settings`. Nothing is registered. The
config names it in `train.objective`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from ._typing import Array, Callable, Float, Int, Tensor
from .contracts import Batch, Model, Task
from .errors import UserError
from .settings.base import Settings


@dataclass(frozen=True)
class Rows:
    """The rows of an update: samples in the orientations that an objective chose for them, its views.

    batch: the rows, targets rotated with the inputs. The rows of a sample follow one another.
    sample: number of the sample of each row, from 0, ascending; on the CPU.
    rotation: from the sample as drawn to the row; None where the rows of a sample are not compared.
    axis: axis of rotation along which the objective differentiates; None for most.
    share: samples here over samples of the update.
    """

    batch: Batch
    sample: Int[Tensor, " row"]
    rotation: Float[Tensor, "row 3 3"] | None = None
    axis: Float[Tensor, "row 3"] | None = None
    share: float = 1.0

    def __len__(self) -> int:
        return int(self.sample[-1]) + 1

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Rows:
        """The rows on a device, with floating-point tensors in a dtype."""
        rotation, axis = (None if t is None else t.to(device, dtype) for t in (self.rotation, self.axis))
        return replace(self, batch=self.batch.to(device, dtype), rotation=rotation, axis=axis)

    def part(self, samples: slice) -> Rows:
        """The rows of consecutive samples."""
        start, end = torch.searchsorted(self.sample, torch.tensor([samples.start, samples.stop])).tolist()
        rows = slice(start, end)
        rotation, axis = (None if t is None else t[rows] for t in (self.rotation, self.axis))
        share = (samples.stop - samples.start) / len(self)
        return Rows(self.batch.map(lambda t: t[rows]), self.sample[rows] - samples.start, rotation, axis, share)


class Objective(torch.nn.Module, ABC):
    """An objective of training: the orientations in which samples are shown to the model, and the loss of an update.

    Parameters lie in child modules and are trained with those of the model; checkpoints leave them out. Parameters and
    buffers are saved with the training and resume. The loss is a mean over samples, so that an update can be divided
    between samples; numbers that need the whole update go through `balance`.

    Args:
        settings: an instance of `Settings`.
        task: makes and rotates the samples.
        model: on its device; it is no part of the objective.
        steps: number of updates of the training.

    Raises:
        UserError: a task or a model that the objective does not fit.
    """

    Settings: ClassVar[type[Settings]]
    views: int = 1  # most rows of a sample
    compiles: bool = True  # False if torch.compile cannot look through the passes that it makes

    @abstractmethod
    def __init__(self, settings: Settings, task: Task, model: Model, steps: int):
        super().__init__()
        self.settings, self.task = settings, task
        self.views, self.compiles = self.traits(settings)
        if self.needs_points(settings) and task.points is None:
            expected = "a task with points (`Task.points`), which have principal axes"
            raise UserError("train.objective", expected, type(task).__name__)

    @classmethod
    def traits(cls, settings: Settings) -> tuple[int, bool]:
        """`views` and `compiles` under these settings, which the plan asks for before any task or model is made."""
        return cls.views, cls.compiles

    @classmethod
    def needs_points(cls, settings: Settings) -> bool:
        """True under settings that need a task whose samples are points, see `Task.points`."""
        return False

    @classmethod
    def samples_of(cls, settings: Settings, rows: int) -> int:
        """Number of samples of an update of so many rows.

        Raises:
            UserError: rows that are no whole number of samples.
        """
        views, _ = cls.traits(settings)
        if rows % views:
            raise UserError("train.batch", f"a multiple of the {views} rows of every sample", rows)
        return rows // views

    def samples(self, rows: int) -> int:
        """Number of samples of an update of so many rows, see `samples_of`."""
        return self.samples_of(self.settings, rows)

    @abstractmethod
    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The rows of an update, the same for generators in the same state.

        Args:
            index: samples, as many as `samples` says.
            random: of noise, times and the like.
            turns: of rotations.
        """

    @abstractmethod
    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """Means over the samples of the rows: `total`, which is minimised, and other quantities.

        Scalars are recorded at every update.
        """

    def balance(self, means: dict[str, Tensor]) -> None:
        """Adjust the state of the objective to the means over all samples of an update, before the optimiser's step."""

    def networks(self) -> list[torch.nn.Module]:
        """Child modules with parameters, of this objective and of those that it combines."""
        parts = [part for part in self.modules() if isinstance(part, Objective)]
        return [child for part in parts for child in part.children() if not isinstance(child, Objective)]

    def active(self, update: int) -> Objective:
        """The objective that makes the rows and the loss of an update: itself, or one of those that it combines."""
        return self

    def phases(self) -> list[tuple[int, float]]:
        """First update and share of the training of each part of it that has a cost of its own."""
        return [(0, 1.0)]

"""Training in the principal axes of every sample, for a network that is served with frame averaging."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from .._typing import Array, Callable, Int, Tensor
from ..contracts import Model, Task
from ..geometry.rotation_sets import FRAME_PASSES
from ..losses import weighted_loss
from ..objective import Objective, Rows
from ..settings.base import Settings, key
from .common.comparison import twisted
from .common.views import in_frames, require_exact, single_views


class Frames(Objective):
    """The loss of samples in one of their four frames, or of their prediction averaged over all four.

    A frame turns the principal axes of the points to those of the lab. The network never sees another orientation: its
    equivariance error in a single pass says nothing. `frame_loss` of the twirl store is what it is worth, with four
    passes per prediction. Samples with equal moments have an arbitrary frame.

    Source: Puny, Atzmon, Ben-Hamu, Misra, Grover, Smith, Lipman, ICLR 2022, arXiv:2110.03336.
    """

    class Settings(Settings):
        """Number of frames."""

        frames: Literal["one", "all"] = key("one", "one random frame per sample, or the mean prediction of all four")

    def __init__(self, settings: Frames.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        require_exact(task, "train.objective")

    @classmethod
    def traits(cls, settings: Frames.Settings) -> tuple[int, bool]:
        """As many views as frames in the mean."""
        return FRAME_PASSES if settings.frames == "all" else 1, cls.compiles

    @classmethod
    def needs_points(cls, settings: Frames.Settings) -> bool:
        """True: frames are those of points."""
        return True

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The samples in one frame each, or in all."""
        samples = single_views(self.task, index, random, None, device)
        if self.views == 1:
            choice = torch.randint(FRAME_PASSES, (len(index), 1), generator=turns)
        else:
            choice = torch.arange(FRAME_PASSES).expand(len(index), -1)
        return in_frames(self.task, samples, choice)

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss of the prediction, averaged over the frames of each sample."""
        prediction = model(rows.batch.inputs)
        if self.views == 1:
            return {"total": weighted_loss(self.task, prediction, rows.batch)}
        z = {name: v.unflatten(0, (-1, self.views)).mean(1) for name, v in twisted(self.task, prediction, rows).items()}
        turned = {t.name: rows.batch.targets[t.name] for t in self.task.terms}
        targets = {name: v[:: self.views] for name, v in twisted(self.task, turned, rows).items()}
        batch = rows.batch.map(lambda t: t[:: self.views])
        return {"total": weighted_loss(self.task, z, type(batch)(batch.inputs, targets, batch.weights))}

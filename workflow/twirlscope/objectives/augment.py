"""Augmentation: the task's loss on randomly rotated samples."""

from __future__ import annotations

import math
from functools import lru_cache
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

CACHED = 2**18  # rotations of copies in memory


class Augment(Objective):
    """Mean over views of the loss of randomly rotated samples, the default.

    One view per update is the cheapest: further views of the same sample take the place of other samples.

    With `copies` the training set is the samples in so many fixed orientations each, of which every update takes one at
    random: a data set that was augmented once, before the training. The rotations depend on the number of the sample
    and of the copy alone. So they are the same for all seeds, and the copies of a small set are among those of a larger
    one.
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

        copies: int = key(0, "fixed orientations of each sample, drawn once; 0 draws a new one at every update", ge=0)

        @model_validator(mode="after")
        def _product_has_all_angles(self):
            if self.rotations == "euler_product" and (self.angle < 180 or self.views > 1):
                raise ValueError("rotations: haar for several views, and for an angle below 180")
            if self.copies and self.views > 1:
                raise ValueError("copies of 0 for several views, which are independent orientations")
            return self

    def __init__(self, settings: Augment.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        self._copy = lru_cache(CACHED)(self._copy_of)
        if self.views > 1:
            require_exact(task, "train.objective.views")
            if settings.angle < 180 and task.group != "SO3":
                raise UserError(
                    "train.objective.angle", f"180 for several views under the group {task.group}", settings.angle
                )

    @classmethod
    def traits(cls, settings: Augment.Settings) -> tuple[int, bool]:
        """As many views as the settings say."""
        return settings.views, cls.compiles

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The samples, each in `views` random orientations."""
        if self.views == 1:
            drawn = self._copies(index, turns) if self.settings.copies else self._rotations(len(index), turns)
            return single_views(self.task, index, random, so3.matrix(drawn).float(), device)
        if self.task.group == "SO3":
            quaternion = self._rotations(len(index) * self.views, turns)
        else:
            quaternion = rotation_sets.uniform(self.task.group, len(index) * self.views, generator=turns)
        return several_views(self.task, index, random, quaternion, device, self.views, turns)

    def _copies(self, index: Int[Array, " sample"], turns: torch.Generator) -> Float[Tensor, "sample 4"]:
        """The rotation of one copy of each sample, chosen at random."""
        chosen = torch.randint(self.settings.copies, (len(index),), generator=turns)
        pairs = zip(index.tolist(), chosen.tolist(), strict=True)
        return torch.cat([self._copy(sample, copy) for sample, copy in pairs])

    def _copy_of(self, sample: int, copy: int) -> Float[Tensor, "1 4"]:
        """The rotation of a copy of a sample, always the same."""
        seed = np.random.SeedSequence((sample, copy)).generate_state(1, np.uint64)[0] >> np.uint64(1)
        return self._rotations(1, torch.Generator().manual_seed(int(seed)))

    def _rotations(self, count: int, turns: torch.Generator) -> Float[Tensor, "row 4"]:
        if self.settings.rotations == "euler_product":
            return so3.euler_product(count, generator=turns)
        if self.settings.angle < 180:
            return so3.haar_within(math.radians(self.settings.angle), count, generator=turns)
        return so3.haar(count, generator=turns)

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss of the task; targets are turned, not predictions."""
        return {"total": weighted_loss(self.task, model(rows.batch.inputs), rows.batch)}

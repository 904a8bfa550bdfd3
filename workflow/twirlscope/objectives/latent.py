"""Latent equivariance (TransIP): a small network learns how the features of a sample change when it is rotated."""

from __future__ import annotations

import numpy as np
import torch

from .._typing import Array, Callable, Float, Int, Tensor
from ..contracts import Model, Task
from ..errors import UserError
from ..geometry import rotation_sets
from ..losses import weighted_loss
from ..objective import Objective, Rows
from ..settings.base import Settings, key
from .common.modules import module_at
from .common.views import require_exact, several_views


class Latent(Objective):
    """The task's loss on two views, plus `weight` times |T(h(g1 x), g2 g1^-1) - h(g2 x)|^2 per feature.

    h is the mean over atoms of the last features before the readout, T(h, R) = Linear(GELU(Linear([h, R]))). Gradients
    flow into both sides, so that features which vanish would also lower the loss: `latent_variance` shows it.

    Source: TransIP, arXiv:2510.00027, as its public package has it: energy, force and latent losses weighted 5:15:5.
    """

    views, compiles = 2, False

    class Settings(Settings):
        """Weight and place of the features."""

        weight: float = key(1 / 3, "weight of the latent error", gt=0)
        features: str = key("", "module whose output holds the features of atoms; empty for the last of `blocks`")

    def __init__(self, settings: Latent.Settings, task: Task, model: Model, steps: int):
        super().__init__(settings, task, model, steps)
        require_exact(task, "train.objective")
        self._found = found = []

        def keep(_module: torch.nn.Module, _inputs: tuple, output: Tensor | tuple) -> None:  # copies of models share it
            found[:] = [output[0] if isinstance(output, tuple) else output]

        module = module_at(model, settings.features, "train.objective.features")
        if module is None:
            known = [name for name, _ in model.named_modules() if name]
            raise UserError("train.objective.features", "a module, for a model without blocks", "nothing", known)
        module.register_forward_hook(keep)
        width = self._width(model)
        self.map = torch.nn.Sequential(
            torch.nn.Linear(width + 9, 2 * width), torch.nn.GELU(), torch.nn.Linear(2 * width, width)
        )

    @classmethod
    def needs_points(cls, settings: Latent.Settings) -> bool:
        """True: features are means over points."""
        return True

    def rows(
        self,
        index: Int[Array, " sample"],
        random: np.random.Generator,
        turns: torch.Generator,
        device: torch.device | str,
    ) -> Rows:
        """The samples in two independent orientations."""
        quaternion = rotation_sets.uniform(self.task.group, 2 * len(index), generator=turns)
        return several_views(self.task, index, random, quaternion, device, 2, turns)

    def forward(self, model: Callable[[dict], dict], rows: Rows) -> dict[str, Tensor]:
        """The loss, the latent error, and the variance of the features over samples."""
        self._found.clear()
        loss = weighted_loss(self.task, model(rows.batch.inputs), rows.batch)
        h = self._features(rows.batch.inputs[self.task.points[1]]).unflatten(0, (-1, 2))
        rotation = rows.rotation.unflatten(0, (-1, 2))
        between = rotation[:, 1] @ rotation[:, 0].mT
        error = (self.map(torch.cat([h[:, 0], between.flatten(1)], -1)) - h[:, 1]).square().mean()
        variance = h.detach().flatten(0, 1).var(0, correction=0).mean()
        return {"total": loss + self.settings.weight * error, "latent": error, "latent_variance": variance}

    def _features(self, real: Int[Tensor, "row point"]) -> Float[Tensor, "row feature"]:
        """Mean over atoms of the features that the last pass has kept, in the dtype of the map."""
        kept, mask = self._found.pop().to(self.map[0].weight.dtype), real > 0
        if kept.ndim == 3:  # tokens of the atoms, after any others
            kept = kept[:, -real.shape[1] :]
            return torch.einsum("sp,spf->sf", mask.to(kept), kept) / mask.sum(1, keepdim=True)
        row = mask.nonzero()[:, 0]  # atoms of all rows, one after another
        return kept.new_zeros(len(real), kept.shape[-1]).index_add(0, row, kept) / mask.sum(1, keepdim=True)

    @torch.no_grad()
    def _width(self, model: Model) -> int:
        """Number of features of an atom, from a pass of one sample.

        Raises:
            UserError: the module has no such output.
        """
        batch = self.task.batch(np.arange(1)).to(next(model.parameters()).device)
        model(batch.inputs)
        real = batch.inputs[self.task.points[1]] > 0
        kept = self._found.pop() if self._found else None
        shape = tuple(kept.shape) if isinstance(kept, Tensor) else ()
        by_atom = len(shape) == 2 and shape[0] == int(real.sum())
        if not by_atom and not (len(shape) == 3 and shape[1] >= real.shape[1]):
            expected = f"a module with features of {int(real.sum())} atoms, [atom, feature] or [sample, atom, feature]"
            raise UserError("train.objective.features", expected, f"shape {shape}" if shape else type(kept).__name__)
        return kept.shape[-1]

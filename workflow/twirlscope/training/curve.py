"""Values recorded at every update, which stay on the device until several updates are read together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .._typing import Tensor
from ..errors import UserError

TOGETHER = 25  # updates that are read together from a device other than the CPU: a reading waits for the device


@dataclass
class Curve:
    """Values recorded at every update, as columns of `train.zarr.zip`."""

    loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    quantities: dict[str, list[float]] = field(default_factory=dict)  # of the objective, by name


class Recorder:
    """Adds updates to a curve. Nothing may be saved before `read`, which refuses losses that are not finite.

    curve: the updates that were read.
    every: updates read together; 1 on the CPU, where reading waits for nothing.
    """

    def __init__(self, curve: Curve, device: str):
        self.curve, self.every = curve, 1 if device == "cpu" else TOGETHER
        self._unread: list[tuple[int, dict[str, Tensor], Tensor, float]] = []

    def add(self, step: int, means: dict[str, Tensor], norm: Tensor, rate: float) -> None:
        """Add an update, before the optimiser's step.

        Args:
            step: updates before this one.
            means: of the objective: `total`, and scalars that are quantities.
            norm: of the gradient before it is clipped.
            rate: learning rate.

        Raises:
            UserError: a loss or gradient norm that was read is not finite.
        """
        self._unread.append((step, {name: mean for name, mean in means.items() if not mean.ndim}, norm, rate))
        if len(self._unread) >= self.every:
            self.read()

    def words(self) -> str:
        """The last loss that was read, for a line of progress."""
        return f"loss {self.curve.loss[-1]:.4g}" if self.curve.loss else ""

    def read(self) -> None:
        """Read the updates that are still on the device.

        Raises:
            UserError: the first step whose loss or gradient norm is not finite.
        """
        unread, self._unread = self._unread, []
        for step, means, norm, rate in unread:
            found = {name: mean.item() for name, mean in means.items()}
            loss, size = found.pop("total"), norm.item()
            if not (math.isfinite(loss) and math.isfinite(size)):
                got = f"loss {loss}, gradient norm {size} at step {step}"
                raise UserError(
                    "train", "a finite loss (lower train.learning_rate or train.clip, or check the data)", got
                )
            self.curve.loss.append(loss)
            self.curve.gradient_norm.append(size)
            self.curve.learning_rate.append(rate)
            for name, value in found.items():  # NaN at updates before the first one that has the quantity
                column = self.curve.quantities.setdefault(name, [])
                column += [math.nan] * (step - len(column)) + [value]

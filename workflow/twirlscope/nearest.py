"""How far the nearest more symmetric parameters are: the equivariance error alone is brought down from a checkpoint.

Descent by Polyak's step, the loss over the squared length of its gradient: as the equivariance error is at least zero,
that is the step to its smallest value if it were a straight line, it needs no learning rate, and where the error is
convex it never leads away from any parameters without error. So the walk ends near the nearest ones.

Every walk stops when the same share of its first error is left. Where the error is quadratic, that is the same share of
the distance, so an exponent fitted over checkpoints does not depend on it. The samples and rotations are fixed: the
parameters that are found are more symmetric on these, and the true distance is larger.

Source: B. T. Polyak, Introduction to Optimization (1987), section 5.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from .curvature import Objective, differentiable, gradient
from .hints import Float, Sequence, Tensor

ROUNDING = 1e3  # squared rounding errors of the predictions: an equivariance error below is nothing to bring down


@dataclass(frozen=True)
class Walk:
    """From a checkpoint to parameters with less equivariance error.

    distance: Euclidean, of all trained parameters; NaN where the share was not reached, or there is no error.
    loss_equiv: where it began.
    left: share of it that was left at the end.
    """

    distance: float
    loss_equiv: float
    left: float


def walk(objective: Objective, share: float, steps: int) -> Walk:
    """Bring the equivariance error down to `share` of what it is, in `steps` steps at most."""
    start = objective.parameters.detach()
    first, slope = _equiv(objective, start)
    if first <= ROUNDING * torch.finfo(start.dtype).eps ** 2 * objective.values()["total"]:
        return Walk(math.nan, first, math.nan)
    at = before = start
    loss = higher = first
    for _ in range(steps):
        square = float(slope.square().sum())
        if loss <= share * first or square == 0:
            break
        before, higher = at, loss
        at = at - (loss / square) * slope
        loss, slope = _equiv(objective, at)
    if not 0 < loss <= share * first:
        return Walk(math.nan, first, loss / first if first > 0 else math.nan)
    roots = [math.sqrt(value) for value in (higher, share * first, loss)]
    part = (roots[0] - roots[1]) / (roots[0] - roots[2])  # where the last step passed the share: roots are straight
    return Walk(float((before + part * (at - before) - start).norm()), first, loss / first)


def chosen(steps: Sequence[int], count: int) -> list[int]:
    """So many of the steps, evenly spread, both ends included."""
    places = np.unique(np.linspace(0, len(steps) - 1, min(count, len(steps))).round().astype(int))
    return [steps[i] for i in places]


def _equiv(objective: Objective, at: Float[Tensor, " n"]) -> tuple[float, Float[Tensor, " n"]]:
    """The equivariance error and its gradient, in one pass."""
    at = at.detach().requires_grad_()
    value, slope = 0.0, torch.zeros_like(at)
    with differentiable():
        for chunk in objective.chunks:
            loss = objective.losses(at, chunk)["equiv"]
            value += chunk.share * loss.item()
            slope += chunk.share * gradient(loss, at)
    return value, slope.detach()

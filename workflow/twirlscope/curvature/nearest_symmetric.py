"""Distance to the nearest parameters with lower equivariance error.

L-BFGS minimises the equivariance error alone, from a checkpoint. Where the error is quadratic, its steps stay in the
span of the gradients, which contains no direction without curvature. So it reaches the nearest parameters without
error.

Every descent stops at the same share of its initial error. Where the error is quadratic, this is the same share of the
distance, so an exponent fitted over checkpoints does not depend on it. Samples and rotations are fixed. The parameters
found are more symmetric on these, and the true distance is larger.

Source: D. C. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical
Programming 45, 503 (1989).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from .._typing import Array, Float, Mapping, Sequence, Tensor
from ..errors import Deferred
from ..runtime.precision import differentiable
from ..runtime.progress import inside
from .objective import Objective, gradient

optimize = Deferred("scipy.optimize")
MEMORY = 20  # steps that L-BFGS remembers
ROUNDING = 1e3  # in squared rounding errors of the predictions: a smaller equivariance error is not minimised


@dataclass(frozen=True)
class Descent:
    """Descent from a checkpoint to parameters with lower equivariance error.

    distance: Euclidean, over all trained parameters; NaN if the share was not reached or there is no error.
    loss_equiv: equivariance error at the start.
    share_left: equivariance error at the end, over that at the start.
    """

    distance: float
    loss_equiv: float
    share_left: float


def descend(objective: Objective, share: float, steps: int) -> Descent:
    """Reduces the equivariance error to `share` of its initial value, with at most `steps` gradients."""
    start = objective.parameters.detach()
    first, slope = _equiv(objective, start)
    length = float(slope.norm())
    if first <= ROUNDING * torch.finfo(start.dtype).eps ** 2 * objective.values()["total"] or length == 0:
        return Descent(math.nan, first, math.nan)
    unit = first / length  # distance to zero error along the gradient, if the error were linear
    path = [(first, np.zeros(len(start)))]

    def scaled(moved: Float[Array, " n"]) -> tuple[float, Float[Array, " n"]]:
        loss, slope = _equiv(objective, start + unit * torch.as_tensor(moved).to(start))
        return loss / first, slope.double().cpu().numpy() * unit / first

    def accepted(intermediate_result: optimize.OptimizeResult) -> None:
        path.append((intermediate_result.fun * first, unit * intermediate_result.x.copy()))
        inside(len(path), steps, f"search, step {len(path)} of at most {steps}")
        if intermediate_result.fun <= share:
            raise StopIteration

    limits = {"maxfun": steps, "maxiter": steps, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0}
    optimize.minimize(scaled, path[0][1], jac=True, method="L-BFGS-B", callback=accepted, options=limits)
    loss, at = path[-1]
    if not 0 <= loss <= share * first:
        return Descent(math.nan, first, loss / first)
    higher, before = path[-2]
    roots = [math.sqrt(value) for value in (higher, share * first, loss)]
    # part of the last step after which the error is at its target; the root of the error is linear in the step
    part = (roots[0] - roots[1]) / (roots[0] - roots[2])
    return Descent(float(np.linalg.norm(before + part * (at - before))), first, loss / first)


def _equiv(objective: Objective, at: Float[Tensor, " n"]) -> tuple[float, Float[Tensor, " n"]]:
    """Equivariance error and its gradient, from one pass."""
    at = at.detach().requires_grad_()
    value, slope = 0.0, torch.zeros_like(at)
    with differentiable():
        for chunk in objective.chunks:
            loss = objective.losses(at, chunk)["equiv"]
            value += chunk.share * loss.item()
            slope += chunk.share * gradient(loss, at)
    return value, slope.detach()


def columns(descents: Mapping[int, Descent], steps: Sequence[int]) -> dict[str, tuple[str, Array]]:
    """Variables of a dataset with the descents by step; NaN at steps without a descent."""
    none = Descent(math.nan, math.nan, math.nan)
    rows = np.array([[*vars(descents.get(step, none)).values()] for step in steps])
    names = ("nearest_distance", "nearest_loss_equiv", "nearest_left")
    return {name: ("step", column) for name, column in zip(names, rows.T, strict=True)}

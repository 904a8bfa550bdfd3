"""How far the nearest more symmetric parameters are: the equivariance error alone is brought down from a checkpoint.

By L-BFGS: where the error is quadratic, its steps from the checkpoint stay in the span of the gradients, which holds no
direction without curvature, so that they lead to the nearest parameters without error and to no others.

Every walk stops when the same share of its first error is left. Where the error is quadratic, that is the same share of
the distance, so an exponent fitted over checkpoints does not depend on it. The samples and rotations are fixed: the
parameters that are found are more symmetric on these, and the true distance is larger.

Source: D. C. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical
Programming 45, 503 (1989).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize

from .._typing import Array, Float, Mapping, Sequence, Tensor
from ..runtime.precision import differentiable
from .objective import Objective, gradient

MEMORY = 20  # of the last steps
ROUNDING = 1e3  # squared rounding errors of the predictions: an equivariance error below is nothing to bring down


@dataclass(frozen=True)
class Descent:
    """From a checkpoint to parameters with less equivariance error.

    distance: Euclidean, of all trained parameters; NaN where the share was not reached, or there is no error.
    loss_equiv: where it began.
    share_left: share of it that was left at the end.
    """

    distance: float
    loss_equiv: float
    share_left: float


def descend(objective: Objective, share: float, steps: int) -> Descent:
    """Bring the equivariance error down to `share` of what it is, with `steps` gradients at most."""
    start = objective.parameters.detach()
    first, slope = _equiv(objective, start)
    length = float(slope.norm())
    if first <= ROUNDING * torch.finfo(start.dtype).eps ** 2 * objective.values()["total"] or length == 0:
        return Descent(math.nan, first, math.nan)
    unit = first / length  # the distance if the error were a straight line
    passed = [(first, np.zeros(len(start)))]

    def scaled(moved: Float[Array, " n"]) -> tuple[float, Float[Array, " n"]]:
        loss, slope = _equiv(objective, start + unit * torch.as_tensor(moved).to(start))
        return loss / first, slope.double().cpu().numpy() * unit / first

    def accepted(intermediate_result: optimize.OptimizeResult) -> None:
        passed.append((intermediate_result.fun * first, unit * intermediate_result.x.copy()))
        if intermediate_result.fun <= share:
            raise StopIteration

    limits = {"maxfun": steps, "maxiter": steps, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0}
    optimize.minimize(scaled, passed[0][1], jac=True, method="L-BFGS-B", callback=accepted, options=limits)
    loss, at = passed[-1]
    if not 0 <= loss <= share * first:
        return Descent(math.nan, first, loss / first)
    higher, before = passed[-2]
    roots = [math.sqrt(value) for value in (higher, share * first, loss)]
    part = (roots[0] - roots[1]) / (roots[0] - roots[2])  # where the last step passed the share: roots are straight
    return Descent(float(np.linalg.norm(before + part * (at - before))), first, loss / first)


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


def columns(descents: Mapping[int, Descent], steps: Sequence[int]) -> dict[str, tuple[str, Array]]:
    """The descents by step, as variables of a dataset; NaN at steps without one."""
    none = Descent(math.nan, math.nan, math.nan)
    rows = np.array([[*vars(descents.get(step, none)).values()] for step in steps])
    names = ("nearest_distance", "nearest_loss_equiv", "nearest_left")
    return {name: ("step", column) for name, column in zip(names, rows.T, strict=True)}

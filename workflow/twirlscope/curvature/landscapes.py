"""Losses on a plane through a checkpoint, on common and on independent draws of samples and rotations.

The plane is spanned by the eigenvectors of the Hessian of the total loss with the largest and the smallest positive
eigenvalue. Common draws are the same samples and rotations at every point, so that differences between points are those
of the parameters. Independent draws are new ones at every point, whose noise is no shape of the loss.

Source: Li et al., Visualizing the Loss Landscape of Neural Nets, arXiv:1712.09913, for planes through a minimum.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from .._typing import Array, Float, Tensor
from ..errors import UserError
from ..estimators.curvature.landscapes import ROUGHNESS
from ..geometry.rotation_sets import sample_rotations
from ..losses import balanced
from ..runtime.progress import counted
from .objective import Objective
from .problem import Problem

DRAWS = ("common", "independent")
DIRECTIONS = ("largest", "smallest positive")

Arrays = dict[str, tuple[str, Array]]  # by name: dimensions and values


def landscape_arrays(model: torch.nn.Module, problem: Problem, hessian: Float[Tensor, "n n"], error: float) -> Arrays:
    """Stored arrays of the landscapes of one checkpoint.

    Args:
        hessian: of the total loss.
        error: rounding error of its eigenvalues.

    Raises:
        UserError: no eigenvalue is positive.
    """
    value, plane = _plane(hessian, error)
    objective = problem.objective(model)
    rise = problem.settings.landscape_rise * objective.values()["total"]
    points = problem.settings.landscape
    shift = np.linspace(-1, 1, points) * math.sqrt(2 * rise / value[0])
    loss = np.stack([plane_losses(objective, problem, plane, shift, draws) for draws in counted(DRAWS, "plane")])
    found: Arrays = {
        "landscape_loss": ("draws part point_largest point_smallest", loss),
        "landscape_shift": ("point", shift),
        "landscape_eigenvalue": ("direction", value),
    }
    for name, measure in ROUGHNESS.items():
        each = [[measure(one, shift) for one in parts] for parts in loss]
        found[f"landscape_{name}"] = ("draws part", np.array(each))
    return found


def no_landscape(problem: Problem) -> Arrays:
    """The same arrays for a checkpoint without landscapes: NaN."""
    points, parts = problem.settings.landscape, len(problem.parts)
    found: Arrays = {
        "landscape_loss": (
            "draws part point_largest point_smallest",
            np.full((len(DRAWS), parts, points, points), np.nan),
        ),
        "landscape_shift": ("point", np.full(points, np.nan)),
        "landscape_eigenvalue": ("direction", np.full(len(DIRECTIONS), np.nan)),
    }
    return found | {f"landscape_{n}": ("draws part", np.full((len(DRAWS), parts), np.nan)) for n in ROUGHNESS}


def _plane(hessian: Float[Tensor, "n n"], error: float) -> tuple[Float[Array, " direction"], Float[Tensor, "n 2"]]:
    """Largest and smallest positive eigenvalue and their eigenvectors."""
    value, vector = torch.linalg.eigh((hessian + hessian.T) / 2)
    positive = torch.nonzero(value > error)[:, 0].tolist()
    if len(positive) < 2:
        raise UserError("hessian.landscape", "two or more positive eigenvalues of the Hessian", len(positive))
    chosen = [positive[-1], positive[0]]
    return value[chosen].numpy(), vector[:, chosen]


def plane_losses(
    objective: Objective, problem: Problem, plane: Float[Tensor, "n 2"], shift: Float[Array, " point"], draws: str
) -> Float[Array, "part point point"]:
    """Loss of every part at all points of the plane.

    Args:
        objective: the loss on the samples of the problem.
        plane: orthonormal directions.
        shift: coordinates along both.
        draws: one of `DRAWS`.
    """
    at, plane = objective.parameters.detach(), plane.to(objective.parameters)
    found = np.empty((len(problem.parts), len(shift), len(shift)))
    for i, j in counted(list(np.ndindex(found.shape[1:])), "point of the plane"):
        moved = at + shift[i] * plane[:, 0] + shift[j] * plane[:, 1]
        point = objective if draws == "common" else _redrawn(objective, problem, i * len(shift) + j)
        values = point.values(moved)
        found[:, i, j] = [values[p] for p in problem.parts]
    return found


def _redrawn(objective: Objective, problem: Problem, point: int) -> Objective:
    """The loss on as many new samples of the split, in new rotations; its draws are those of this point."""
    settings, count = problem.settings, len(problem.batch)
    random = np.random.default_rng([settings.seed, point])
    index = np.sort(random.choice(problem.split, count, replace=False))
    seed = int(random.integers(2**31))
    quaternion = sample_rotations(settings.rotation_set, count, settings.rotations, seed, problem.task.group)
    return objective.on(balanced(problem.task.batch(index)), quaternion)

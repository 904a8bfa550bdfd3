"""Certificate that the gradients of all parts of the loss are right, by finite differences in float64."""

from __future__ import annotations

import math

import torch

from .._typing import Callable, Float, Tensor
from ..errors import UserError
from .objective import PARTS, Objective, rademacher

FIRST = 1e-4  # largest relative error: kinks (ReLU) reach 1e-5, missing parts of a graph are above 1e-2
FLOOR = 1e-3  # errors are relative to the product of the part, or to this share of the total product if that is larger
STEPS = (1e-5, 1e-6, 1e-4)  # of the differences, tried in turn: the best one depends on the model
SAFE = 0.1  # a step with an error below this share of the tolerance is good enough
DIRECTIONS = 3  # some wrong derivatives are right on the first call
CERTIFIED = (*PARTS, "mean_plugin")


def certify_gradient(objective: Objective, seed: int = 0, tolerance: float = FIRST) -> dict[str, float]:
    """Relative errors of the gradient of each part, against central differences of the loss in float64.

    Forces that are taken without a graph, `create_graph=self.training` and detached outputs give a gradient of 0 for a
    part of the loss, and no error. Losses that are not finite have no derivatives and are not checked.

    Args:
        objective: the loss on a few samples.
        seed: seed of the directions.
        tolerance: largest relative error allowed.

    Raises:
        UserError: an error is above the tolerance; the message names the part and what may cause it.
    """
    exact = objective.to(torch.float64)
    if not all(map(math.isfinite, exact.values().values())):
        return {}
    vectors = rademacher(len(exact.parameters), DIRECTIONS, seed).to(exact.parameters.device)
    found = gradient_errors(exact, vectors, tolerance)
    wrong = {part: error for part, error in found.items() if not error <= tolerance}
    if wrong:
        raise UserError(
            f"gradient, model {type(objective.model).__name__}",
            f"gradients within {tolerance:.0e} of central differences of the loss in float64",
            f"relative errors {', '.join(f'{e:.1e} in L_{p}' for p, e in wrong.items())}; {_cause(exact)}",
        )
    return found


def _cause(objective: Objective) -> str:
    """Text that names what may make a gradient wrong: a term without a graph, or randomness."""
    cut = objective.terms_without_graph()
    if cut:
        return (
            f"{' and '.join(cut)} of the model in evaluation mode {'have' if cut[1:] else 'has'} no graph: take forces "
            "with create_graph=torch.is_grad_enabled(), not create_graph=self.training, and detach nothing"
        )
    return "look for detach, torch.no_grad, numpy and dropout within the model, or for jumps of its predictions"


def central(function: Callable, at: Tensor, vector: Tensor, step: float) -> Tensor:
    """Derivative along a vector from five points; the truncation error is of fourth order."""
    near, far = (function(at + h * vector) - function(at - h * vector) for h in (step, 2 * step))
    return (8 * near - far) / (12 * step)


def gradient_errors(objective: Objective, vectors: Float[Tensor, "n b"], tolerance: float) -> dict[str, float]:
    """Errors of the gradients by part, relative to their length or, near a minimum, to `FLOOR` times the loss."""
    at, values = objective.parameters.detach(), objective.values()
    found = dict(zip(CERTIFIED, objective.gradients(at, CERTIFIED), strict=True))
    least = FLOOR * max(values["total"], (found["mean"] + found["equiv"]).norm().item())

    def losses(parameters: Tensor) -> Tensor:
        moved = objective.values(parameters)
        return torch.tensor([moved[p] for p in CERTIFIED], dtype=torch.float64)

    best = dict.fromkeys(CERTIFIED, math.inf)
    for step in STEPS:
        slopes = torch.stack([central(losses, at, v, step) for v in vectors.T], 1)
        for part, slope in zip(CERTIFIED, slopes, strict=True):
            off = (slope - (found[part] @ vectors).cpu()).abs().max().item()
            best[part] = min(best[part], off / max(found[part].norm().item(), least))
        if max(best.values()) < SAFE * tolerance:
            break
    return best

"""The certificate of curvature: products with the Hessians against finite differences, before any is believed.

Automatic differentiation of second and third order is silently wrong for some ordinary modules (`nn.LayerNorm` inside
a force that is itself a gradient is off by 5 to 70 %), and a wrong product may still be symmetric.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch

from .contracts import Batch, Task
from .curvature import PARTS, HessianOperator, Objective
from .errors import UserError
from .hints import Float, Tensor
from .lanczos import rademacher

TOLERANCE = 1e-6  # relative; right products reach 1e-8 to 1e-11, wrong ones seen were above 1e-2
FLOOR = 1e-3  # a part's error is relative to its own product, but to no less than this share of the total one
STEPS = (1e-5, 1e-6, 1e-4)  # of the differences, tried in turn: truncation and rounding depend on the model
SAFE = 0.1  # a step that meets this share of the tolerance is good enough
DIRECTIONS = 3  # wrong derivatives have been seen that were right on the first call
SUSPECTS = (
    torch.nn.LayerNorm,
    torch.nn.GroupNorm,
    torch.nn.MultiheadAttention,
    torch.nn.TransformerEncoderLayer,
    torch.nn.ReLU,
    torch.jit.ScriptModule,
)

Products = dict[str, Tensor]  # by part


@dataclass(frozen=True)
class Certificate:
    """How far products with the Hessians are from what they should be; all relative.

    error: by part, float64 products against central differences of the gradient; the largest of several directions.
    symmetry: by part, |u'Hv - v'Hu|.
    split: of H_mean v + H_equiv v against H_total v.
    precision: by part, products in the working precision against float64.
    """

    error: dict[str, float]
    symmetry: dict[str, float]
    split: float
    precision: dict[str, float]


def certify(
    model: torch.nn.Module,
    task: Task,
    batch: Batch,
    quaternion: Float[Tensor, "sample rotation 4"],
    *,
    dtype: torch.dtype = torch.float32,
    unbiased: bool = False,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> Certificate:
    """The evidence that products with both Hessians of this model are right, on these samples.

    Every error is relative to the product itself, or to a thousandth of the product with the Hessian of the total loss
    where that is more: an equivariant model has no H_equiv to be relative to.

    Raises:
        UserError: an error in float64 above the tolerance; the message names modules known to have wrong derivatives.
    """
    exact = Objective(copy.deepcopy(model).double(), task, batch, quaternion, unbiased=unbiased)
    vectors = rademacher(len(exact.parameters), DIRECTIONS, seed).to(exact.parameters.device)
    products = {}
    for part in (*PARTS, "total"):
        operator = HessianOperator(exact, part)
        products[part] = torch.cat([operator(v) for v in vectors.split(1, 1)], 1)  # one at a time: several calls
    scale = {p: torch.maximum(products[p].norm(dim=0), FLOOR * products["total"].norm(dim=0)) for p in products}
    error = _difference_errors(exact, vectors, products, scale, tolerance)
    overlap = {p: vectors.T @ products[p] for p in PARTS}
    symmetry = {p: _worst(overlap[p] - overlap[p].T, scale[p] * vectors[:, 0].norm()) for p in PARTS}
    split = _worst(products["mean"] + products["equiv"] - products["total"], scale["total"])
    if not all(e <= tolerance for e in (*error.values(), *symmetry.values(), split)):
        raise _failure(model, error, symmetry, split, tolerance)
    working, precision = Objective(copy.deepcopy(model).to(dtype), task, batch, quaternion, unbiased=unbiased), {}
    for part in PARTS:
        rounded = HessianOperator(working, part)(vectors[:, :1])
        precision[part] = _worst(rounded - products[part][:, :1], scale[part][:1])
    return Certificate(error, symmetry, split, precision)


def _worst(difference: Float[Tensor, "n b"], scale: Float[Tensor, " b"]) -> float:
    """The largest length of a column over its scale; 0 where both are 0."""
    return (difference.norm(dim=0) / scale.clamp_min(torch.finfo(scale.dtype).tiny)).max().item()


def _difference_errors(
    objective: Objective, vectors: Float[Tensor, "n b"], products: Products, scale: Products, tolerance: float
) -> dict[str, float]:
    """Error of the products by part, the largest over directions; a direction counts with its best step."""
    at, best = objective.parameters.detach(), torch.full((len(PARTS), vectors.shape[1]), math.inf)
    for j, vector in enumerate(vectors.T):
        for step in STEPS:
            near, far = (
                objective.gradients(at + h * vector) - objective.gradients(at - h * vector) for h in (step, 2 * step)
            )
            for i, part in enumerate(PARTS):  # five points: what is left of the truncation is of fourth order
                distance = (8 * near[i] - far[i]) / (12 * step) - products[part][:, j]
                best[i, j] = min(best[i, j], _worst(distance[:, None], scale[part][j : j + 1]))
            if (best[:, j] < SAFE * tolerance).all():
                break
    return dict(zip(PARTS, best.max(1).values.tolist(), strict=True))


def suspects(model: torch.nn.Module) -> list[str]:
    """Modules of classes whose higher derivatives have been seen wrong, or that have kinks, as `name (class)`."""
    return [f"{n} ({type(m).__name__})" for n, m in model.named_modules() if isinstance(m, SUSPECTS)]


def _failure(model: torch.nn.Module, error: dict, symmetry: dict, split: float, tolerance: float) -> UserError:
    numbers = [f"{e:.1e} in L_{p} (symmetry {symmetry[p]:.1e})" for p, e in error.items()]
    found = suspects(model)
    named = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
    advice = f"suspect modules: {named or 'none by class; look for torch.nn.functional.layer_norm and kinks'}"
    return UserError(
        f"hessian, model {type(model).__name__}",
        f"Hessian-vector products within {tolerance:.0e} of central differences of the gradient",
        f"relative errors {', '.join(numbers)}, split {split:.1e}; automatic differentiation is wrong here; {advice}",
    )

"""Certificate that products with the curvature are right: a comparison with finite differences in float64.

Automatic differentiation of second and third order is silently wrong for some ordinary modules: `nn.LayerNorm` inside
a force that is itself a gradient is off by 5 to 70 %. A wrong product may still be symmetric.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch

from .._typing import Callable, Float, Tensor
from ..errors import UserError
from ..runtime.precision import differentiable
from .gradient_check import CERTIFIED, DIRECTIONS, FLOOR, SAFE, STEPS, central, gradient_errors
from .objective import PARTS, Objective, gradient, rademacher
from .operators import operator
from .unsafe_modules import unsafe_modules

TOLERANCE = 1e-6  # relative; right products reach 1e-8 to 1e-11, known wrong ones are above 1e-2

Products = dict[str, Tensor]  # by part


@dataclass(frozen=True)
class Certificate:
    """Relative errors of gradients and of products with the curvature.

    gradient: by part, of first derivatives along the directions against central differences of the loss.
    error: by part, of float64 products with the Hessian against central differences of the gradient; the largest of
        several directions.
    gauss_newton: by part, of products with the Gauss-Newton matrix against J^T Q (J v), J v from central differences.
    symmetry: by part, |u'Av - v'Au|, the larger of both matrices.
    split: of A_mean v + A_equiv v against A_total v, the larger of both matrices.
    precision: by part, of products with the Hessian in the working precision against float64.
    mode: mode of the products.
    """

    gradient: dict[str, float]
    error: dict[str, float]
    gauss_newton: dict[str, float]
    symmetry: dict[str, float]
    split: float
    precision: dict[str, float]
    mode: str


def certify(
    objective: Objective,
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    mode: str = "auto",
    factory: Callable = operator,
) -> Certificate:
    """Certificate for products with the curvature of an objective in this mode.

    Errors are relative to the product itself, or to a thousandth of the product with the total loss if that is larger.
    H_equiv of an equivariant model is 0 and cannot be the scale.

    Args:
        objective: the loss on a few samples.
        dtype: dtype of the products that the certificate is for.
        seed: seed of the directions.
        tolerance: largest relative error allowed in float64.
        mode: mode of the products; `auto` is the choice of `operators.operator` for these samples.
        factory: creates the operators to check, called like `operators.operator`.

    Raises:
        UserError: an error in float64 is above the tolerance; the message names modules with unreliable derivatives.
    """
    exact = objective.to(torch.float64)
    vectors = rademacher(len(exact.parameters), DIRECTIONS, seed).to(exact.parameters.device)
    mode = getattr(factory(exact, PARTS[0], mode=mode), "mode", mode)  # the choice of `auto`
    makes = {c: functools.partial(factory, curvature=c, mode=mode) for c in REFERENCES}
    found = {c: _check(make, exact, vectors, c, tolerance) for c, make in makes.items()}
    slope = gradient_errors(exact, vectors, tolerance)
    if not all(e <= tolerance for e in (*slope.values(), *(check.largest() for check in found.values()))):
        raise _wrong_products(exact, mode, found, slope, tolerance)
    first, second = found["hessian"], found["gauss_newton"]
    symmetry = {p: max(first.symmetry[p], second.symmetry[p]) for p in CERTIFIED}
    working, precision = objective.to(dtype), {}
    for part in CERTIFIED:
        rounded = factory(working, part, curvature="hessian", mode=mode)(vectors[:, :1])
        precision[part] = _worst(rounded - first.products[part][:, :1], first.scale[part][:1])
    return Certificate(slope, first.error, second.error, symmetry, max(first.split, second.split), precision, mode)


@dataclass(frozen=True)
class _Check:
    """Products with one matrix by part, their errors as in `Certificate`, and the `scale` of relative errors."""

    products: Products
    scale: Products
    error: dict[str, float]
    symmetry: dict[str, float]
    split: float

    def largest(self) -> float:
        """Largest of all errors; NaN counts as infinite."""
        errors = (*self.error.values(), *self.symmetry.values(), self.split)
        return max(math.inf if math.isnan(e) else e for e in errors)


def _check(
    make: Callable, objective: Objective, vectors: Float[Tensor, "n b"], curvature: str, tolerance: float
) -> _Check:
    """Products of the operators from `make(objective, part)` and their errors; one call per column."""
    products = {}
    for part in (*CERTIFIED, "total"):
        multiply = make(objective, part)
        products[part] = torch.cat([multiply(v) for v in vectors.split(1, 1)], 1)
    scale = {p: torch.maximum(v.norm(dim=0), FLOOR * products["total"].norm(dim=0)) for p, v in products.items()}
    expected = functools.partial(REFERENCES[curvature], objective)
    error = _errors(products, vectors, expected, scale, tolerance)
    overlap = {p: vectors.T @ products[p] for p in CERTIFIED}
    symmetry = {p: _worst(overlap[p] - overlap[p].T, scale[p] * vectors[:, 0].norm()) for p in CERTIFIED}
    split = _worst(products["mean"] + products["equiv"] - products["total"], scale["total"])
    return _Check(products, scale, error, symmetry, split)


def _worst(difference: Float[Tensor, "n b"], scale: Float[Tensor, " b"]) -> float:
    """Largest length of a column over its scale; 0 if both are 0."""
    return (difference.norm(dim=0) / scale.clamp_min(torch.finfo(scale.dtype).tiny)).max().item()


def _errors(
    products: Products, vectors: Float[Tensor, "n b"], expected: Callable, scale: Products, tolerance: float
) -> dict[str, float]:
    """Error of the products by part: the largest over directions, each with its best step."""
    best = torch.full((len(CERTIFIED), vectors.shape[1]), math.inf)
    for j, vector in enumerate(vectors.T):
        for step in STEPS:
            for i, (part, product) in enumerate(zip(CERTIFIED, expected(vector, step), strict=True)):
                distance = product - products[part][:, j]
                best[i, j] = min(best[i, j], _worst(distance[:, None], scale[part][j : j + 1]))
            if (best[:, j] < SAFE * tolerance).all():
                break
    return dict(zip(CERTIFIED, best.max(1).values.tolist(), strict=True))


def _gradients(objective: Objective, vector: Float[Tensor, " n"], step: float) -> Float[Tensor, "part n"]:
    """Reference products with the Hessians, from differences of gradients."""
    return central(lambda p: objective.gradients(p, CERTIFIED), objective.parameters.detach(), vector, step)


def _gauss_newton(objective: Objective, vector: Float[Tensor, " n"], step: float) -> Float[Tensor, "part n"]:
    """Reference products with the Gauss-Newton matrices, from differences of predictions."""
    parameters = objective.parameters
    total = vector.new_zeros(len(CERTIFIED), len(vector))
    with differentiable():
        for chunk in objective.chunks:
            twisted = lambda p, c=chunk: objective.twisted(p, c).detach()  # noqa: E731
            Jv = central(twisted, parameters.detach(), vector, step)
            z = objective.twisted(parameters, chunk)
            for row, part in zip(total, CERTIFIED, strict=True):
                QJv = objective.output_hessian_product(Jv, chunk, part)
                row += chunk.share * gradient(z, parameters, QJv, retain_graph=True)
    return total


REFERENCES = {"hessian": _gradients, "gauss_newton": _gauss_newton}  # by curvature: products by finite differences


def _wrong_products(
    objective: Objective, mode: str, found: dict[str, _Check], slope: dict[str, float], tolerance: float
) -> UserError:
    """Error for wrong products, with the relative errors and the modules that may cause them."""
    words = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton"}
    numbers = [
        f"{c.error[p]:.1e} in {words[k]} of L_{p} (symmetry {c.symmetry[p]:.1e})"
        for k, c in found.items()
        for p in CERTIFIED
    ]
    numbers.append(f"{max(slope.values()):.1e} in the gradient")
    named = unsafe_modules(objective.model, objective.chunks[0].first_sample().inputs)
    names = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
    remedy = "; use twirlscope.LayerNorm" if "layer_norm" in names else ""
    remedy += "; or mode 'difference', which needs a right gradient only" if mode != "difference" else ""
    return UserError(
        f"hessian, model {type(objective.model).__name__}",
        f"products with the curvature within {tolerance:.0e} of central differences of first derivatives",
        f"relative errors {', '.join(numbers)}, split {max(c.split for c in found.values()):.1e}; automatic "
        f"differentiation in mode {mode!r} is wrong here; unreliable modules: {names or 'none known'}{remedy}",
    )

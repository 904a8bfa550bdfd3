"""What a run of products knows of the eigenvalues of an operator: nodes, weights, residual bounds, a density.

Nothing here knows how the nodes came about (`lanczos`) or what they say of the loss (`condition`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._typing import Array, Bool, Float
from .bootstrap import standard_error

CONVERGED = 1e-3  # a Ritz value is an eigenvalue where its residual bound is below this share of it


@dataclass(frozen=True)
class Spectrum:
    """Nodes of the spectral measure of an operator, with their weights. Nodes ascend.

    Only values that have `converged` are eigenvalues; the others are nodes of a quadrature and mean something only
    together with their weights.

    Args:
        value: the Ritz values.
        error: residual bound of each: some eigenvalue lies within it. It cannot say that none was missed.
        weight: share of each probe at each Ritz value; sums to 1, and `weight @ value` is v'Av / v'v of the probes.
        size: n, the dimension of the operator.
        complete: the whole space was spanned: the values are all eigenvalues, with their multiplicity.
        rest: estimates of the trace outside the basis, one a fresh probe; empty if not asked for.
        half: the same run stopped at half its depth, free of cost: what still changes has not converged. None if there
            was a single step, or if the whole space was spanned.
    """

    value: Float[Array, " ritz"]
    error: Float[Array, " ritz"]
    weight: Float[Array, "probe ritz"]
    size: int
    complete: bool
    rest: Float[Array, " fresh"]
    half: Spectrum | None = None

    def top(self, count: int) -> tuple[Float[Array, " rank"], Float[Array, " rank"]]:
        """The largest values, descending, and their errors; NaN where there are fewer than `count`."""
        return _padded(self.value[::-1], count), _padded(self.error[::-1], count)

    def bottom(self, count: int) -> tuple[Float[Array, " rank"], Float[Array, " rank"]]:
        """The smallest values, ascending, and their errors; NaN where there are fewer than `count`."""
        return _padded(self.value, count), _padded(self.error, count)

    @cached_property
    def converged(self) -> Bool[Array, " ritz"]:
        """Which of the values are eigenvalues, to `CONVERGED` of themselves."""
        return converged(self.value, self.error)

    @cached_property
    def deflated(self) -> Float[Array, "probe ritz"]:
        """Better weights: a converged value is known to be one eigenvalue, so it weighs 1/n for every probe.

        What a probe has left is scaled to weigh the rest of the space. A run with b probes sees at most b copies of
        an eigenvalue: values that coincide b times, and weigh clearly more than b eigenvalues would, may be more than
        these and keep their weights.
        """
        if self.complete:
            return np.full_like(self.weight, 1 / self.size)
        single = self.converged & ~self._manifold()
        left = self.weight[:, ~single].sum(1, keepdims=True)
        if not (left > 0).all():
            return self.weight
        rest = (self.size - single.sum()) / self.size
        return np.where(single, 1 / self.size, self.weight * rest / left)

    def _manifold(self) -> Bool[Array, " ritz"]:
        """Values of groups that may stand for more eigenvalues than there are values in the group."""
        found, probes = np.zeros(len(self.value), bool), len(self.weight)
        apart = np.diff(self.value) > self.error[1:] + self.error[:-1]
        group = np.concatenate([[0], np.cumsum(apart)])
        for name in np.flatnonzero(np.bincount(group) >= probes):
            members = group == name
            count = members.sum()
            seen = self.size * self.weight[:, members].sum() / probes
            found[members] = seen > count + 2 * math.sqrt(2 * count / probes)  # two standard errors of the estimate
        return found

    def trace(self) -> tuple[float, float]:
        """The trace and its standard error over probes: NaN for a single probe, rounding when `complete`.

        With fresh probes: exact on the basis, estimated outside it; else from the quadrature, far less certain where a
        few eigenvalues are large. With P probes the error itself is known to 1 / sqrt(2 (P - 1)) only.

        Source: Meyer, Musco, Musco, Woodruff, Hutch++, arXiv:2010.09649; Chen and Hallman, arXiv:2205.01736.
        """
        if self.complete:
            return float(self.value.sum()), float(np.sqrt((self.error**2).sum()))
        each = self.value.sum() + self.rest if len(self.rest) else self.size * (self.weight @ self.value)
        return float(each.mean()), float(standard_error(each))


def converged(value: Float[Array, "*d"], error: Float[Array, "*d"]) -> Bool[Array, "*d"]:
    """Whether a Ritz value is an eigenvalue, to `CONVERGED` of itself; a value of zero never is."""
    return error < CONVERGED * np.abs(value)


def _padded(values: Array, count: int) -> Array:
    values = values[:count]
    return np.concatenate([values, np.full(count - len(values), np.nan)])


def symlog_grid(limit: float, linear: float, points: int = 201) -> Float[Array, " grid"]:
    """Eigenvalues from -limit to limit, even in asinh(lambda / linear): logarithmic, but linear below `linear`."""
    end = np.arcsinh(limit / linear)
    return linear * np.sinh(np.linspace(-end, end, points))


def density(
    ritz_value: Float[Array, " ritz"],
    ritz_weight: Float[Array, "ritz probe"],
    grid: Float[Array, " grid"],
    width: float,
    linear: float,
) -> Float[Array, "grid probe"]:
    """Spectral density of each probe, a share of the parameters per unit of asinh(lambda / linear).

    Its integral over asinh(grid / linear), not over the grid, is 1. A density per unit of lambda would hide all but the
    null space. Ritz values that are NaN (padding of a store) count nothing.

    Args:
        ritz_value: nodes.
        ritz_weight: their weights, a column a probe.
        grid: eigenvalues to evaluate at, see `symlog_grid`.
        width: standard deviation of the Gaussian put on each node, in units of asinh(lambda / linear).
        linear: size of an eigenvalue below which the axis is linear.
    """
    real = np.isfinite(ritz_value)
    distance = np.arcsinh(grid / linear)[:, None] - np.arcsinh(ritz_value[real] / linear)
    kernel = np.exp(-0.5 * (distance / width) ** 2) / (width * math.sqrt(2 * math.pi))
    return kernel @ ritz_weight[real]

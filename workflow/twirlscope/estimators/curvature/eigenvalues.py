"""Ritz values, quadrature weights and residual bounds of a Lanczos run, and the spectral density from them.

`curvature.lanczos` computes them; `condition_numbers` derives condition numbers and ranks from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..._typing import Array, Bool, Float
from ..bootstrap import standard_error

CONVERGED = 1e-3  # a Ritz value is an eigenvalue if its residual bound is below this share of it


@dataclass(frozen=True)
class Spectrum:
    """Nodes of the spectral measure of an operator, ascending, with their weights.

    Only values that have `converged` are eigenvalues. The others are nodes of a quadrature, to be used only together
    with their weights.

    Args:
        value: the Ritz values.
        error: residual bound of each value: some eigenvalue lies within it. Other eigenvalues may have been missed.
        weight: share of each probe at each Ritz value; sums to 1, and `weight @ value` is v'Av / v'v of the probes.
        size: n, the dimension of the operator.
        complete: True if the basis spans the whole space: the values are all eigenvalues, with their multiplicity.
        rest: estimates of the trace outside the basis, one per fresh probe; empty if there are none.
        half: the same run at half its depth, from the same products; numbers that differ have not converged. None if
            the run had a single step, or if the basis spans the whole space.
        most: the same at three quarters of its depth.
    """

    value: Float[Array, " ritz"]
    error: Float[Array, " ritz"]
    weight: Float[Array, "probe ritz"]
    size: int
    complete: bool
    rest: Float[Array, " fresh"]
    half: Spectrum | None = None
    most: Spectrum | None = None

    def top(self, count: int) -> tuple[Float[Array, " rank"], Float[Array, " rank"]]:
        """The largest values, descending, and their errors, padded with NaN to `count`."""
        return _padded(self.value[::-1], count), _padded(self.error[::-1], count)

    def bottom(self, count: int) -> tuple[Float[Array, " rank"], Float[Array, " rank"]]:
        """The smallest values, ascending, and their errors, padded with NaN to `count`."""
        return _padded(self.value, count), _padded(self.error, count)

    @cached_property
    def converged(self) -> Bool[Array, " ritz"]:
        """True for each value that is an eigenvalue, to the share `CONVERGED` of itself."""
        return converged(self.value, self.error)

    @cached_property
    def deflated(self) -> Float[Array, "probe ritz"]:
        """More accurate weights: a converged value is one eigenvalue, so its weight is 1/n for every probe.

        The other weights of a probe are scaled so that all sum to 1. A run with b probes finds at most b copies of an
        eigenvalue. If b values coincide and weigh clearly more than b eigenvalues would, they may stand for more
        eigenvalues and keep their weights.
        """
        if self.complete:
            return np.full_like(self.weight, 1 / self.size)
        single = self.converged & ~self._in_larger_multiplet()
        left = self.weight[:, ~single].sum(1, keepdims=True)
        if not (left > 0).all():
            return self.weight
        rest = (self.size - single.sum()) / self.size
        return np.where(single, 1 / self.size, self.weight * rest / left)

    def _in_larger_multiplet(self) -> Bool[Array, " ritz"]:
        """True for values of a group that may stand for more eigenvalues than the group has values."""
        larger, probes = np.zeros(len(self.value), bool), len(self.weight)
        apart = np.diff(self.value) > self.error[1:] + self.error[:-1]
        group = np.concatenate([[0], np.cumsum(apart)])
        for number in np.flatnonzero(np.bincount(group) >= probes):
            members = group == number
            count = members.sum()
            weight = self.size * self.weight[:, members].sum() / probes
            larger[members] = weight > count + 2 * math.sqrt(2 * count / probes)  # two standard errors of the estimate
        return larger

    def trace(self) -> tuple[float, float]:
        """The trace and its standard error over probes: NaN for a single probe, only rounding if `complete`.

        With fresh probes the trace is exact on the basis and estimated outside it. Without them it comes from the
        quadrature, which is far less accurate if a few eigenvalues are large. The relative uncertainty of the error
        itself is 1 / sqrt(2 (P - 1)) for P probes.

        Source: Meyer, Musco, Musco, Woodruff, Hutch++, arXiv:2010.09649; Chen and Hallman, arXiv:2205.01736.
        """
        if self.complete:
            return float(self.value.sum()), float(np.sqrt((self.error**2).sum()))
        each = self.value.sum() + self.rest if len(self.rest) else self.size * (self.weight @ self.value)
        return float(each.mean()), float(standard_error(each))


def converged(value: Float[Array, "*d"], error: Float[Array, "*d"]) -> Bool[Array, "*d"]:
    """True if a Ritz value is an eigenvalue, to the share `CONVERGED` of itself; never for a value of zero."""
    return error < CONVERGED * np.abs(value)


def _padded(values: Array, count: int) -> Array:
    """The first `count` values, padded with NaN."""
    values = values[:count]
    return np.concatenate([values, np.full(count - len(values), np.nan)])


def symlog_grid(limit: float, linear: float, points: int = 201) -> Float[Array, " grid"]:
    """Values from -limit to limit, evenly spaced in asinh(lambda / linear): logarithmic, but linear below `linear`."""
    end = np.arcsinh(limit / linear)
    return linear * np.sinh(np.linspace(-end, end, points))


def density(
    ritz_value: Float[Array, " ritz"],
    ritz_weight: Float[Array, "ritz probe"],
    grid: Float[Array, " grid"],
    width: float,
    linear: float,
) -> Float[Array, "grid probe"]:
    """Spectral density of each probe: the share of the parameters per unit of asinh(lambda / linear).

    Its integral over asinh(grid / linear), not over the grid, is 1. A density per unit of lambda would show little
    besides the null space. Ritz values that are NaN (padding of a store) are ignored.

    Args:
        ritz_value: nodes.
        ritz_weight: their weights, one column per probe.
        grid: eigenvalues to evaluate at, see `symlog_grid`.
        width: standard deviation of the Gaussian around each node, in units of asinh(lambda / linear).
        linear: magnitude of an eigenvalue below which the axis is linear.
    """
    real = np.isfinite(ritz_value)
    distance = np.arcsinh(grid / linear)[:, None] - np.arcsinh(ritz_value[real] / linear)
    kernel = np.exp(-0.5 * (distance / width) ** 2) / (width * math.sqrt(2 * math.pi))
    return kernel @ ritz_weight[real]

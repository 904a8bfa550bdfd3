"""Condition numbers and the rank of a matrix whose eigenvalues are all known, zeros being those up to rounding.

Nodes of a quadrature have no smallest and no median eigenvalue.
"""

from __future__ import annotations

import numpy as np

from ..._typing import Array, Float


def smallest_condition(value: Float[Array, " eigenvalue"], count: Float[Array, " eigenvalue"]) -> float:
    """Largest magnitude over the smallest that is not zero."""
    magnitude = np.abs(value[count * value != 0])
    return float(magnitude.max() / magnitude.min())


def median_condition(value: Float[Array, " eigenvalue"], count: Float[Array, " eigenvalue"]) -> float:
    """Largest magnitude over the median of those that are not zero."""
    order = np.argsort(np.abs(value), kind="stable")
    order = order[(count * value)[order] != 0]
    magnitude, number = np.abs(value[order]), np.cumsum(count[order])
    ends = [np.searchsorted(number, number[-1] / 2, side) for side in ("left", "right")]
    return float(magnitude[-1] / magnitude[ends].mean())


def rank(value: Float[Array, " eigenvalue"], count: Float[Array, " eigenvalue"]) -> float:
    """Number of eigenvalues that are not zero."""
    return float(count[value != 0].sum())


EXACT_ONLY = (smallest_condition, median_condition, rank)

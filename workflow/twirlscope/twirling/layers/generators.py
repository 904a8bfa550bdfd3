"""Generators of rotations on features, fitted to their derivatives, and the representation that they form.

If features h are steerable, h(exp(t X_a) x) = exp(t A_a) h(x) with one matrix A_a per axis a, so that their derivatives
L_a h are A_a h. The matrices are then a representation of so(3): [A_x, A_y] = A_z, and the Casimir -SUM_a A_a^2 has
the eigenvalues l (l + 1), 2 l + 1 times for each copy of degree l: 0 for invariant features, 2 for vectors.

Features may have a constant offset, as biases make it: the generators act on h minus its mean. Matrices are fitted in
the principal directions of the features, scaled to unit variance. Those of negligible variance are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..._typing import Array, Float

AXES = 3  # x, y, z
ABSENT = 1e-9  # mean square of the entries of a generator, below which features count as invariant


def added_rows(
    factor: Float[Array, "row column"] | None,
    features: Float[Array, "n d"],
    derivatives: Float[Array, "3 n d"],
) -> Float[Array, "new column"]:
    """Triangular factor of all rows [1, h, L_x h, L_y h, L_z h] so far, from which every second moment follows.

    A factor keeps the digits that a matrix of second moments loses, and is as small.
    """
    rows = np.concatenate([np.ones((len(features), 1)), features, *derivatives], 1)
    return np.linalg.qr(rows if factor is None else np.concatenate([factor, rows]), mode="r")


@dataclass(frozen=True)
class Generators:
    """Affine maps h -> A_a (h - mean) + offset_a, the derivatives of features under rotations about x, y and z.

    directions: principal directions of the features that are kept, orthonormal.
    scale: standard deviation along each.
    """

    mean: Float[Array, " d"]
    offset: Float[Array, "3 d"]
    matrix: Float[Array, "3 d d"]
    directions: Float[Array, "r d"]
    scale: Float[Array, " r"]

    @cached_property
    def whitened(self) -> Float[Array, "3 r r"]:
        """A_a along the directions, scaled to unit variance."""
        return self.directions @ self.matrix @ self.directions.T * self.scale / self.scale[:, None]

    @cached_property
    def casimir(self) -> Float[Array, "r r"]:
        """-SUM_a A_a^2 along the scaled directions."""
        return -(self.whitened @ self.whitened).sum(0)


def fitted(factor: Float[Array, "row column"], smallest: float) -> Generators:
    """Generators by least squares.

    Args:
        factor: of the rows, see `added_rows`; more rows than components.
        smallest: share of the largest variance along a direction, below which a direction is left out.
    """
    count, size = factor[0, 0] ** 2, (factor.shape[1] - 1) // (AXES + 1)
    means = factor[0, 1:] / factor[0, 0]
    about = factor[1:, 1:]  # the rows about their means
    left, scale, directions = np.linalg.svd(about[:, :size], full_matrices=False)
    kept = scale > max(scale[0] * smallest**0.5, 1e-300)
    left, scale, directions = left[:, kept], scale[kept], directions[kept]
    solved = (left.T @ about[:, size:] / scale[:, None]).reshape(-1, AXES, size)  # direction, axis, component
    matrix = np.einsum("rac,rd->acd", solved, directions)
    return Generators(means[:size], means[size:].reshape(AXES, size), matrix, directions, scale / count**0.5)


@dataclass(frozen=True)
class Steerability:
    """Steerability of features on other samples than those that the generators were fitted on.

    variance: of the features, summed over components.
    rate: SUM_a |L_a h|^2 over the variance; l (l + 1) for steerable features of degree l.
    defect: SUM_a |L_a h - A_a h|^2 over the variance.
    commutator: |[A_a, A_b] - A_c|^2 over |A_c|^2, summed over axes; NaN for features that do not rotate.
    casimir: eigenvalues of the Casimir, ascending, their real parts.
    direction_defect: the defect of each of their directions.
    count: steerable directions, by degree.
    share: share of the variance in the steerable directions, by degree; the rest is not steerable.
    """

    variance: float
    rate: float
    defect: float
    commutator: float
    casimir: Float[Array, " r"]
    direction_defect: Float[Array, " r"]
    count: Float[Array, " degree"]
    share: Float[Array, " degree"]


def steerability(
    generators: Generators, factor: Float[Array, "row column"], highest: int, tolerance: float
) -> Steerability:
    """Steerability of features, from the rows of other samples.

    A direction of the Casimir is steerable of degree l if its eigenvalue is within `tolerance` of l (l + 1), and if the
    generators leave less than `tolerance` of its variance unexplained in its derivatives.

    Args:
        factor: of the rows, see `added_rows`.
        highest: largest degree.
    """
    count, size = factor[0, 0] ** 2, len(generators.mean)
    about = factor[1:, 1 : 1 + size]
    variance = np.square(about).sum() / count
    tangents = factor[:, 1 + size :].reshape(len(factor), AXES, size)
    moved = factor[:, 1 : 1 + size] - factor[:, :1] * generators.mean
    left = tangents - np.einsum("acd,nd->nac", generators.matrix, moved) - factor[:, :1, None] * generators.offset
    value, vectors = np.linalg.eig(generators.casimir)
    order = value.real.argsort()
    value, vectors = value[order], vectors[:, order]
    inward = np.linalg.inv(vectors) / generators.scale @ generators.directions  # component to direction
    spread = (np.abs(about @ inward.T) ** 2).sum(0)
    unexplained = (np.abs(left @ inward.T) ** 2).sum((0, 1)) / np.where(spread > 0, spread, np.nan)
    outward = generators.directions.T * generators.scale @ vectors
    parts = np.einsum("dr,rd->r", outward, inward @ (about.T @ about)).real / count / variance
    degree = np.arange(highest + 1)
    near = np.abs(value - (degree * (degree + 1))[:, None]) <= tolerance
    steerable = near & (unexplained <= tolerance)
    return Steerability(
        variance,
        np.square(tangents).sum() / count / variance,
        np.square(left).sum() / count / variance,
        commutator_error(generators.whitened),
        value.real,
        unexplained,
        steerable.sum(1).astype(float),
        steerable @ parts,
    )


def commutator_error(matrix: Float[Array, "3 r r"]) -> float:
    """|[A_a, A_b] - A_c|^2 over |A_c|^2, summed over the axes; NaN for generators that are 0."""
    size = np.square(matrix).sum()
    if size <= ABSENT * matrix[0].size:
        return np.nan
    x, y, z = matrix
    wrong = (a @ b - b @ a - c for a, b, c in ((x, y, z), (y, z, x), (z, x, y)))
    return float(sum(np.square(w).sum() for w in wrong) / size)

"""Estimators of the two parts of the loss, pure functions of inner products: no model in sight.

z_1..z_K are twisted predictions of one sample under independent Haar rotations and y is its target. The Gram matrix
<z_i, z_j>, the products <z_i, y> and <y, y> (all per component) are sufficient. A design is R >= 2 replicates of one
weighted set of rotations, each under an independent Haar offset, z_ri; independent rotations are the set of one.
Source: Shen, Nowara, Maser, Cho, TMLR 12/2025, arXiv:2512.02303; unbiased forms: U-statistics of order 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Bool, Float

Values = Float[Array, "..."] | float


class Split(NamedTuple):
    """Total loss and its two parts; `mean + equiv == total` exactly, for every draw of rotations."""

    total: Values
    mean: Values
    equiv: Values


def split(gram: Float[Array, "*b rotation rotation"], cross: Float[Array, "*b rotation"], square: Values) -> Split:
    """Unbiased squared-error split from K >= 2 independent rotations; `mean` may be negative by noise.

    It is `split_design` with one rotation a replicate.

    Args:
        gram: <z_i, z_j>.
        cross: <z_i, y>.
        square: <y, y>, broadcast against the rest.

    Raises:
        ValueError: fewer than two rotations.
    """
    return split_design(gram[..., :, None, :, None], cross[..., :, None], square, np.ones(1))


def split_design(
    gram: Float[Array, "*b replicate rotation replicate rotation"],
    cross: Float[Array, "*b replicate rotation"],
    square: Values,
    weight: Float[Array, " rotation"],
) -> Split:
    """Unbiased squared-error split from R >= 2 replicates: independent Haar offsets of one weighted set of rotations.

    Unbiased for any model and any set, exact or not: only pairs of different replicates enter the mean,
        mean = mean_{r != s} <zbar_r - y, zbar_s - y>,    equiv = SUM_i w_i |z_i - y|^2 - mean,
    where equiv is computed as the sum of two parts that are never negative, the variance within replicates and the
    sample variance of the replicate means, so that a nearly equivariant model loses no digits.

    Args:
        gram: <z_ri, z_sj>.
        cross: <z_ri, y>.
        square: <y, y>, broadcast against the rest.
        weight: of each rotation of the set, the same in every replicate; sums to 1.

    Raises:
        ValueError: fewer than two replicates, or weights that do not sum to 1.
    """
    R = replicate_count(gram, weight)
    diagonal = np.einsum("...riri->...ri", gram)
    means = np.tensordot(np.tensordot(gram, weight, 1), weight, ((-2,), (0,)))  # <zbar_r, zbar_s>
    squares = np.einsum("...rr->...r", means)  # |zbar_r|^2
    between = (squares.sum(-1) - means.sum((-1, -2)) / R) / (R - 1)
    equiv = (diagonal @ weight - squares).mean(-1) + between
    total = ((diagonal - 2 * cross) @ weight).mean(-1) + square
    return Split(total, total - equiv, equiv)


class ReflectedSplit(NamedTuple):
    """The split over O(3), and what of its `equiv` lies between rotations and rotoreflections.

    whole: with the twirled prediction of O(3), the mean of that of the rotations, T, and of the others, T'.
    apart: |T - T'|^2 / 4, unbiased, so it may be negative by noise; the rest of `whole.equiv` is the mean of the
        equivariance errors among rotations and among rotoreflections.
    """

    whole: Split
    apart: Values


def split_reflected(
    gram: Float[Array, "*b rotation rotation"],
    cross: Float[Array, "*b rotation"],
    square: Values,
    proper: Bool[Array, " rotation"],
) -> ReflectedSplit:
    """Unbiased squared-error split over O(3), from independent rotations and independent rotoreflections.

    There may be more of one kind than of the other; each kind has weight 1/2, as in the Haar measure of O(3).

    Args:
        gram: <z_i, z_j>, of all.
        cross: <z_i, y>.
        square: <y, y>, broadcast against the rest.
        proper: which of them are rotations.

    Raises:
        ValueError: fewer than two of a kind.
    """
    kinds = [np.flatnonzero(proper), np.flatnonzero(~proper)]
    one, other = (split(gram[..., k[:, None], k], cross[..., k], square) for k in kinds)
    difference = np.where(proper, 1 / len(kinds[0]), -1 / len(kinds[1]))
    distance = gram @ difference @ difference - one.equiv / len(kinds[0]) - other.equiv / len(kinds[1])
    total, equiv = (one.total + other.total) / 2, (one.equiv + other.equiv) / 2 + distance / 4
    return ReflectedSplit(Split(total, total - equiv, equiv), distance / 4)


def replicate_count(gram: Float[Array, "*b r n r n"], weight: Float[Array, " n"]) -> int:
    """The number of replicates of a design that can be estimated from.

    Raises:
        ValueError: fewer than two replicates, or weights that do not sum to 1.
    """
    R = gram.shape[-2]
    if R < 2:
        raise ValueError(f"needs at least 2 independent rotations or replicates, got {R}")
    if not np.isclose(weight.sum(), 1, rtol=0, atol=1e-9):
        raise ValueError(f"the weights of a set of rotations sum to 1, these to {weight.sum():.12g}")
    return R


def jackknife(whole: Values, without: Float[Array, "*b rotation"]) -> Values:
    """Loss of the twirled prediction with the bias of order 1/K removed, for any smooth loss, at no further pass.

        K loss(zbar) - (K - 1) mean_i loss(zbar without i)

    For the squared error it equals the unbiased `mean` of `split`; for other losses a bias of order 1/K^2 remains.

    Args:
        whole: loss(zbar), zbar the mean over all K rotations.
        without: loss of the mean over all rotations but the i-th.

    Raises:
        ValueError: fewer than two rotations.

    Source: Quenouille, Biometrika 43, 353 (1956); Efron and Tibshirani, An Introduction to the Bootstrap, chapter 10.
    """
    K = without.shape[-1]
    if K < 2:
        raise ValueError(f"needs at least 2 rotations, got {K}")
    return K * whole - (K - 1) * without.mean(-1)


def split_convex(each: Float[Array, "*b rotation"], whole: Values, without: Float[Array, "*b rotation"]) -> Split:
    """Split of any loss that is convex in the prediction, from K >= 2 independent rotations; `mean` by jackknife.

    The truth of `equiv` is >= 0 by Jensen's inequality; the estimate may be negative by noise.

    Args:
        each: loss(z_i).
        whole: loss(zbar).
        without: loss of the mean over all rotations but the i-th.

    Raises:
        ValueError: fewer than two rotations.
    """
    total, mean = each.mean(-1), jackknife(whole, without)
    return Split(total, mean, total - mean)


def percent(total: Values, equiv: Values) -> Values:
    """100 equiv / total, of sums over samples (a ratio of means, not a mean of ratios); NaN where total is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, 100 * equiv / total, np.nan)

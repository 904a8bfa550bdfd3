"""Estimators of the two parts of the loss, pure functions of inner products of predictions and targets.

z_1..z_K are twisted predictions of one sample under independent Haar rotations and y is its target. The Gram matrix
<z_i, z_j>, the products <z_i, y> and <y, y> (all per component) are sufficient. A design has R >= 2 replicates of one
weighted set of rotations, each under an independent Haar offset, with predictions z_ri. Independent rotations are
replicates of a set of one rotation.
Source: Shen, Nowara, Maser, Cho, TMLR 12/2025, arXiv:2512.02303; unbiased forms: U-statistics of order 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Bool, Float, Values
from .bootstrap import Clusters, interval

ROUNDING = 2.0  # times the floor: below this an equivariance error is rounding error


class Split(NamedTuple):
    """Total loss and its two parts; `mean + equiv == total` exactly, for any rotations."""

    total: Values
    mean: Values
    equiv: Values


def split(gram: Float[Array, "*b rotation rotation"], cross: Float[Array, "*b rotation"], square: Values) -> Split:
    """Unbiased squared-error split from K >= 2 independent rotations; noise can make `mean` negative.

    Same as `split_design` with one rotation per replicate.

    Args:
        gram: <z_i, z_j>.
        cross: <z_i, y>.
        square: <y, y>, broadcast against the others.

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

    Unbiased for any model and any set, exact or not, because only pairs of different replicates enter the mean:
        mean = mean_{r != s} <zbar_r - y, zbar_s - y>,    equiv = SUM_i w_i |z_i - y|^2 - mean.
    equiv is computed as the sum of two parts that are never negative: the variance within replicates and the sample
    variance of the replicate means. So no digits cancel for a nearly equivariant model.

    Args:
        gram: <z_ri, z_sj>.
        cross: <z_ri, y>.
        square: <y, y>, broadcast against the others.
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
    """The loss split over O(3), and the share of its `equiv` that is due to reflections.

    T and T' are the twirled predictions over rotations and over rotoreflections.

    o3: split with (T + T') / 2, the twirled prediction of O(3).
    reflection: |T - T'|^2 / 4, unbiased, so noise can make it negative. The rest of `o3.equiv` is the mean of the
        equivariance errors among rotations and among rotoreflections.
    """

    o3: Split
    reflection: Values


def split_reflected(
    gram: Float[Array, "*b rotation rotation"],
    cross: Float[Array, "*b rotation"],
    square: Values,
    proper: Bool[Array, " rotation"],
) -> ReflectedSplit:
    """Unbiased squared-error split over O(3), from independent rotations and independent rotoreflections.

    The two kinds may differ in number; each kind has weight 1/2, as in the Haar measure of O(3).

    Args:
        gram: <z_i, z_j>, rotations and rotoreflections in any order.
        cross: <z_i, y>.
        square: <y, y>, broadcast against the others.
        proper: True for a rotation, False for a rotoreflection.

    Raises:
        ValueError: fewer than two rotations or fewer than two rotoreflections.
    """
    kinds = [np.flatnonzero(proper), np.flatnonzero(~proper)]
    rotated, reflected = (split(gram[..., k[:, None], k], cross[..., k], square) for k in kinds)
    difference = np.where(proper, 1 / len(kinds[0]), -1 / len(kinds[1]))
    distance = gram @ difference @ difference - rotated.equiv / len(kinds[0]) - reflected.equiv / len(kinds[1])
    total = (rotated.total + reflected.total) / 2
    equiv = (rotated.equiv + reflected.equiv) / 2 + distance / 4
    return ReflectedSplit(Split(total, total - equiv, equiv), distance / 4)


def replicate_count(gram: Float[Array, "*b r n r n"], weight: Float[Array, " n"]) -> int:
    """Number of replicates of a design, after a check that they suffice for an estimate.

    Raises:
        ValueError: fewer than two replicates, or weights that do not sum to 1.
    """
    R = gram.shape[-2]
    if R < 2:
        raise ValueError(f"needs at least 2 independent rotations or replicates, got {R}")
    if not np.isclose(weight.sum(), 1, rtol=0, atol=1e-9):
        raise ValueError(f"the weights of a set of rotations sum to 1, these to {weight.sum():.12g}")
    return R


def jackknife(averaged: Values, without_one: Float[Array, "*b rotation"]) -> Values:
    """Loss of the twirled prediction, for any smooth loss, with the bias of order 1/K removed.

        K loss(zbar) - (K - 1) mean_i loss(zbar without i)

    It needs no further forward pass. For the squared error it equals the unbiased `mean` of `split`; for other losses a
    bias of order 1/K^2 remains.

    Args:
        averaged: loss(zbar), zbar the mean over all K rotations.
        without_one: loss of the mean over all rotations but the i-th.

    Raises:
        ValueError: fewer than two rotations.

    Source: Quenouille, Biometrika 43, 353 (1956); Efron and Tibshirani, An Introduction to the Bootstrap, chapter 10.
    """
    K = without_one.shape[-1]
    if K < 2:
        raise ValueError(f"needs at least 2 rotations, got {K}")
    return K * averaged - (K - 1) * without_one.mean(-1)


def split_convex(
    single: Float[Array, "*b rotation"], averaged: Values, without_one: Float[Array, "*b rotation"]
) -> Split:
    """Split of any loss that is convex in the prediction, from K >= 2 independent rotations; `mean` by jackknife.

    The true `equiv` is >= 0 by Jensen's inequality; noise can make the estimate negative.

    Args:
        single: loss(z_i).
        averaged: loss(zbar), zbar the mean over all K rotations.
        without_one: loss of the mean over all rotations but the i-th.

    Raises:
        ValueError: fewer than two rotations.
    """
    total, mean = single.mean(-1), jackknife(averaged, without_one)
    return Split(total, mean, total - mean)


def percent(total: Values, equiv: Values) -> Values:
    """100 equiv / total, of sums over samples (a ratio of means, not a mean of ratios); NaN where total is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, 100 * equiv / total, np.nan)


def percent_interval(
    total: Float[Array, "*b sample"],
    equiv: Float[Array, "*b sample"],
    resamples: int,
    seed: int,
    cluster: Clusters = None,
) -> tuple[Values, Values]:
    """Ends of the 95 % interval of `percent`, see `bootstrap.interval`.

    The truth lies between 0 and 100. So do the ends, unless noise puts the estimate itself outside.
    """
    value = percent(total.sum(-1), equiv.sum(-1))
    low, high = interval(equiv, total, resamples, seed, cluster)
    least, most = np.minimum(value, 0), np.maximum(value, 100)
    return np.maximum(100 * low, least), np.minimum(100 * high, most)

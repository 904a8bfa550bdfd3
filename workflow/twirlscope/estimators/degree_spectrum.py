"""The spectrum of the equivariance error over degrees of rotation, from Gram matrices, and what follows from it.

z(g) is the twisted prediction and T its Haar mean. By degree l, with chi_l the character of the (2l+1)-dimensional
representation and w(g, g') the angle between two rotations (all products per component),

    q_l = (2l+1) INT INT chi_l(w(g, g')) <z(g), z(g')> dg dg' >= 0,    q_0 = |T|^2,    equiv = SUM_{l>=1} q_l.

A spectrum is an array whose last axis is the degree 0..highest, per sample or averaged over samples.
Source: Peter-Weyl theorem and Parseval's identity on SO(3); unbiased forms: U-statistics of order 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .._typing import Array, Float
from .bootstrap import LARGEST
from .loss_split import Values, replicate_count


def characters(
    quaternion_a: Float[Array, "*#b 4"], quaternion_b: Float[Array, "*#b 4"], highest: int
) -> Float[Array, "*c degree"]:
    """chi_l of the relative rotation a^-1 b for l = 0..highest, from unit quaternions; both signs are one rotation.

    chi_l(w) = sin((2l+1) w/2) / sin(w/2) = U_2l(cos(w/2)), by the recurrence of the Chebyshev polynomials of the
    second kind in steps of two, chi_{l+1} = 2 cos(w) chi_l - chi_{l-1}, which has no division and is exact at w = 0.
    """
    half = np.asarray((quaternion_a * quaternion_b).sum(-1))
    return np.stack(list(_characters(half, highest)), -1)


def _characters(half: Array, highest: int) -> Iterator[Array]:
    """chi_0, chi_1, ... one after another, from cos(w/2)."""
    step = 4 * half**2 - 2
    before, here = -np.ones_like(half), np.ones_like(half)
    for _ in range(highest + 1):
        yield here
        before, here = here, step * here - before


def spectrum(
    gram: Float[Array, "*#b rotation rotation"], quaternion: Float[Array, "*#b rotation 4"], highest: int
) -> Float[Array, "*c degree"]:
    """Unbiased q_0..q_highest from K >= 2 independent rotations: `spectrum_design` with one rotation a replicate.

    Sums over degrees are good from few rotations; for single degrees a few replicates of a set are better by far, see
    there. With K = 2 or 3 and a large mean prediction give the products of z - y, `error_gram(gram, ...)`: no q_l
    with l >= 1 changes, q_0 becomes the twirled prediction error, and most of the noise goes.
    """
    turns = quaternion[..., :, None, :]
    return spectrum_design(gram[..., :, None, :, None], turns, highest, np.ones(1))


def spectrum_design(
    gram: Float[Array, "*#b replicate rotation replicate rotation"],
    quaternion: Float[Array, "*#b replicate rotation 4"],
    highest: int,
    weight: Float[Array, " rotation"],
) -> Float[Array, "*c degree"]:
    """Unbiased q_0..q_highest from R >= 2 replicates, independent Haar offsets of one weighted set; may be negative.

        qhat_l = (2l+1) mean_{r != s} SUM_ij w_i w_j chi_l(g_ri^-1 g_sj) <z_ri - m_rs, z_sj - m_rs>

    m_rs is the mean over all other replicates where there are three or more, and 0 for R = 2 and for l = 0. It shifts
    no q_l with l >= 1, being independent of both factors, and removes the noise that a large equivariant part of the
    prediction would otherwise leave in every degree.

    Between two degrees whose sum is at most the degree of exactness t of the set there is no noise at all, so that
    q_l is sharp for l + (degree of what is large in z) <= t: a set of degree 7 gives l <= 5 or 6 where degree 1 is
    large. Independent rotations (t = 0) leave noise of about (2l+1) equiv / K in every degree, far above a small q_l.

    Args:
        gram: <z_ri, z_sj>.
        quaternion: the rotations, unit quaternions, scalar first; batch axes broadcast against those of `gram`.
        highest: largest degree.
        weight: of each rotation of the set, the same in every replicate; sums to 1.

    Raises:
        ValueError: fewer than two replicates, or weights that do not sum to 1.
    """
    replicate_count(gram, weight)
    batch = np.broadcast_shapes(gram.shape[:-4], quaternion.shape[:-3])
    flat = np.broadcast_to(gram, batch + gram.shape[-4:]).reshape(-1, *gram.shape[-4:])
    turns = np.broadcast_to(quaternion, batch + quaternion.shape[-3:]).reshape(len(flat), -1, 4)
    found = np.empty((len(flat), highest + 1))
    size = max(1, LARGEST // turns.shape[1] ** 2)
    for start in range(0, len(flat), size):
        part = slice(start, start + size)
        found[part] = _block(flat[part], turns[part], highest, weight)
    return found.reshape(*batch, highest + 1)


def _block(gram, turns: Float[Array, "b n 4"], highest: int, weight) -> Float[Array, "b degree"]:
    """The estimate for samples that fit into memory together."""
    R, n = gram.shape[-2:]
    pairs = (1 - np.eye(R))[:, None, :, None] * weight[:, None, None] * weight / (R * (R - 1))
    shape = len(gram), R * n, R * n
    plain = (gram * pairs).reshape(shape)
    centred = ((gram - _shift(gram, weight)) * pairs).reshape(shape) if R > 2 else plain
    half = turns @ turns.transpose(0, 2, 1)
    found = [
        (2 * degree + 1) * np.einsum("bij,bij->b", character, centred if degree else plain)
        for degree, character in enumerate(_characters(half, highest))
    ]
    return np.stack(found, -1)


def _shift(gram: Float[Array, "b r n r n"], weight: Float[Array, " n"]) -> Float[Array, "b r n r n"]:
    """<z_ri, z_sj> - <z_ri - m, z_sj - m>, m the mean over the replicates other than r and s (R >= 3)."""
    R = gram.shape[-2]
    product = np.tensordot(gram, weight, 1)  # <z_ri, zbar_t> [b, r, i, t]
    own = np.einsum("brir->bri", product)
    with_rest = ((product.sum(-1) - own)[..., None] - product) / (R - 2)  # <z_ri, m_rs> [b, r, i, s]
    means = np.tensordot(product, weight, ((2,), (0,)))  # <zbar_r, zbar_s> [b, r, s]
    row = means.sum(-1)
    leave = np.einsum("brr->br", means) - 2 * row
    rest = (row.sum(-1)[:, None, None] + leave[:, :, None] + leave[:, None] + 2 * means) / (R - 2) ** 2  # |m_rs|^2
    return with_rest[..., None] + with_rest.transpose(0, 3, 1, 2)[:, :, None] - rest[:, :, None, :, None]


def spectrum_fit(
    gram: Float[Array, "*b rotation rotation"],
    quaternion: Float[Array, "*b rotation 4"],
    highest: int,
    fitted: int,
) -> Float[Array, "*b degree"]:
    """q_0..q_highest of each sample by least squares over all pairs of its rotations: less noise in high degrees.

    Averaged over orientations, <z(g), z(g')> depends on the angle w between g and g' alone and is SUM_l q_l chi_l(w) /
    (2l+1), whatever pairs are taken, those within a replicate included. The fit therefore knows what a large q_1 puts
    into every pair, where `spectrum_design` has to average it away. Matrices and characters are centred alike (rows and
    columns), which removes the noise of a large mean prediction, and a multiple of the identity stands for all degrees
    far beyond. Unbiased as long as nothing lies between the degree `fitted` and those; degrees above `highest` are
    fitted and dropped, to keep what is there out of the rest.

    Args:
        gram: products of uniformly oriented rotations, as those of random designs are.
        fitted: largest degree of the fit, at least `highest`.
    """
    n = gram.shape[-1]
    flat, turns = gram.reshape(-1, n, n), quaternion.reshape(-1, n, 4)
    found = np.empty((len(flat), fitted + 1))
    size = max(1, LARGEST // (n**2 * (fitted + 1)))
    for start in range(0, len(flat), size):
        part = slice(start, start + size)
        found[part] = _fitted(flat[part], turns[part] @ turns[part].transpose(0, 2, 1), fitted)
    return found[:, : highest + 1].reshape(*gram.shape[:-2], highest + 1)


def _fitted(gram: Float[Array, "b n n"], half: Float[Array, "b n n"], fitted: int) -> Float[Array, "b degree"]:
    """Least squares for samples that fit into memory together; `half` is cos(w/2) of all pairs."""
    n = gram.shape[-1]
    basis = np.stack([c / (2 * degree + 1) for degree, c in enumerate(_characters(half, fitted))], 1)[:, 1:]
    white = np.broadcast_to(np.eye(n), (len(gram), 1, n, n))
    columns = _centred(np.concatenate([basis, white], 1)).reshape(len(gram), fitted + 1, -1)
    moment = columns @ _centred(gram).reshape(len(gram), -1, 1)
    q = np.linalg.solve(columns @ columns.transpose(0, 2, 1), moment)[..., 0][:, :fitted]
    rest = gram - np.einsum("bl,blij->bij", q, basis)
    off = (rest.sum((1, 2)) - np.einsum("bii->b", rest)) / (n * (n - 1))
    return np.concatenate([off[:, None], q], 1)


def _centred(matrix: Float[Array, "*b n n"]) -> Float[Array, "*b n n"]:
    """Matrices less the means of their rows and columns."""
    rows = matrix - matrix.mean(-1, keepdims=True)
    return rows - rows.mean(-2, keepdims=True)


def error_gram(
    gram: Float[Array, "*b rotation rotation"], cross: Float[Array, "*b rotation"], square: Values
) -> Float[Array, "*b rotation rotation"]:
    """Gram matrix of the errors z_i - y. Its spectrum has the twirled prediction error as q_0; the rest is the same."""
    return gram - cross[..., :, None] - cross[..., None, :] + np.asarray(square)[..., None, None]


def lie_error(q: Float[Array, "*b degree"]) -> Values:
    """Squared norm of the Lie derivative, INT SUM_a |L_a z|^2 dg = SUM_l l(l+1) q_l over three orthonormal generators.

    Averaged over orientations and per component; equiv <= lie_error / 2. Degrees beyond the last are missing from it.
    Source: Gruver, Finzi, Goldblum, Wilson, ICLR 2023, arXiv:2210.02984 (the LEE, there at one orientation); the
    eigenvalue l(l+1) is that of the Casimir operator.
    """
    degree = np.arange(q.shape[-1])
    return q @ (degree * (degree + 1.0))


def effective_degree(q: Float[Array, "*b degree"]) -> Values:
    """The degree l, not an integer, of an error of one degree with the same ratio l(l+1) = lie_error / equiv.

    A ratio of means: average the spectrum over samples first. NaN where the error measured is not positive.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        total = q[..., 1:].sum(-1)
        ratio = np.where(total > 0, lie_error(q) / total, np.nan)
        return np.sqrt(ratio + 0.25) - 0.5


def remainder(q: Float[Array, "*b degree"], equiv: Values) -> Values:
    """Equivariance error beyond the highest degree measured, equiv - SUM_{l=1}^{highest} q_l.

    May be negative by noise.
    """
    return equiv - q[..., 1:].sum(-1)


class TwirlingResidual(NamedTuple):
    """Residual of twirling with a set of rotations, and its ends over what may lie beyond the highest degree."""

    value: Values
    low: Values
    high: Values


def twirling_residual(
    q: Float[Array, "*b degree"], alpha: Float[Array, " further"], equiv: Values, square_weight: float
) -> TwirlingResidual:
    """Squared distance to T of the mean over a set of rotations, SUM_{l>=1} q_l alpha_l, without running the model.

    The set {g_i, w_i} stands at a random orientation, h g_i g_0 with independent Haar h and g_0, and
        alpha_l = SUM_ij w_i w_j chi_l(g_i^-1 g_j) / (2l+1)  in [0, 1].
    The loss of test-time twirling with the set is the twirled prediction error plus this; see `twirled_loss` for
    independent rotations. What lies beyond the degrees of q is weighted with SUM_i w_i^2 (1/n for n equal weights),
    which alpha_l tends to; the ends weight it with the least and largest alpha beyond, where `alpha` reaches further
    than q (and the model no further than `alpha`), with 0 and 1 otherwise.

    Args:
        q: spectrum, degree 0..highest.
        alpha: of the set, degree 0..highest at least.
        equiv: equivariance error, which fixes what lies beyond.
        square_weight: SUM_i w_i^2.

    Raises:
        ValueError: alpha has fewer degrees than q.
    """
    degrees = q.shape[-1]
    if len(alpha) < degrees:
        raise ValueError(f"alpha needs the degrees of the spectrum, 0 to {degrees - 1}, got 0 to {len(alpha) - 1}")
    known, rest, beyond = q[..., 1:] @ alpha[1:degrees], remainder(q, equiv), alpha[degrees:]
    least, most = (beyond.min(), beyond.max()) if len(beyond) else (0.0, 1.0)
    ends = known + rest * least, known + rest * most
    return TwirlingResidual(known + rest * square_weight, np.minimum(*ends), np.maximum(*ends))


def twirled_loss(mean: Values, equiv: Values, rotations: int) -> Values:
    """Expected squared-error loss of the mean over K independent Haar rotations, mean + equiv / K; exact."""
    return mean + equiv / rotations


def equigrad_square(q: Float[Array, "*b degree"]) -> Values:
    """orb's equigrad squared, averaged over orientations, of ONE scalar: 2 SUM_l l(l+1) q_l, twice the Lie error.

    equigrad is the Frobenius norm of dE/dA, A any 3x3 matrix, at A = 0 of E after the rotation exp(A - A^T): each of
    the three generators appears twice in it.
    Source: orb-models, `rotational_grad`; Rhodes et al., arXiv:2504.06231.
    """
    return 2 * lie_error(q)


def remul_square(equiv: Values) -> Values:
    """REMUL's E'^2 averaged over orientations, mean of |f(g x) - rho(g) f(x)|^2 = |z(g) - z(1)|^2: it is 2 equiv.

    The distance of one orientation from the twirled prediction instead of from another orientation (REMUL's E^2)
    averages to equiv itself.
    Source: Elhag, Rusch, Di Giovanni, Bronstein, arXiv:2410.17878.
    """
    return 2 * equiv


def rotational_deviation(equiv: Values) -> Values:
    """Root mean square deviation of a component from the twirled prediction, sqrt(equiv): "rotational standard
    deviation". NaN for an estimate below zero.

    The largest deviation that e3nn's `equivariance_error` reports needs the predictions: no Gram matrix holds it.
    """
    with np.errstate(invalid="ignore"):
        return np.sqrt(equiv)

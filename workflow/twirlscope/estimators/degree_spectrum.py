"""Spectrum of the equivariance error over degrees of rotation, from Gram matrices, and quantities derived from it.

z(g) is the twisted prediction and T its Haar mean. By degree l, with chi_l the character of the (2l+1)-dimensional
representation and w(g, g') the angle between two rotations (all products per component),

    q_l = (2l+1) INT INT chi_l(w(g, g')) <z(g), z(g')> dg dg' >= 0,    q_0 = |T|^2,    equiv = SUM_{l>=1} q_l.

A spectrum is an array whose last axis is the degree 0..highest, per sample or averaged over samples.
Source: Peter-Weyl theorem and Parseval's identity on SO(3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .._typing import Array, Float, Values
from .bootstrap import LARGEST


def characters(half: Array, highest: int) -> Iterator[Array]:
    """chi_0, chi_1, ..., chi_highest, one after another, of rotations by an angle w.

    chi_l(w) = sin((2l+1) w/2) / sin(w/2) = U_2l(cos(w/2)). The recurrence of the Chebyshev polynomials of the second
    kind in steps of two, chi_{l+1} = 2 cos(w) chi_l - chi_{l-1}, has no division and is exact at w = 0.

    Args:
        half: cos(w/2), the product of the unit quaternions of two rotations; both signs are one rotation.
        highest: largest degree.
    """
    step = 4 * half**2 - 2
    before, here = -np.ones_like(half), np.ones_like(half)
    for _ in range(highest + 1):
        yield here
        before, here = here, step * here - before


def spectrum_fit(
    gram: Float[Array, "*b rotation rotation"],
    quaternion: Float[Array, "*b rotation 4"],
    highest: int,
    fitted: int,
) -> Float[Array, "*b degree"]:
    """q_0..q_highest of each sample by least squares over all pairs of its rotations.

    Averaged over orientations, <z(g), z(g')> depends on the angle w between g and g' alone and is SUM_l q_l chi_l(w) /
    (2l+1). This holds for all pairs, those within a replicate included. The fit has less noise in high degrees than an
    average over pairs, because it subtracts the share of a large q_1 from every pair.

    Matrices and characters are centred alike (rows and columns), which removes the noise of a large mean prediction.
    A multiple of the identity stands for all degrees far above `fitted`. The fit is unbiased if z has no degree between
    `fitted` and those. Degrees above `highest` are fitted and dropped, to keep their share out of the lower ones.

    Args:
        gram: products of twisted predictions under uniformly oriented rotations, as in random designs.
        quaternion: the rotations, unit quaternions, scalar first.
        highest: largest degree returned.
        fitted: largest degree of the fit, at least `highest`.
    """
    n = gram.shape[-1]
    flat, rotations = gram.reshape(-1, n, n), quaternion.reshape(-1, n, 4)
    q = np.empty((len(flat), fitted + 1))
    size = max(1, LARGEST // (n**2 * (fitted + 1)))
    for start in range(0, len(flat), size):
        part = slice(start, start + size)
        q[part] = _fitted(flat[part], rotations[part] @ rotations[part].transpose(0, 2, 1), fitted)
    return q[:, : highest + 1].reshape(*gram.shape[:-2], highest + 1)


def _fitted(gram: Float[Array, "b n n"], half: Float[Array, "b n n"], fitted: int) -> Float[Array, "b degree"]:
    """Least squares for samples that fit into memory together; `half` is cos(w/2) of all pairs."""
    n = gram.shape[-1]
    basis = np.stack([c / (2 * degree + 1) for degree, c in enumerate(characters(half, fitted))], 1)[:, 1:]
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
    """Gram matrix of the errors z_i - y: its q_0 is the twirled prediction error, all other q_l are those of z."""
    return gram - cross[..., :, None] - cross[..., None, :] + np.asarray(square)[..., None, None]


def remainder(q: Float[Array, "*b degree"], equiv: Values) -> Values:
    """Equivariance error above the highest measured degree, equiv - SUM_{l=1}^{highest} q_l; noise can make it < 0."""
    return equiv - q[..., 1:].sum(-1)


def casimir(q: Float[Array, "*b degree"]) -> Values:
    """Lie-derivative error SUM_l l (l + 1) q_l of a spectrum; degrees above its highest one are not in it.

    Unlike differences between nearby orientations, it is not dominated by the noise of the predictions.
    """
    degree = np.arange(q.shape[-1])
    return q @ (degree * (degree + 1.0))


class TwirlingResidual(NamedTuple):
    """Residual of twirling with a set of rotations; `low` and `high` bound the unknown degrees above the spectrum's."""

    value: Values
    low: Values
    high: Values


def twirling_residual(
    q: Float[Array, "*b degree"], alpha: Float[Array, " further"], equiv: Values, square_weight: float
) -> TwirlingResidual:
    """Squared distance to T of the mean over a set of rotations, SUM_{l>=1} q_l alpha_l, without running the model.

    The set {g_i, w_i} has a random orientation, h g_i g_0 with independent Haar h and g_0, and
        alpha_l = SUM_ij w_i w_j chi_l(g_i^-1 g_j) / (2l+1)  in [0, 1].
    The loss of test-time twirling with the set is the twirled prediction error plus this residual; see `twirled_loss`
    for independent rotations.

    The error above the degrees of q is weighted with SUM_i w_i^2 (1/n for n equal weights), the limit of alpha_l. The
    ends weight it with the least and the largest alpha above the degrees of q, if `alpha` has any (this assumes that
    the model has no degree above those of `alpha`). Otherwise they weight it with 0 and 1.

    Args:
        q: spectrum, degree 0..highest.
        alpha: of the set, degree 0..highest at least.
        equiv: equivariance error; less q, it is the error above the highest degree.
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


def remul_square(equiv: Values) -> Values:
    """REMUL's E'^2 averaged over orientations, the mean of |f(g x) - rho(g) f(x)|^2 = |z(g) - z(1)|^2: 2 equiv.

    REMUL's E^2, the distance of one orientation from the twirled prediction, averages to equiv itself.
    Source: Elhag, Rusch, Di Giovanni, Bronstein, arXiv:2410.17878.
    """
    return 2 * equiv


def rotational_deviation(equiv: Values) -> Values:
    """The "rotational standard deviation", sqrt(equiv): root mean square deviation from the twirled prediction.

    Per component; NaN for an estimate below zero. The largest deviation, which e3nn's `equivariance_error` reports,
    cannot be computed from Gram matrices.
    """
    with np.errstate(invalid="ignore"):
        return np.sqrt(equiv)

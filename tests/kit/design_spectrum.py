"""Second road to the degree spectrum: U-statistics over pairs of rotations, and what follows from exact spectra.

The package fits the spectrum by least squares (`estimators.degree_spectrum.spectrum_fit`). Here each degree is an
average over pairs of different replicates, weighted with its character. Notation and `q` as in that module.
"""

from __future__ import annotations

import numpy as np

from twirlscope._typing import Array, Float, Values
from twirlscope.estimators.bootstrap import LARGEST
from twirlscope.estimators.degree_spectrum import characters
from twirlscope.estimators.loss_split import replicate_count


def relative_characters(
    quaternion_a: Float[Array, "*#b 4"], quaternion_b: Float[Array, "*#b 4"], highest: int
) -> Float[Array, "*c degree"]:
    """chi_l of the relative rotation a^-1 b for l = 0..highest, from unit quaternions; both signs are one rotation."""
    half = np.asarray((quaternion_a * quaternion_b).sum(-1))
    return np.stack(list(characters(half, highest)), -1)


def spectrum(
    gram: Float[Array, "*#b rotation rotation"], quaternion: Float[Array, "*#b rotation 4"], highest: int
) -> Float[Array, "*c degree"]:
    """Unbiased q_0..q_highest from K >= 2 independent rotations: `spectrum_design` with one rotation per replicate.

    Sums over degrees are accurate from few rotations; for single degrees a few replicates of a set are far better, see
    there. With K = 2 or 3 and a large mean prediction, pass the products of z - y, `error_gram(gram, ...)`. No q_l
    with l >= 1 changes, q_0 becomes the twirled prediction error, and most of the noise vanishes.
    """
    replicates = quaternion[..., :, None, :]
    return spectrum_design(gram[..., :, None, :, None], replicates, highest, np.ones(1))


def spectrum_design(
    gram: Float[Array, "*#b replicate rotation replicate rotation"],
    quaternion: Float[Array, "*#b replicate rotation 4"],
    highest: int,
    weight: Float[Array, " rotation"],
) -> Float[Array, "*c degree"]:
    """Unbiased q_0..q_highest from R >= 2 replicates, independent Haar offsets of one weighted set; may be negative.

        qhat_l = (2l+1) mean_{r != s} SUM_ij w_i w_j chi_l(g_ri^-1 g_sj) <z_ri - m_rs, z_sj - m_rs>

    m_rs is the mean over all other replicates if there are three or more, and 0 for R = 2 and for l = 0. It is
    independent of both factors, so it shifts no q_l with l >= 1. It removes the noise that a large equivariant part of
    the prediction would otherwise leave in every degree.

    Two degrees whose sum is at most t, the degree of exactness of the set, cause no noise in each other. So q_l is
    accurate for l + (degree of the large parts of z) <= t: a set of degree 7 gives l <= 5 or 6 if degree 1 is large.
    Independent rotations (t = 0) leave noise of about (2l+1) equiv / K in every degree, far above a small q_l.

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
    rotations = np.broadcast_to(quaternion, batch + quaternion.shape[-3:]).reshape(len(flat), -1, 4)
    q = np.empty((len(flat), highest + 1))
    size = max(1, LARGEST // rotations.shape[1] ** 2)
    for start in range(0, len(flat), size):
        part = slice(start, start + size)
        q[part] = _block(flat[part], rotations[part], highest, weight)
    return q.reshape(*batch, highest + 1)


def _block(gram, rotations: Float[Array, "b n 4"], highest: int, weight) -> Float[Array, "b degree"]:
    """The estimate for samples that fit into memory together."""
    R, n = gram.shape[-2:]
    pairs = (1 - np.eye(R))[:, None, :, None] * weight[:, None, None] * weight / (R * (R - 1))
    shape = len(gram), R * n, R * n
    plain = (gram * pairs).reshape(shape)
    centred = ((gram - _shift(gram, weight)) * pairs).reshape(shape) if R > 2 else plain
    half = rotations @ rotations.transpose(0, 2, 1)
    q = [
        (2 * degree + 1) * np.einsum("bij,bij->b", character, centred if degree else plain)
        for degree, character in enumerate(characters(half, highest))
    ]
    return np.stack(q, -1)


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


def lie_error(q: Float[Array, "*b degree"]) -> Values:
    """Squared norm of the Lie derivative, INT SUM_a |L_a z|^2 dg = SUM_l l(l+1) q_l over three orthonormal generators.

    Averaged over orientations and per component; equiv <= lie_error / 2. Degrees above the last of `q` are missing.
    Source: Gruver, Finzi, Goldblum, Wilson, ICLR 2023, arXiv:2210.02984 (the LEE, there at one orientation); the
    eigenvalue l(l+1) is that of the Casimir operator.
    """
    degree = np.arange(q.shape[-1])
    return q @ (degree * (degree + 1.0))


def effective_degree(q: Float[Array, "*b degree"]) -> Values:
    """The degree l, not an integer, of an error of one degree with the same ratio l(l+1) = lie_error / equiv.

    A ratio of means: average the spectrum over samples first. NaN if the measured error is not positive.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        total = q[..., 1:].sum(-1)
        ratio = np.where(total > 0, lie_error(q) / total, np.nan)
        return np.sqrt(ratio + 0.25) - 0.5


def equigrad_square(q: Float[Array, "*b degree"]) -> Values:
    """orb's equigrad squared, averaged over orientations, of ONE scalar: 2 SUM_l l(l+1) q_l, twice the Lie error.

    equigrad is the Frobenius norm of dE/dA, A any 3x3 matrix, at A = 0 of E after the rotation exp(A - A^T): each of
    the three generators appears twice in it.
    Source: orb-models, `rotational_grad`; Rhodes et al., arXiv:2504.06231.
    """
    return 2 * lie_error(q)

"""Roughness of a loss on a plane of parameters: R² of a quadratic fit, and correlation of neighbouring points.

A loss is smooth at the distance of the points if both are near 1. Independent noise at every point lowers both, by its
share of the variance over the plane.
"""

from __future__ import annotations

import math

import numpy as np

from ..._typing import Array, Float


def quadratic_residuals(loss: Float[Array, "a b"], shift: Float[Array, " a"]) -> Float[Array, "a b"]:
    """Loss less the least-squares polynomial of second degree in both coordinates.

    Args:
        shift: coordinates of the points along both axes.
    """
    x, y = (c.ravel() / np.abs(shift).max() for c in np.meshgrid(shift, shift, indexing="ij"))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
    best = np.linalg.lstsq(terms, loss.ravel(), rcond=None)[0]
    return loss - (terms @ best).reshape(loss.shape)


def r_squared(loss: Float[Array, "a b"], shift: Float[Array, " a"]) -> float:
    """Share of the variance over the plane that the quadratic fit explains; NaN for a constant loss."""
    spread = float(((loss - loss.mean()) ** 2).sum())
    return 1 - float((quadratic_residuals(loss, shift) ** 2).sum()) / spread if spread else math.nan


def autocorrelation(values: Float[Array, "a b"]) -> float:
    """Correlation of neighbouring points, along both axes together; NaN for equal values.

    About 0 for independent noise, and below 1 by the square of the distance of the points for a smooth function.
    """
    centred = values - values.mean()
    square = float((centred**2).mean())
    pairs = [(centred[1:], centred[:-1]), (centred[:, 1:], centred[:, :-1])]
    products = np.concatenate([(one * other).ravel() for one, other in pairs])
    squares = np.concatenate([((one**2 + other**2) / 2).ravel() for one, other in pairs])
    return float(products.sum() / squares.sum()) if square else math.nan


def residual_spread(loss: Float[Array, "a b"], shift: Float[Array, " a"]) -> float:
    """Root mean square of the residuals of the quadratic fit, over the mean loss; 6 coefficients are fitted."""
    left = quadratic_residuals(loss, shift)
    return float(np.sqrt((left**2).sum() / (left.size - 6)) / np.abs(loss.mean()))


ROUGHNESS = {
    "r_squared": r_squared,
    "autocorrelation": lambda loss, _shift: autocorrelation(loss),
    "residual_autocorrelation": lambda loss, shift: autocorrelation(quadratic_residuals(loss, shift)),
    "residual_spread": residual_spread,
}

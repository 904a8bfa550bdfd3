"""Roughness of a loss on a plane: an exact quadratic, noise of a known share, functions of higher degree."""

import numpy as np
import pytest

from twirlscope.estimators.curvature.landscapes import (
    ROUGHNESS,
    autocorrelation,
    quadratic_residuals,
    r_squared,
    residual_spread,
)

SHIFT = np.linspace(-0.3, 0.3, 21)
X, Y = np.meshgrid(SHIFT, SHIFT, indexing="ij")
BOWL = 2 + X - 3 * Y + 40 * X**2 + 5 * X * Y + 0.5 * Y**2

CENTRED = (BOWL - BOWL.mean()) ** 2
IN_PAIRS = np.mean([CENTRED[1:], CENTRED[:-1], CENTRED[:, 1:].T, CENTRED[:, :-1].T])  # inner points count more


def test_quadratic__has_r_squared_one_and_no_residual():
    assert r_squared(BOWL, SHIFT) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(quadratic_residuals(BOWL, SHIFT), 0, atol=1e-12)
    assert residual_spread(BOWL, SHIFT) < 1e-12
    assert autocorrelation(BOWL) > 0.9


def test_noise__lowers_both_by_its_share_of_the_variance():
    signal = BOWL.var()
    for share in (0.2, 0.5, 0.9):
        noise = np.sqrt(signal * share / (1 - share))
        drawn = [BOWL + noise * np.random.default_rng(s).normal(size=BOWL.shape) for s in range(200)]
        found = {name: np.mean([measure(one, SHIFT) for one in drawn]) for name, measure in ROUGHNESS.items()}
        fitted = 5 * share / BOWL.size  # of the noise, by the coefficients of the fit but the constant
        assert found["r_squared"] == pytest.approx(1 - share + fitted, abs=0.01)
        assert found["autocorrelation"] == pytest.approx(
            IN_PAIRS / (IN_PAIRS + noise**2) * autocorrelation(BOWL), abs=0.01
        )
        assert found["residual_autocorrelation"] == pytest.approx(0, abs=0.03)
        assert found["residual_spread"] == pytest.approx(noise / BOWL.mean(), rel=0.02)


def test_residuals__of_a_smooth_function_of_higher_degree_are_correlated():
    smooth = BOWL + np.sin(8 * X) * np.cos(5 * Y)
    assert ROUGHNESS["residual_autocorrelation"](smooth, SHIFT) > 0.8
    assert r_squared(smooth, SHIFT) < 0.99


def test_roughness__of_a_constant_loss_is_unknown():
    assert np.isnan(r_squared(np.ones((5, 5)), SHIFT[:5]))
    assert np.isnan(autocorrelation(np.ones((5, 5))))

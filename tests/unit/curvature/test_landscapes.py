"""Landscapes: exact for a loss that is a quadratic function of the block, and rough for independent draws."""

import dataclasses

import numpy as np
import pytest
import torch
import toys
from toy_model import Mlp

from twirlscope.curvature import problem as problems
from twirlscope.curvature import spectra
from twirlscope.errors import UserError
from twirlscope.settings.hessian import HessianSettings

QUICK = {"samples": 4, "rotation_set": "D2", "groups": 0, "dtype": "float64", "device": "cpu", "gauss_newton": False}
TASK, SAMPLES = toys.force_field(), np.arange(4)


def measured(block="outer", step=4, **settings):
    torch.manual_seed(4)
    model = Mlp(Mlp.Settings(width=8), {}).double()
    problems.freeze_outside(model, block)
    size = sum(p.numel() for p in model.parameters() if p.requires_grad)
    settings = HessianSettings(**QUICK | {"landscape": 9} | settings, block=block)
    problem = problems.problem_of(TASK, SAMPLES, size, settings, split=np.arange(12))
    problem = dataclasses.replace(problem, landscape_step=4 if settings.landscape else None)
    return spectra.measure(model, problem, step).isel(step=0)


@pytest.mark.slow
def test_landscape__of_a_linear_layer_is_the_exact_quadratic_of_its_hessian():
    """The predictions are linear in the last layer, so the loss is quadratic: known from values at the checkpoint."""
    found = measured()
    top, bottom = found["landscape_eigenvalue"].values
    spectrum = found["ritz_value"].sel(curvature="hessian", part="total").values
    assert top == pytest.approx(spectrum[-1])
    assert bottom == pytest.approx(spectrum[spectrum > 1e-12 * top][0], rel=1e-3)
    common, shift = found["landscape_loss"].sel(draws="common"), found["landscape_shift"].values
    total = common.sel(part="total").values
    assert total[4, 4] == pytest.approx(float(found["loss_value"].sel(part="total")))
    bowl = 0.5 * top * shift[:, None] ** 2 + 0.5 * bottom * shift**2
    np.testing.assert_allclose((total + total[::-1, ::-1]) / 2 - total[4, 4], bowl, atol=1e-10)
    assert 0.5 * top * shift[-1] ** 2 == pytest.approx(total[4, 4]), "the rise of the quadratic at the end"
    np.testing.assert_allclose(common.sel(part="mean") + common.sel(part="equiv"), total, atol=1e-12)
    np.testing.assert_allclose(found["landscape_r_squared"].sel(draws="common"), 1, atol=1e-9)
    assert (found["landscape_residual_spread"].sel(draws="common") < 1e-9).all()


@pytest.mark.slow
def test_landscape__on_independent_draws_has_the_noise_of_single_points():
    """Its residuals are as large as the spread of the loss over draws at the checkpoint, and not correlated."""
    found = measured(landscape=15, landscape_rise=1e-3).sel(part="total")
    rough = found.sel(draws="independent")
    flat = rough["landscape_loss"].values  # the plane is so small that the loss itself is constant
    assert float(rough["landscape_residual_spread"]) == pytest.approx(flat.std() / flat.mean(), rel=0.1)
    assert rough["landscape_residual_spread"] > 1e3 * found.sel(draws="common")["landscape_residual_spread"]
    assert rough["landscape_r_squared"] < 0.1 < 0.99 < found.sel(draws="common")["landscape_r_squared"]
    assert abs(float(rough["landscape_autocorrelation"])) < 0.2
    assert found.sel(draws="common")["landscape_autocorrelation"] > 0.8


@pytest.mark.slow
def test_landscape__is_left_out_by_default_and_needs_all_eigenvalues():
    assert "landscape_loss" not in measured(landscape=0)
    other = measured(step=2)
    assert other["landscape_loss"].isnull().all(), "of another checkpoint than the last"
    assert {n: v.shape for n, v in other.items()} == {n: v.shape for n, v in measured().items()}
    with pytest.raises(UserError, match=r"hessian\.landscape.*at most 10 parameters.*36 parameters"):
        measured(exact=10)

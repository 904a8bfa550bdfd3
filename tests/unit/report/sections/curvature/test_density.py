"""Densities of eigenvalues: their integrals."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections.curvature import density
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def test_densities__integrate_to_one_over_the_axis_and_to_the_weights_on_each_side():
    one = training()
    table = density.densities(one, "density").numbers.data
    limit = density.MARGIN * float(abs(one.hessian["ritz_value"]).max())
    for (step, matrix, part), rows in table.groupby(["step", "curvature", "part"]):
        x = np.arcsinh(rows["eigenvalue"].values / (limit * 1e-6))
        assert np.trapezoid(rows["mean"], x) == pytest.approx(1, abs=1e-3)
        data = one.hessian.sel(step=step, curvature=matrix, part=part)
        large = data["ritz_value"].values > 1e-3 * limit
        right = rows["eigenvalue"].values > 1e-3 * limit
        weight = data["ritz_weight_deflated"].values[large].sum(0).mean()
        assert np.trapezoid(rows["mean"][right], x[right]) == pytest.approx(weight, rel=0.5, abs=1e-3)

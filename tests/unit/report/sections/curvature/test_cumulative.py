"""Shares of eigenvalues beyond a magnitude."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections.curvature import cumulative


def test_beyond__counts_each_side_of_zero_and_both_make_up_one():
    data = synthetic.hessian().sel(step=100, part="equiv", curvature="hessian")
    weight = data["ritz_weight_deflated"].mean("probe")
    sides = [cumulative.beyond(data, sign) for sign in (1, -1)]
    assert sum(side.share[0] for side in sides) == pytest.approx(1)
    middle = float(np.median(sides[0].value))
    expected = float(weight[data["ritz_value"] >= middle].sum())
    assert sides[0].share[sides[0].value >= middle][0] == pytest.approx(expected)
    assert (np.diff(sides[0].share) <= 1e-15).all()


def test_beyond__leaves_out_padding():
    data = synthetic.hessian().sel(step=100, part="equiv", curvature="hessian").copy(deep=True)
    whole = cumulative.beyond(data, 1)
    padded = cumulative.beyond(data.pad(ritz=(0, 3)), 1)
    np.testing.assert_array_equal(whole.share, padded.share)

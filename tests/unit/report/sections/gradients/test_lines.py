"""Bounds of values that are not above their noise."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections.gradients import norms
from twirlscope.report.sections.gradients.lines import divided, whole
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, None, synthetic.twirl(seed=seed), gradient=synthetic.gradient(seed=seed, **course))


def test_ratio__with_an_unresolved_divisor_is_drawn_as_its_lower_bound():
    one = training()
    square, error = one.gradient["gradient_square"], one.gradient["gradient_square_error"]
    square.loc[{"part": "mean", "layer": "whole", "step": 3000}] = 0.1
    error.loc[{"part": "mean", "layer": "whole", "step": 3000}] = 0.3
    data = whole(one)
    equiv = data["gradient_square"].sel(part="equiv").values
    line = divided(data, "gradient_square_ratio", norms.RATIO, "mean", equiv)
    assert not line.solid[-1]
    start, end = line.arrow
    assert start[-1] == pytest.approx(equiv[-1] / 0.7)
    assert end[-1] > start[-1]
    assert line.solid[:-1].all()
    assert np.isnan(start[:-1]).all()

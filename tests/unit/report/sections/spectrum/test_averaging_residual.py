"""The residual of averaging over sets of rotations."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections.spectrum import averaging_residual
from twirlscope.report.trainings import Training


def training(run="a", seed=0):
    return Training(run, seed, synthetic.train(50, seed), synthetic.spectral(synthetic.twirl(seed=seed)))


def test_residual__is_a_share_of_the_equivariance_error():
    one = training()
    table = averaging_residual.residual(one, "forces").set_index("rotation_set")
    assert table.loc["D2", "twirled_loss_predicted_share"] == pytest.approx(0.3)
    assert table.loc["T", "twirled_loss_share"] == pytest.approx(0.105)
    assert np.isnan(table.loc["I", "twirled_loss_share"])
    text = averaging_residual.residuals([one], "forces").alternative
    assert "differ by 1.5 % of the error at most" in text
    assert "31.5 % (D2, " in text

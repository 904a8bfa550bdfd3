"""Training curves against the stores they are made from."""

import numpy as np
import synthetic

from twirlscope.report.sections.training import training_curves
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def test_training_curves__mean_of_bins_is_the_mean_of_the_curve():
    one = training()
    table = training_curves([one]).numbers.data
    width = np.diff([0, *table["update"]])
    assert table["update"].iloc[-1] == one.train.sizes["update"]
    np.testing.assert_allclose(np.average(table["loss"], weights=width), one.train["loss"].mean(), rtol=1e-6)

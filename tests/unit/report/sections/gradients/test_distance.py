"""Figures of the equivariance error against gradients and distances in parameters."""

import numpy as np
import synthetic

from twirlscope.report.sections.gradients import distance
from twirlscope.report.trainings import Training


def measured(power=2.0, seed=0, run="a"):
    x = np.geomspace(0.1, 2, 9)
    y = 3 * x**power
    found = synthetic.gradient().assign(nearest_distance=("step", x), nearest_loss_equiv=("step", y))
    return Training(run, seed, None, synthetic.twirl(), gradient=found)


def test_against__has_a_point_for_every_checkpoint_with_both_numbers():
    figure = distance.against([measured(), measured(seed=1)])
    data = measured().gradient.sel(layer="whole")
    good = ~measured().twirl["trivial"].sel(term="weighted").reindex(step=data["step"], fill_value=False)
    rows = figure.numbers.data[figure.numbers.data["seed"] == 0]
    assert 0 < len(rows) == int(good.sum()) < data.sizes["step"]
    np.testing.assert_array_equal(rows["gradient_norm_ratio"], data["gradient_norm_ratio"].values[good.values])
    assert f"{len(figure.numbers)} points" in figure.alternative


def test_nearest__says_the_fitted_exponent_of_each_training():
    figure = distance.nearest([measured(2.0), measured(1.0, run="b")])
    assert "a, seed 0: 2 (95 % interval 2 to 2)" in figure.alternative
    assert "b, seed 0: 1 (95 % interval 1 to 1)" in figure.alternative
    assert distance.nearest([Training("a", 0, None, synthetic.twirl(), gradient=synthetic.gradient())]) is None
    assert distance.against([]) is None

"""The figures of gradients and parameters against the equivariance error, and that of a sweep."""

from pathlib import Path

import numpy as np
import synthetic

from twirlscope.report.inventory import DRAWN, RunFiles, drawn
from twirlscope.report.sections import sweeps
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
    good = (data["relative_equiv"] > 0) & (data["gradient_norm_ratio"] > 0)
    rows = figure.table[figure.table["seed"] == 0]
    assert len(rows) == int(good.sum()) > 0
    np.testing.assert_array_equal(rows["ratio of gradient norms [1]"], data["gradient_norm_ratio"].values[good])
    assert "Small points" in figure.caption


def test_nearest__says_the_fitted_exponent_of_each_training():
    figure = distance.nearest([measured(2.0), measured(1.0, run="b")])
    assert "a, seed 0: 2 (95 % interval 2 to 2)" in figure.caption
    assert "b, seed 0: 1 (95 % interval 1 to 1)" in figure.alternative
    assert distance.nearest([Training("a", 0, None, synthetic.twirl(), gradient=synthetic.gradient())]) is None
    assert distance.against([]) is None


def sweep_of(runs):
    members = {f"s_{i}": {"size": str(i % 3), "rate": "ab"[i % 2]} for i in range(runs)}
    return members, [Training(run, 0, None, synthetic.twirl(seed=i)) for i, run in enumerate(members)]


def test_sweep__pools_the_other_keys_and_keeps_every_number_in_its_table():
    members, trainings = sweep_of(30)
    figure = sweeps.sweep(trainings, "s", members, "weighted", 2.0)
    assert len(figure.table) == 30 * len(synthetic.STEPS)
    last = figure.table[figure.table["step [1]"] == synthetic.STEPS[-1]]
    ones = [t for t in trainings if members[t.run]["size"] == "1"]
    exact = np.median([float(t.twirl["percent_equiv"].sel(term="weighted")[-1]) for t in ones])
    assert np.isclose(last[last["size"] == "1"]["equivariance error [%]"].median(), exact)
    assert f"1: {exact:.3g} % of 10" in figure.alternative
    assert len(figure.files[".svg"]) < 400_000


def test_sweep__of_which_nothing_is_there_has_no_figure():
    members, _ = sweep_of(3)
    assert sweeps.sweep([measured()], "s", members, "weighted", 2.0) is None


def test_drawn__are_all_of_few_runs_and_of_many_those_that_no_sweep_made():
    made = [RunFiles(f"s_{i}", 0, Path("t"), Path("w"), None, "d", swept=True) for i in range(30)]
    own = [RunFiles("mine", seed, Path("t"), Path("w"), None, "d") for seed in (0, 1)]
    assert drawn(made[:5] + own) == {"mine", *(f.run for f in made[:5])}
    assert drawn(made + own) == {"mine"}
    assert drawn(made) == {f.run for f in made[:DRAWN]}

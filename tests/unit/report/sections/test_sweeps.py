"""Figures of sweeps against the stores."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections import sweeps
from twirlscope.report.trainings import Training


def sweep_of(runs):
    members = {f"s_{i}": {"size": str(i % 3), "rate": "ab"[i % 2]} for i in range(runs)}
    return members, [Training(run, 0, None, synthetic.twirl(seed=i)) for i, run in enumerate(members)]


@pytest.mark.slow
def test_sweep__pools_the_other_keys_and_keeps_every_number_in_its_table():
    members, trainings = sweep_of(30)
    figure = sweeps.sweep(trainings, "s", members, "weighted", 2.0)
    assert len(figure.numbers) == 30 * len(synthetic.STEPS)
    last = figure.numbers.data[figure.numbers.data[sweeps.STEP] == synthetic.STEPS[-1]]
    ones = [t for t in trainings if members[t.run]["size"] == "1"]
    exact = np.median([float(t.twirl["percent_equiv"].sel(term="weighted")[-1]) for t in ones])
    assert np.isclose(last[last["size"] == "1"]["percent_equiv"].median(), exact)
    assert f"{exact:.3g} %" in figure.alternative
    assert len(figure.files[".svg"]) < 400_000


def test_sweep__without_any_of_its_trainings_has_no_figure():
    members, _ = sweep_of(3)
    assert sweeps.sweep([Training("a", 0, None, synthetic.twirl())], "s", members, "weighted", 2.0) is None

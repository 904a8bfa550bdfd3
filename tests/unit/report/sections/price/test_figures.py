"""Figures of costs and budgets, against the numbers of the comparison."""

import numpy as np
from synthetic import PRICED, families

from twirlscope.report.sections.price import figures, results
from twirlscope.report.sections.price.comparison import BUILT_IN, LEARNED, TWIRLED


def judged(trainings):
    (found,) = results.results(trainings)
    return found


def test_figures__show_the_curves_and_the_losses_within_a_budget():
    found = judged(families())
    curves, served = figures.figures(found)
    assert (curves.name, served.name) == ("price_md_exact", "serving_md_exact")
    assert len(curves.wide.axes) == 3
    assert len(served.wide.axes) == 2
    assert len(curves.numbers) == 3 * 2 * (len(PRICED) - 1)
    drawn = curves.wide.axes[2].lines[0]
    np.testing.assert_array_equal(drawn.get_xdata(), curves.numbers.data.query("axis == 'updates'")["cost"][:7])
    assert "By updates, learned, plain: from" in curves.alternative
    assert set(served.numbers.data["family"]) == {LEARNED, BUILT_IN, TWIRLED}
    assert np.isfinite(served.numbers.data.select_dtypes("number").to_numpy()).all()

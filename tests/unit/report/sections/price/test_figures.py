"""Figures of costs and budgets, against the numbers of the comparison."""

import numpy as np
from synthetic import PRICED, families, priced

from twirlscope.report.sections.price import figures, results
from twirlscope.report.sections.price.comparison import BUILT_IN, LEARNED, TWIRLED
from twirlscope.report.wording import say


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
    lowest = curves.numbers.data.groupby(["axis", "run"])["loss"].last()
    assert f"{say(lowest.min())} (" in curves.alternative
    assert set(served.numbers.data["family"]) == {LEARNED, BUILT_IN, TWIRLED}
    assert np.isfinite(served.numbers.data.select_dtypes("number").to_numpy()).all()


def test_figures__say_one_seed_and_draw_no_band_for_it():
    plain = families()[:3]
    curves, served = figures.figures(judged([*plain, priced("exact", True, level=10.0, slope=0.6)]))
    for figure in (curves, served):
        assert "One seed of exact: no interval." in figure.caption
        labels = [text.get_text() for text in figure.wide.legends[0].get_texts()]
        assert f"{BUILT_IN} (one seed)" in labels
        assert LEARNED in labels
    rows = curves.numbers.data.set_index("family")
    assert rows.loc[BUILT_IN, "loss_low"].isna().all()
    assert rows.loc[LEARNED, "loss_low"].notna().all()
    assert served.numbers.data["loss_low"].isna().all()

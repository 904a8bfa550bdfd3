"""Landscapes on the page: their numbers, and roughness beside each drawing."""

import numpy as np
import synthetic

from twirlscope.report.sections.curvature import landscape
from twirlscope.report.trainings import Training


def training():
    return Training("small", 0, synthetic.train(300, 0), synthetic.twirl(seed=0), synthetic.exact_hessian())


def test_landscapes__show_both_draws_of_both_parts_at_the_last_step():
    one = training()
    figure = landscape.landscapes(one, "landscape")
    assert [ax.get_title("left").split(": ")[-1] for ax in figure.wide.axes] == ["R² 1.00", "R² 0.25"] * 2
    stored = one.hessian["landscape_loss"].isel(step=-1)
    assert len(figure.numbers) == stored.size
    assert figure.numbers.data["landscape_loss"].notna().all()
    drawn = np.array([line.get_ydata() for line in figure.wide.axes[1].lines])
    np.testing.assert_allclose(drawn, stored.sel(part="mean", draws="independent").T)
    assert "step 3000" in figure.caption
    assert "in outer" in figure.caption


def test_table__has_the_roughness_of_the_last_step_alone():
    rows = landscape.roughness_table([training()]).numbers.data
    assert set(rows["step"]) == {3000}
    assert len(rows) == 4
    assert rows.set_index(["draws", "part"])["landscape_r_squared"]["independent", "twirled prediction error"] == 0.25

"""Curves of the two parts of the loss, beside scaled published curves."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.published.curves import reference_curves
from twirlscope.report.sections import loss_curves
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def test_losses__table_holds_the_numbers_of_the_store():
    one = training()
    table = loss_curves.losses([one], "forces").numbers.data
    table = table[table["loss_total"].notna()]
    for part in ("total", "mean", "equiv"):
        np.testing.assert_array_equal(table[f"loss_{part}"], one.twirl[f"loss_{part}"].sel(term="forces"))
        np.testing.assert_array_equal(table[f"loss_{part}_high"], one.twirl[f"loss_{part}_high"].sel(term="forces"))
    np.testing.assert_allclose(table["loss_mean"] + table["loss_equiv"], table["loss_total"], rtol=1e-12)


def test_losses__have_published_curves_scaled_to_the_loss_of_predicting_zero():
    one = training()
    rows = loss_curves.losses([one], "forces").numbers.data
    first = 0.0
    for part in loss_curves.PARTS:
        (published,) = reference_curves("force_field", f"loss_{part}")
        mine = rows[rows[f"published_{part}"].notna()].sort_values("step")
        np.testing.assert_array_equal(mine["step"], published.step)
        ratio = mine[f"published_{part}"].to_numpy() / published.value
        np.testing.assert_allclose(ratio, ratio[0])
        first += mine[f"published_{part}"].iloc[0]
    assert first == pytest.approx(float(one.twirl["loss_zero"].sel(term="forces")))
    assert "published_equiv" not in loss_curves.losses([one], "energy").numbers.data


def test_losses__of_another_task_have_no_published_curve():
    one = Training("a", 0, None, synthetic.twirl())
    figure = loss_curves.losses([one], "forces")
    assert figure.plain is None
    assert "published" not in figure.caption

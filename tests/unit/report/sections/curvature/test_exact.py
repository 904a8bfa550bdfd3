"""Ratios from all eigenvalues: pooled over seeds, in words, in the table, and beside runs of Lanczos."""

import numpy as np
import pytest
import synthetic

from twirlscope.estimators.curvature.exact_ratios import ratio_over_seeds
from twirlscope.report.figures import style
from twirlscope.report.sections.curvature import exact, section
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **given):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed), synthetic.exact_hessian(**given))


def test_ratio_numbers__pool_the_seeds_of_a_run():
    trainings = [training(seed=s, ratio=r) for s, r in enumerate((2.0, 4.0, 8.0))]
    table = exact.ratio_numbers(trainings).data
    assert len(table) == 3 * 2 * len(exact.SHOWN)
    assert (table["seeds"] == 3).all()
    np.testing.assert_allclose(table["ratio"], 4.0)
    np.testing.assert_allclose(table["mean"], 200.0)
    one = table[(table["matrix"] == "hessian") & (table["name"] == "κ_E99")].iloc[-1]
    last = [t.hessian["condition_replicate"].isel(step=-1).sel(curvature="hessian", side="absolute") for t in trainings]
    left_out = [(d.sel(part="mean") / d.sel(part="equiv")).sel(measure="kappa_E99").values for d in last]
    expected = ratio_over_seeds(np.array([2.0, 4.0, 8.0]), np.array(left_out))
    assert (one["ratio_low"], one["ratio_high"]) == pytest.approx(expected[1:])


def test_ratio_numbers__of_one_seed_have_the_stored_interval():
    table = exact.ratio_numbers([training(ratio=3.0)]).data
    np.testing.assert_allclose(table["ratio_low"], 1.5)
    np.testing.assert_allclose(table["ratio_high"], 6.0)


def test_sentence__names_the_layer_and_says_what_is_open():
    clear, doubtful = training("clear", ratio=3.0), training("doubtful", ratio=1.1)
    table = exact.ratio_numbers([clear, doubtful])
    text = exact.sentence("clear", [clear], table)
    assert "its layer outer" in text
    assert (
        "κ_E90 of the twirled prediction error over that of the equivariance error is 3 (95 % interval 1.5 to 6)"
        in text
    )
    assert "in 0 of 6 definitions it is open" in text
    assert "in 6 of 6 definitions it is open" in exact.sentence("doubtful", [doubtful], table)


@pytest.mark.slow
def test_section__shows_no_number_of_a_lanczos_run_for_exact_spectra():
    lanczos = Training("large", 0, synthetic.train(300, 0), synthetic.twirl(seed=0), synthetic.hessian((0, 3000)))
    found = section.section([training(steps=(0, 3000)), lanczos])
    names = [f.name for f in found.figures]
    assert names[0] == "condition_ratios"
    assert "landscape_small_seed0" in names
    assert not [n for n in names if n.endswith("small_seed0") and not n.startswith("landscape")]
    assert [t.name for _, t in found.tables] == ["condition_ratios", "landscapes"]
    assert "condition_large_seed0" in names
    for figure in found.figures:
        assert style.rendered(figure.wide, "svg")

"""Spectra by degree against their stores."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections.spectrum import degrees
from twirlscope.report.trainings import Training


def training(run="a", seed=0):
    return Training(run, seed, synthetic.train(50, seed), synthetic.spectral(synthetic.twirl(seed=seed)))


def test_spectrum__table_holds_every_checkpoint_and_degree_of_the_store():
    one = training()
    table = degrees.spectrum([one], "forces").numbers.data
    assert len(table) == one.twirl.sizes["step"] * one.twirl.sizes["degree"]
    row = table[(table["step"] == 100) & (table["degree"] == 2)]
    assert row["spectrum"].item() == one.twirl["spectrum"].sel(step=100, term="forces", degree=2)


def test_spectrum__says_in_words_which_degree_is_the_largest():
    text = degrees.spectrum([training()], "forces").alternative
    assert text.startswith("The largest part of the error at the last checkpoint is of degree 1 in ")
    assert "% (" in text


def test_effective_degree__table_and_words_agree_with_the_store():
    one = training()
    figure = degrees.effective_degree([one, training(seed=1)], "forces")
    values = one.twirl["effective_degree"].sel(term="forces").values
    np.testing.assert_array_equal(figure.numbers.data["effective_degree"][: len(values)], values)
    assert f"{values[-1]:.3g} (" in figure.alternative


def test_measured__leaves_out_trainings_without_a_panel():
    without = Training("b", 0, synthetic.train(50), synthetic.twirl())
    one = training()
    chosen = degrees.measured([one, without], "forces")
    assert len(chosen) == 1
    assert chosen[0] is one


@pytest.mark.parametrize("count", [1, 2, 9])
def test_shown_steps__are_few_and_hold_both_ends(count):
    steps = np.arange(count) * 10
    shown = degrees.shown_steps(steps)
    assert shown[0] == 0
    assert shown[-1] == steps[-1]
    assert len(shown) == len(set(shown)) <= degrees.SHOWN


def test_spectrum__names_the_steps_of_every_panel_if_these_differ_between_runs():
    data = synthetic.spectral(synthetic.twirl())
    one, other = Training("a", 0, None, data), Training("b", 0, None, data.assign_coords(step=data["step"] * 2))
    alike, apart = (degrees.spectrum(runs, "forces").wide for runs in ([one], [one, other]))
    assert "steps" not in alike.axes[0].get_title(loc="left")
    titles = [ax.get_title(loc="left") for ax in apart.axes]
    for title, run in zip(titles, (one, other), strict=True):
        shown = degrees.shown_steps(run.twirl["step"].values)
        assert title.endswith(f"steps {', '.join(map(str, shown))}")


def without_some_panels(one, steps):
    """The training with a panel at these checkpoints alone."""
    data = one.twirl.copy(deep=True)
    for name in ("spectrum", "spectrum_error", "panel_loss_equiv", *degrees.DEGREE):
        data[name] = data[name].where(data["step"].isin(steps))
    return Training(one.run, one.seed, one.train, data)


def test_figures__of_panels_at_some_checkpoints_have_these_alone_and_no_gaps():
    one = training()
    every = one.twirl["step"].values
    steps = [int(every[0]), int(every[3]), int(every[-1])]
    some = without_some_panels(one, steps)
    drawn, whole = (degrees.spectrum([t], "forces").numbers.data for t in (some, one))
    assert sorted(drawn["step"].unique()) == steps
    expected = whole[whole["step"].isin(steps)]["spectrum"]
    np.testing.assert_array_equal(drawn["spectrum"], expected)
    figure = degrees.effective_degree([some], "forces")
    assert figure.numbers.data["step"].tolist() == steps
    after = [line for line in figure.wide.axes[0].lines if list(line.get_xdata()) == steps[1:]]  # step 0 stands alone
    assert after
    assert all(np.isfinite(line.get_ydata()).all() for line in after)

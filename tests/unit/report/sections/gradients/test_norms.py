"""The figures of gradients hold the numbers of the store and say what is above its noise."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.figures import style
from twirlscope.report.sections.gradients import direction, layers, norms, section
from twirlscope.report.sections.gradients.norms import divided, whole
from twirlscope.report.trainings import Training

FIGURES = (
    norms.ratio,
    norms.norms,
    norms.noise,
    direction.cosine,
    direction.share,
)


def training(run="small", seed=0, **course):
    return Training(run, seed, None, synthetic.twirl(seed=seed), gradient=synthetic.gradient(seed=seed, **course))


@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("steps", [(0,), (3000,), (0, 3000), synthetic.STEPS])
def test_figures__can_be_drawn_from_any_checkpoints(draw, steps):
    figure = draw([training(steps=steps), training("other", steps=steps), training("other", 1, steps=steps)])
    assert figure.files[".svg"].startswith(b"<?xml")
    assert style.rendered(figure.narrow, "svg")
    assert "24" not in figure.title
    assert "6 independent batches of 4 samples" in figure.caption


def test_tables__hold_the_numbers_of_the_store():
    one = training()
    table = norms.ratio([one]).table
    for name in ("gradient_square_ratio", "gradient_square_ratio_error", "relative_equiv"):
        np.testing.assert_array_equal(table[f"{name} [1]"], whole(one)[name])
    table = norms.norms([one]).table
    rows = table[table["part"] == "equiv"]
    np.testing.assert_array_equal(rows["gradient_square [1]"], whole(one)["gradient_square"].sel(part="equiv"))


def test_ratio__of_an_unresolved_norm_is_drawn_as_the_least_it_can_be():
    one = training()
    square, error = one.gradient["gradient_square"], one.gradient["gradient_square_error"]
    square.loc[{"part": "mean", "layer": "whole", "step": 3000}] = 0.1
    error.loc[{"part": "mean", "layer": "whole", "step": 3000}] = 0.3
    data = whole(one)
    equiv = data["gradient_square"].sel(part="equiv").values
    course = divided(data, "gradient_square_ratio", norms.RATIO, "mean", equiv)
    assert not course.solid[-1]
    start, end = course.arrow
    assert start[-1] == pytest.approx(equiv[-1] / 0.7)
    assert end[-1] > start[-1]
    assert course.solid[:-1].all()
    assert np.isnan(start[:-1]).all()


def test_share__counts_what_lies_outside_the_axis():
    one = training()
    one.gradient["update_share"].loc[{"layer": "whole", "step": 3000}] = 7.0
    assert "1 values outside the axis" in direction.share([one]).caption
    assert "outside the axis" not in direction.share([training()]).caption


def test_cosine__is_hollow_where_a_norm_is_within_its_noise():
    one = training()
    one.gradient["gradient_square_error"].loc[{"part": "equiv", "step": 1}] = 1e9
    figure = direction.cosine([one])
    hollow = [line for line in figure.wide.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow] == [[1]]


def test_layers__shows_a_few_checkpoints_and_has_all_in_the_table():
    one = training()
    figure = layers.layers(one, "layers")
    words = [t.get_text() for t in figure.wide.legends[0].get_texts()]
    assert words == ["step 0", "step 10", "step 100", "step 3000"]
    labels = [t.get_text() for t in figure.wide.axes[0].get_yticklabels()]
    assert labels == ["whole", "first", "last.readout"]
    row = figure.table[(figure.table["step [1]"] == 30) & (figure.table["layer"] == "first")].iloc[0]
    data = one.gradient.sel(step=30, layer="first")
    assert row["gradient_square_equiv [1]"] == data["gradient_square"].sel(part="equiv")
    assert row["gradient_square_ratio_error [1]"] == data["gradient_square_ratio_error"]
    assert style.rendered(figure.narrow, "svg")


def test_sentence__says_what_is_above_its_noise_and_no_more():
    one = training()
    data = whole(one).isel(step=0)
    text = section.gradient_sentence(one)
    assert f"{float(data['gradient_square_ratio']):.3g} ± " in text
    assert "at step 0, where that error is 6" in text
    assert "the update that led to step 1 " in text
    one.gradient["gradient_square_error"].loc[{"part": "mean"}] = 1e9
    assert "nowhere above its noise" in section.gradient_sentence(one)

"""Gradients by layer against the store."""

import synthetic

from twirlscope.report.figures import style
from twirlscope.report.sections.gradients import layers
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, None, synthetic.twirl(seed=seed), gradient=synthetic.gradient(seed=seed, **course))


def test_layers__shows_a_few_checkpoints_and_has_all_in_the_table():
    one = training()
    figure = layers.layers(one, "layers")
    words = [t.get_text() for t in figure.wide.legends[0].get_texts()]
    assert words == ["step 0", "step 10", "step 100", "step 3000"]
    labels = [t.get_text() for t in figure.wide.axes[0].get_yticklabels()]
    assert labels == ["whole", "first", "last.readout"]
    row = figure.numbers.data.query("step == 30 and layer == 'first'").iloc[0]
    data = one.gradient.sel(step=30, layer="first")
    assert row["gradient_square_equiv"] == data["gradient_square"].sel(part="equiv")
    assert row["gradient_square_ratio_error"] == data["gradient_square_ratio_error"]
    assert style.rendered(figure.narrow, "svg")

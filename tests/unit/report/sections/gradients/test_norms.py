"""Norms of gradients, and the figures of gradients over any checkpoints."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.figures import style
from twirlscope.report.sections.gradients import direction, norms
from twirlscope.report.sections.gradients.lines import samples_note, whole
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


@pytest.mark.slow
@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("steps", [(0,), (3000,), (0, 3000), synthetic.STEPS])
def test_figures__can_be_drawn_from_any_checkpoints(draw, steps):
    figure = draw([training(steps=steps), training("other", steps=steps), training("other", 1, steps=steps)])
    for canvas in (figure.wide, figure.narrow):
        assert style.rendered(canvas, "svg").startswith(b"<?xml")
    assert "24" not in figure.title
    assert "6 independent batches of 4 samples" in samples_note([training(steps=steps)])


def test_tables__hold_the_numbers_of_the_store():
    one = training()
    table = norms.ratio([one]).numbers.data
    for name in ("gradient_square_ratio", "gradient_square_ratio_error", "relative_equiv"):
        np.testing.assert_array_equal(table[name], whole(one)[name])
    table = norms.norms([one]).numbers.data
    rows = table[table["part"] == "equiv"]
    np.testing.assert_array_equal(rows["gradient_square"], whole(one)["gradient_square"].sel(part="equiv"))

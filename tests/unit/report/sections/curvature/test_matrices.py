"""Remarks that the figures of curvature share."""

import synthetic
from matplotlib.text import Text

from twirlscope.report.sections.curvature import condition_numbers, cumulative
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def texts(canvas):
    return [t.get_text() for t in canvas.findobj(Text)]


def test_remarks__explain_the_negative_tail_where_the_mean_part_is_corrected_and_only_there():
    one, other = training(), training()
    other = Training("other", 0, other.train, other.twirl, synthetic.hessian(independent=True))
    assert "made by its correction" in " ".join(condition_numbers.remarks(other))
    assert "correction" not in " ".join(condition_numbers.remarks(one))
    assert "not corrected" in " ".join(texts(cumulative.distribution(other, "a").wide))

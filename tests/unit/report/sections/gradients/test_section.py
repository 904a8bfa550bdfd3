"""The sentence on the gradients of a training."""

import synthetic

from twirlscope.report.sections.gradients import section
from twirlscope.report.sections.gradients.lines import whole
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, None, synthetic.twirl(seed=seed), gradient=synthetic.gradient(seed=seed, **course))


def test_sentence__has_only_numbers_above_their_noise():
    one = training()
    data = whole(one).isel(step=0)
    text = section.gradient_sentence(one)
    assert f"{float(data['gradient_square_ratio']):.3g} ± " in text
    assert "times (step 0, 6" in text
    assert "The update to step 1 spends " in text
    one.gradient["gradient_square_error"].loc[{"part": "mean"}] = 1e9
    assert "nowhere above its noise" in section.gradient_sentence(one)

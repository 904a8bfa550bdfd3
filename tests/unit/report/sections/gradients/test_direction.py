"""Directions of gradients: values outside the axis, and points within their noise."""

import synthetic

from twirlscope.report.sections.gradients import direction
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, None, synthetic.twirl(seed=seed), gradient=synthetic.gradient(seed=seed, **course))


def test_share__counts_what_lies_outside_the_axis():
    one = training()
    one.gradient["update_share"].loc[{"layer": "whole", "step": 3000}] = 7.0
    assert "1 values are outside the axis" in direction.share([one]).alternative
    assert "0 values are outside the axis" in direction.share([training()]).alternative


def test_cosine__is_hollow_where_a_norm_is_within_its_noise():
    one = training()
    one.gradient["gradient_square_error"].loc[{"part": "equiv", "step": 1}] = 1e9
    figure = direction.cosine([one])
    hollow = [line for line in figure.wide.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow] == [[1]]

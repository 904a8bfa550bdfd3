"""Figures of fields against their stores."""

import numpy as np
from synthetic import field

from twirlscope.report.sections.fields import metrics, slices


def test_slices__table_holds_every_value_and_words_the_distance_to_the_target():
    one = field()
    figure = slices(one)
    values = one.twirl["slice_value"].values[0]
    np.testing.assert_array_equal(figure.numbers.data["slice_value"], values.ravel())
    far = {k: np.sqrt(((values[k] - values[3]) ** 2).mean()) for k in range(3)}
    assert f"{max(far.values()):.3g} (" in figure.alternative


def test_metrics__words_are_those_of_the_last_step():
    one = field()
    figure = metrics([one])
    assert f"atoms found are {one.twirl['merit_value'].values[-1, 0]:.3g}" in figure.alternative
    assert len(figure.numbers) == 2 * one.twirl.sizes["step"]

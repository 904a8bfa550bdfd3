"""Losses within a budget, and the best family by number of inferences."""

import numpy as np
import pytest
from synthetic import families

from twirlscope.report.sections.price import crossover, results, sentences, serving
from twirlscope.report.sections.price.comparison import BUILT_IN, LEARNED, TWIRLED


def judged(trainings):
    (found,) = results.results(trainings)
    return found


def test_budget_curve__trains_with_the_rest_of_the_budget():
    found = judged(families()).budgets["time"]
    assert found.budget == pytest.approx(10.0)  # 1000 updates of 0.01 s
    assert found.inferences[-1] == pytest.approx(10_000)  # at a millisecond each nothing else is left
    k = 32
    left = 10.0 - 1e-3 * found.inferences[k]
    axis = judged(families()).axes["time"]
    expected = np.exp(crossover.best(axis.families[LEARNED], np.log([[left]])))
    np.testing.assert_allclose(found.loss[LEARNED][:, k], expected[:, 0])
    assert np.isinf(found.loss[BUILT_IN][0, found.inferences > 1000]).all()


@pytest.mark.parametrize(("unlearned", "low", "high"), [(2, 100, 100), (10, 0, np.inf)])
def test_change__may_be_anywhere_in_resamples_that_learn_nothing_within_the_budget(unlearned, low, high):
    """Two resamples of a hundred are less than the 2.5 % beyond an end of the interval, ten are more."""
    grid = np.geomspace(1, 1000, 49)
    up, flat = np.tile(grid**0.5, (101, 1)), np.full((101, 49), 10.0)
    up[-unlearned:], flat[-unlearned:] = np.inf, np.inf
    found = serving.best_ranges(serving.BudgetCurve("time", 5.0, grid, {LEARNED: flat, BUILT_IN: up}))
    assert (found[1].from_low, found[1].from_high) == pytest.approx((low, high))
    assert found[0].share == found[1].share == pytest.approx(1 - unlearned / 100)
    assert results.budget_numbers({"time": serving.BudgetCurve("time", 5.0, grid, {LEARNED: flat})}).data.empty


def test_best_ranges__say_up_to_how_many_inferences_a_family_is_best():
    grid = np.geomspace(1, 1000, 49)
    up, flat = np.tile(grid**0.5, (101, 1)), np.full((101, 49), 10.0)
    none = np.where(grid > 500, np.inf, 20.0) * np.ones((101, 1))
    found = serving.BudgetCurve("time", 5.0, grid, {LEARNED: flat, BUILT_IN: up, TWIRLED: none})
    first, second = serving.best_ranges(found)
    assert (first.family, second.family) == (BUILT_IN, LEARNED)
    assert first.low == 1.0
    assert first.high < 100.0 < second.low * 1.2
    assert (second.from_low, second.from_high) == pytest.approx((100.0, 100.0))
    assert first.share == second.share == 1.0
    text = sentences._budget(found, serving.best_ranges(found))
    assert text.startswith("With 5 s for training and inferences together, built-in symmetry is best up to")
    assert "then learned symmetry is best from 100 (95 % interval 100 to 100) to 1000 inferences" in text

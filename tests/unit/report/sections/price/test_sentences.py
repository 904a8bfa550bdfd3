"""Sentences on crossings, with their intervals."""

import math

import numpy as np
import pytest
from synthetic import families

from twirlscope.report.sections.price import comparison, crossover, results, sentences
from twirlscope.report.sections.price.comparison import LEARNED


def judged(trainings):
    (found,) = results.results(trainings)
    return found


def start(run):
    """Logarithm of the loss after the first update, mean over seeds."""
    first = [t.twirl["sample_loss_total"].values[1].mean() for t in families() if t.run == run]
    return np.log(first).mean()


def test_sentences__say_where_the_curves_cross():
    """By updates 10 s^-0.6 = 2 s^-0.3 at s = 5^(1/0.3) = 214, up to variation between seeds."""
    found = judged(families())
    said = sentences.sentences(found)
    begin = (
        "On md, by 30 held-out samples, learned symmetry (plain, 3 seeds) is compared with built-in symmetry (exact, 3"
    )
    assert said[0].startswith(begin)
    truth = math.exp((start("exact") - start("plain")) / 0.3)
    assert 100 < truth < 400
    assert found.crossovers["updates"][0.0][LEARNED].cost == pytest.approx(truth, rel=1e-9)
    begin = f"By updates the curves cross: built-in symmetry is ahead from {truth:.3g} updates on (95 % interval"
    assert said[3].startswith(begin)
    assert "Its loss there is" in said[3]


def test_sentences__say_that_there_is_no_crossing_and_who_is_ahead():
    said = sentences.sentences(judged(families(built={"level": 1.0})))
    begin = "By updates the curves do not cross in the measured range, 1 updates to 1000 updates: built-in symmetry is "
    assert said[3].startswith(begin + "ahead throughout, in 100 % of the resamples")
    other = sentences.sentences(judged(families(built={"level": 5.0, "slope": 0.1})))
    assert "learned symmetry is ahead throughout" in other[3]


def test_sentences__say_that_neither_family_has_learned():
    said = sentences.sentences(judged(families(built={"slope": 0.0}, learned={"slope": 0.0})))
    assert said[1:] == [
        f"By {axis} neither has learned before the other's measurement ends." for axis in comparison.AXES
    ]


@pytest.mark.parametrize("change", [{}, {"level": 1.0}])
def test_sentences__give_no_interval_with_one_seed_and_say_so(change):
    """One seed of one of both families is enough."""
    trainings = families(built=change)
    found = judged([t for t in trainings if t.run == "plain" or t.seed == 0])
    said = sentences.sentences(found)
    assert "One seed of exact: variation between seeds is unknown, nothing has an interval." in said[0]
    assert "95 % interval" not in " ".join(said)
    assert "resamples" not in " ".join(said)
    assert "(one seed, no interval)" in said[3]
    table = results.crossover_numbers([found]).data
    assert table["ratio"].notna().all()
    assert table[["ratio_low", "ratio_high", "from_low", "from_high", "behind"]].isna().all(None)
    assert "One seed" not in sentences.sentences(judged(trainings))[0]


@pytest.mark.parametrize(
    ("low", "high", "words"), [(0.0, 5.0, "before 1 s to 5 s"), (2.0, math.inf, "2 s to beyond 2.5 h")]
)
def test_sentences__say_which_ends_lie_outside_of_what_was_measured(low, high, words):
    found = crossover.Crossover(1, 3.0, low, high, 1.0, 9000.0, 0.9, 0.05, 0.05, 0.5, 0.4, 0.6)
    text = sentences._crossover("time", found)
    assert f"(95 % interval {words})" in text
    assert "in 5 % of the resamples it is behind there" in text

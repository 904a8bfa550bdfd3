"""Cards of the first screen."""

import numpy as np
import pytest
import synthetic
from synthetic import control

from twirlscope.report.first_screen.cards import _ratios, cards
from twirlscope.report.sections.course.courses import course_of
from twirlscope.report.trainings import Training, primary_term


def learner(seed=0, **settings):
    return Training("a", seed, synthetic.train(), synthetic.twirl(**settings), dataset="md")


def test_cards__have_the_range_over_seeds_and_the_outer_ends_of_their_intervals():
    seeds = [learner(0), learner(1, percent=None)]
    seeds[1].twirl["percent_equiv"][:] *= 2
    (card,) = cards(seeds, [], 2.0)
    term = primary_term(seeds[0])
    last = [t.last(term) for t in seeds]
    values = [float(one["percent_equiv"]) for one in last]
    assert card.error == f"{min(values):.3g} to {max(values):.3g} %"
    assert f"{min(float(one['percent_equiv_low']) for one in last):.3g}" in card.interval
    assert f"of the loss of the {term}" in card.interval
    assert "2 seeds" in card.networks


def test_cards__say_from_which_step_on_the_error_is_small_or_that_it_is_not():
    below = cards([learner()], [], 2.0)[0].facts["Below 2 %"]
    step = course_of(learner(), primary_term(learner()), 2.0).step
    assert below.startswith("for good")
    assert any(str(s) in below for s in step)
    assert cards([learner()], [], 1e-9)[0].facts["Below 1e-09 %"] == "not at the end of the training"


def test_cards__are_one_per_task_and_dataset_and_name_the_built_in_symmetry():
    built = Training("exact", 0, synthetic.train().assign_attrs(equivariant=True), control().twirl, dataset="md")
    other = Training("b", 0, synthetic.train(), synthetic.twirl(), dataset="other")
    first, second = cards([learner(), built, other], [], 2.0)
    assert first.heading.endswith("md")
    assert "rounding error" in first.facts["Built in"]
    assert second.facts["Built in"] == "not tested here"
    (alone,) = cards([built], [], 2.0)
    assert alone.error == "rounding error"
    assert "Below 2 %" not in alone.facts


def test_cards__give_the_error_in_the_unit_of_the_data():
    one = learner()
    term = primary_term(one)
    error = 1000 * np.sqrt(float(one.last(term)["loss_total"])) * float(one.twirl.attrs[f"scale_{term}"])
    assert f"RMSE {error:.3g} meV" in cards([one], [], 2.0)[0].facts["Quality"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(2.0, "the same time per inference"), (3.0, "1.5 times the time per inference")]
)
def test_ratios__say_the_time_of_an_inference_over_that_of_learned_symmetry(seconds, said):
    both = [Training(name, 0, synthetic.train(50), synthetic.twirl()) for name in "ab"]
    for one, time in zip(both, (seconds, 2.0), strict=True):
        one.train["seconds_inference"] = time
    assert _ratios(both[:1], both[1:], []) == [said]

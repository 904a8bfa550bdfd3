"""The section on objectives, on made-up trainings."""

import numpy as np
import pytest
from objective_worlds import seeds, training

from twirlscope.report.sections.claims import objectives as claims
from twirlscope.report.sections.objectives.comparison import comparisons, updates_of, words
from twirlscope.report.sections.objectives.section import ends, pareto, section

AUGMENT = {"name": "augment", "rotations": "haar", "views": 1, "angle": 180.0}
PENALTY = {"name": "equiv_penalty", "weight": 3.0, "share": 1.0, "allow_divergence": False}


def test_words__name_what_is_not_the_default():
    assert words(AUGMENT) == "augment"
    assert words(PENALTY) == "equiv_penalty weight 3"
    both = {"name": "schedule", "first": {"name": "none", "canonical": False}, "then": AUGMENT, "at": 0.5}
    assert words(both) == "none, then augment from 50 %"
    assert words({"name": "none", "canonical": True}) == "none canonical"
    assert words({"name": "frames", "frames": "all"}) == "frames all"
    assert words({"name": "gone.py:Mine", "weight": 2.0}) == "gone.py:Mine"


def test_comparisons__are_of_one_model_and_need_two_objectives():
    every = [*seeds(AUGMENT), *seeds(PENALTY), *seeds({"name": "none"}, built_in=True, run="exact")]
    (found,) = comparisons(every)
    assert list(found.seeds) == ["augment", "equiv_penalty weight 3"]
    assert list(found.built_in) == ["exact"]
    assert not comparisons(seeds(AUGMENT))


def test_comparisons__are_of_trainings_that_differ_in_their_objective_alone():
    """A sweep of the learning rate, of samples and of lengths beside a sweep of the objective."""
    base, other = {"name": "augment"}, {"name": "none"}
    swept = [
        *seeds(base, run="slow", train={"learning_rate": 1e-4}),
        *seeds(base, run="few", train={"samples": 60}),
        *seeds(base, run="long", steps=(0, 10, 1000)),
        *seeds(base, run="machine", train={"save_every": 3.0}),
    ]
    (found,) = comparisons([*seeds(base), *seeds(other), *swept])
    assert {name: sorted({t.run for t in kept}) for name, kept in found.seeds.items()} == {
        "augment": ["augment", "machine"],
        "none": ["none"],
    }
    assert section([*seeds(base), *seeds(other), *swept]) is not None
    (found,) = comparisons([*swept[6:9], *seeds(other), *seeds(base)])
    assert {t.run for t in found.reference} == {"augment"}, "of two lengths the one of the same cost"
    (found,) = comparisons([*seeds(base), *swept[6:9], *seeds(other), *seeds(other, run="long", steps=(0, 10, 1000))])
    assert {t.run for kept in found.seeds.values() for t in kept} == {"long"}, "without a single length, the longest"


@pytest.mark.parametrize("flops", [0.0, float("nan")])
def test_comparisons__without_counted_flops_are_of_the_longest_and_of_unknown_cost(flops):
    short, longer = (
        seeds({"name": "augment"}, flops=flops),
        seeds({"name": "augment"}, steps=(0, 10, 1000), flops=flops),
    )
    (found,) = comparisons([*short, *longer, *seeds({"name": "none"}, flops=flops)])
    assert {updates_of(t) for t in found.reference} == {1000}
    assert np.isnan(ends(found).data["flops"]).all()
    assert claims.unequal(short, longer) == claims.unequal(short, short) != ""


def test_ends__are_means_over_seeds_and_test_time_losses_of_all_samples():
    (one,) = comparisons([*seeds(AUGMENT, 2.0), *seeds(PENALTY, 3.0, percent=1.0, flops=2e9)])
    rows = ends(one).data.set_index("objective")
    assert rows["loss"].tolist() == pytest.approx([2.0, 3.0])
    assert rows["ratio"].tolist() == pytest.approx([1.0, 1.5])
    assert rows.loc["augment", ["ratio_low", "ratio_high"]].tolist() == [1.0, 1.0], "over itself"
    assert rows["ratio_low"].iloc[1] < 1.5 < rows["ratio_high"].iloc[1]
    assert rows["flops"].tolist() == pytest.approx([0.1, 0.2])
    assert rows["percent"].tolist() == pytest.approx([3.0, 1.0])
    assert rows["served"].tolist() == pytest.approx([1.6, 2.4])
    assert rows["averaged_haar4"].tolist() == pytest.approx([2.0 * (1 - 0.0225), 3.0 * (1 - 0.0075)])
    assert rows["distance"]["augment"] == pytest.approx((2 * 0.06) ** 0.5)
    assert rows["orbit_distance"]["augment"] == pytest.approx(0.06**0.5)
    assert (rows["loss_low"] < rows["loss"]).all()


def test_section__names_the_best_and_what_is_not_of_equal_cost():
    every = [*seeds(AUGMENT, 2.0), *seeds(PENALTY, 3.0, percent=1.0), *seeds({"name": "none"}, 4.0, flops=2e9)]
    found = section(every)
    text = " ".join(found.sentences)
    assert "augment has the lowest held-out loss, 2" in text
    assert "equiv_penalty weight 3 has the lowest equivariance error, 1 %" in text
    assert "Not of equal cost (more than 5 % from the median FLOPs): none" in text
    assert len(found.figures) == len(found.tables) == 1


def test_figure__is_drawn_for_single_seeds_too():
    (one,) = comparisons([training(AUGMENT), training(PENALTY, 2.0)])
    figure = pareto(one, ends(one))
    assert figure.files[".svg"].startswith(b"<?xml")
    assert "equiv_penalty weight 3: loss 2" in figure.alternative


def test_section__is_empty_without_a_second_objective():
    assert section(seeds(AUGMENT)).empty

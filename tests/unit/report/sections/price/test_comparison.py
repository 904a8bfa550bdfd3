"""Which runs are compared, against which costs, what is said of it, and what the figures show."""

import math

import numpy as np
import pytest
from synthetic import PRICED, families, priced

from twirlscope.report.sections.price import comparison, crossover, figures, serving, verdict
from twirlscope.report.sections.price.comparison import BUILT_IN, LEARNED, TWIRLED
from twirlscope.report.trainings import Training


def judged(trainings):
    (found,) = verdict.verdicts(trainings)
    return found


def test_comparisons__are_between_runs_that_differ_in_their_claim():
    (found,) = comparison.comparisons([*families(), priced("other", False, dataset="far")])
    assert {f: list(runs) for f, runs in found.runs.items()} == {LEARNED: ["plain"], BUILT_IN: ["exact"]}
    assert found.learned == pytest.approx(0.9 * 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "far"},
        {"spec": {"task": {"name": "force_field", "force_weight": 2.0}}},
        {"train": {"training_samples": 50}},
        {"sample": np.arange(30) + 1},
    ],
)
def test_comparisons__need_the_same_data_task_and_held_out_samples(change):
    trainings = [priced("plain", False), priced("exact", True, **change)]
    assert comparison.comparisons(trainings) == []
    (said,) = verdict.unpaired(trainings)
    assert said.startswith("Symmetry is built into exact, but no run with learned symmetry has the same data")


def test_comparisons__leave_out_trainings_that_do_not_say_what_they_claim():
    trainings = families()
    del trainings[0].train.attrs["equivariant"]
    assert len(comparison.comparisons(trainings)[0].runs[LEARNED]["plain"]) == 2
    assert comparison.comparisons([Training("bare", 0, None, trainings[0].twirl)]) == []
    assert verdict.unpaired([priced("plain", False)]) == []


def test_axes__are_time_flops_and_updates_with_the_costs_of_the_stores():
    found = judged(families()).axes
    assert list(found) == ["time", "FLOPs", "updates"]
    after = PRICED[1:]
    for name, factor in {"time": 0.1, "FLOPs": 1e5, "updates": 1}.items():
        np.testing.assert_allclose(np.exp(found[name].families[BUILT_IN][0].cost[0]), factor * after, rtol=1e-12)
    assert found["time"].serving[BUILT_IN] == [0.01]
    assert TWIRLED not in found["updates"].families  # updates say nothing of the cost of an inference


def test_axes__leave_out_what_is_not_known_and_times_of_different_devices():
    elsewhere = [priced("plain", False, train={"device": "H100"}), priced("exact", True)]
    found = judged(elsewhere)
    assert list(found.axes) == ["FLOPs", "updates"]
    assert "By time they cannot be compared" in " ".join(verdict.sentences(found))
    bare = judged([priced("plain", False, costs={}), priced("exact", True)])
    assert list(bare.axes) == ["updates"]
    assert bare.reaches == {}


def test_axes__hold_the_loss_of_twirling_by_passes():
    """Half of the equivariance error is left by two independent rotations, at twice the price."""
    axis = judged(families()).axes["time"]
    plain, twirled = (axis.families[f] for f in (LEARNED, TWIRLED))
    for curves, passes, cost in zip(twirled, (2, 4, 8), axis.serving[TWIRLED], strict=True):
        np.testing.assert_allclose(np.exp(curves.loss - plain[0].loss), 0.6 + 0.4 / passes, rtol=1e-12)
        assert cost == pytest.approx(passes * 1e-3)


def test_axes__take_what_sets_of_rotations_leave_from_the_spectrum_of_every_checkpoint():
    trainings = families()
    for one in trainings[:3]:
        equiv = 0.4 * np.ones((len(PRICED), 2))
        q = np.stack([np.ones_like(equiv), equiv / 2, equiv / 2], -1)  # degrees 1 and 2
        one.twirl["spectrum"], one.twirl["panel_loss_equiv"] = (
            (("step", "term", "degree"), q),
            (("step", "term"), equiv),
        )
    axis = judged(trainings).axes["FLOPs"]
    share = np.exp(axis.families[TWIRLED][3].loss - axis.families[LEARNED][0].loss)
    np.testing.assert_allclose(share, 0.6 + 0.4 * 0.5 * 0.4, rtol=1e-9)  # alpha_2 of D2 is 2/5, alpha_1 is 0
    assert axis.serving[TWIRLED] == pytest.approx([1e3 * n for n in (2, 4, 8, 4, 12, 24, 60)])
    np.testing.assert_allclose(axis.families[TWIRLED][5].loss - axis.families[LEARNED][0].loss, np.log(0.6))


def test_axes__of_a_finite_group_have_nothing_left_after_all_of_it():
    trainings = families()
    for one in trainings:
        one.twirl.attrs["group"] = "octahedral"
    axis = judged(trainings).axes["FLOPs"]
    assert axis.serving[TWIRLED] == pytest.approx([2e3, 4e3, 8e3, 24e3])
    np.testing.assert_allclose(axis.families[TWIRLED][3].loss - axis.families[LEARNED][0].loss, np.log(0.6))


def start(run):
    """Logarithm of the loss after the first update, mean over seeds."""
    first = [t.twirl["sample_loss_total"].values[1].mean() for t in families() if t.run == run]
    return np.log(first).mean()


def test_sentences__say_where_the_curves_cross():
    """By updates 10 s^-0.6 = 2 s^-0.3 at s = 5^(1/0.3) = 214, but for the luck of the seeds."""
    found = judged(families())
    said = verdict.sentences(found)
    begin = (
        "On md, by 30 held-out samples, learned symmetry (plain, 3 seeds) stands against built-in symmetry (exact, 3"
    )
    assert said[0].startswith(begin)
    truth = math.exp((start("exact") - start("plain")) / 0.3)
    assert 100 < truth < 400
    assert found.crossovers["updates"][0.0][LEARNED].cost == pytest.approx(truth, rel=1e-9)
    begin = f"By updates the curves cross: built-in symmetry is ahead from {truth:.3g} updates on (95 % interval"
    assert said[3].startswith(begin)
    assert "Its loss there is" in said[3]


def test_sentences__say_that_there_is_no_crossing_and_who_is_ahead():
    said = verdict.sentences(judged(families(built={"level": 1.0})))
    begin = "By updates the curves do not cross in the measured range, 1 updates to 1000 updates: built-in symmetry is "
    assert said[3].startswith(begin + "ahead throughout, in 100 % of the bootstrap draws")
    other = verdict.sentences(judged(families(built={"level": 5.0, "slope": 0.1})))
    assert "learned symmetry is ahead throughout" in other[3]


def test_sentences__say_that_nothing_is_learned():
    said = verdict.sentences(judged(families(built={"slope": 0.0}, learned={"slope": 0.0})))
    assert said[1:] == [
        f"By {axis} neither has learned anything before the other's measurement ends." for axis in comparison.AXES
    ]


def test_sentences__say_that_one_seed_alone_knows_nothing_of_its_luck():
    assert "There is one seed alone of plain, exact" in verdict.sentences(judged(families(seeds=(0,))))[0]
    assert "one seed alone" not in verdict.sentences(judged(families()))[0]


@pytest.mark.parametrize(
    ("low", "high", "words"), [(0.0, 5.0, "before 1 s to 5 s"), (2.0, math.inf, "2 s to beyond 2.5 h")]
)
def test_sentences__say_which_ends_lie_outside_of_what_was_measured(low, high, words):
    found = crossover.Crossover(1, 3.0, low, high, 1.0, 9000.0, 0.9, 0.05, 0.05, 0.5, 0.4, 0.6)
    text = verdict._crossed("time", found)
    assert f"(95 % interval {words})" in text
    assert "in 5 % of the bootstrap draws it is behind there" in text


def test_reach__is_the_loss_of_what_inferences_leave_of_the_budget():
    found = judged(families()).reaches["time"]
    assert found.budget == pytest.approx(10.0)  # 1000 updates of 0.01 s
    assert found.inferences[-1] == pytest.approx(10_000)  # at a millisecond each nothing else is left
    k = 32
    left = 10.0 - 1e-3 * found.inferences[k]
    axis = judged(families()).axes["time"]
    expected = np.exp(crossover.best(axis.families[LEARNED], np.log([[left]])))
    np.testing.assert_allclose(found.loss[LEARNED][:, k], expected[:, 0])
    assert np.isinf(found.loss[BUILT_IN][0, found.inferences > 1000]).all()


def test_stretches__say_up_to_how_many_inferences_a_family_is_best():
    grid = np.geomspace(1, 1000, 49)
    up, flat = np.tile(grid**0.5, (101, 1)), np.full((101, 49), 10.0)
    none = np.where(grid > 500, np.inf, 20.0) * np.ones((101, 1))
    found = serving.Reach("time", 5.0, grid, {LEARNED: flat, BUILT_IN: up, TWIRLED: none})
    first, second = serving.stretches(found)
    assert (first.family, second.family) == (BUILT_IN, LEARNED)
    assert first.low == 1.0
    assert first.high < 100.0 < second.low * 1.2
    assert (second.from_low, second.from_high) == pytest.approx((100.0, 100.0))
    assert first.share == second.share == 1.0
    text = verdict._served(found)
    assert text.startswith("With 5 s for training and inferences together, built-in symmetry is best to")
    assert "then learned symmetry is best from 100 (95 % interval 100 to 100) to 1000 inferences" in text


def test_crossover_table__has_a_row_a_cost_number_of_inferences_and_family():
    found = judged(families())
    table = verdict.crossover_table([found]).frame
    assert verdict.crossover_table([]) is None
    assert len(table) == sum(len(f) for numbers in found.crossovers.values() for f in numbers.values())
    row = table[(table["cost"] == "updates")].iloc[0]
    assert row["from [1]"] == found.crossovers["updates"][0.0][LEARNED].cost
    assert TWIRLED in set(table["built in against"][table["inferences [1]"] > 0])


def test_price_figures__show_the_curves_and_what_a_budget_buys():
    found = judged(families())
    curves, served = figures.price_figures(found)
    assert (curves.name, served.name) == ("price_md_exact", "serving_md_exact")
    assert len(curves.wide.axes) == 3
    assert len(served.wide.axes) == 2
    assert len(curves.table) == 3 * 2 * (len(PRICED) - 1)
    drawn = curves.wide.axes[2].lines[0]
    np.testing.assert_array_equal(drawn.get_xdata(), curves.table.query("`cost axis` == 'updates'")["cost [1]"][:7])
    assert "By updates, learned, plain: from" in curves.alternative
    assert set(served.table["family"]) == {LEARNED, BUILT_IN, TWIRLED}
    assert np.isfinite(served.table.select_dtypes("number").to_numpy()).all()

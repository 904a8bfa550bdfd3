"""Runs that are compared, and their curves against each cost."""

import numpy as np
import pytest
from synthetic import PRICED, families, priced

from twirlscope.report.sections.price import comparison, results, sentences
from twirlscope.report.sections.price.comparison import BUILT_IN, LEARNED, TWIRLED
from twirlscope.report.trainings import Training


def judged(trainings):
    (found,) = results.results(trainings)
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
    (said,) = sentences.unpaired(trainings)
    assert said.startswith("Symmetry is built into exact, but no run with learned symmetry has the same data")


def test_comparisons__leave_out_trainings_that_do_not_say_what_they_claim():
    trainings = families()
    del trainings[0].train.attrs["equivariant"]
    assert len(comparison.comparisons(trainings)[0].runs[LEARNED]["plain"]) == 2
    assert comparison.comparisons([Training("bare", 0, None, trainings[0].twirl)]) == []
    assert sentences.unpaired([priced("plain", False)]) == []


def test_axes__are_time_flops_and_updates_with_the_costs_of_the_stores():
    found = judged(families()).axes
    assert list(found) == ["time", "FLOPs", "updates"]
    after = PRICED[1:]
    for name, factor in {"time": 0.1, "FLOPs": 1e5, "updates": 1}.items():
        np.testing.assert_allclose(np.exp(found[name].families[BUILT_IN][0].cost[0]), factor * after, rtol=1e-12)
    assert found["time"].serving[BUILT_IN] == [0.01]
    assert TWIRLED not in found["updates"].families  # updates say nothing of the cost of an inference


def test_axes__leave_out_unknown_costs_and_times_of_different_devices():
    elsewhere = [priced("plain", False, train={"device": "H100"}), priced("exact", True)]
    found = judged(elsewhere)
    assert list(found.axes) == ["FLOPs", "updates"]
    assert "By time they cannot be compared" in " ".join(sentences.sentences(found))
    bare = judged([priced("plain", False, costs={}), priced("exact", True)])
    assert list(bare.axes) == ["updates"]
    assert bare.budgets == {}


def test_axes__hold_the_loss_of_twirling_by_passes():
    """Two independent rotations leave half of the equivariance error, at twice the cost."""
    axis = judged(families()).axes["time"]
    plain, twirled = (axis.families[f] for f in (LEARNED, TWIRLED))
    for curves, passes, cost in zip(twirled, (2, 4, 8), axis.serving[TWIRLED], strict=True):
        np.testing.assert_allclose(np.exp(curves.loss - plain[0].loss), 0.6 + 0.4 / passes, rtol=1e-12)
        assert cost == pytest.approx(passes * 1e-3)


def test_axes__take_the_residual_of_sets_of_rotations_from_the_spectrum_of_every_checkpoint():
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


def test_axes__all_rotations_of_a_finite_group_leave_no_error():
    trainings = families()
    for one in trainings:
        one.twirl.attrs["group"] = "octahedral"
    axis = judged(trainings).axes["FLOPs"]
    assert axis.serving[TWIRLED] == pytest.approx([2e3, 4e3, 8e3, 24e3])
    np.testing.assert_allclose(axis.families[TWIRLED][3].loss - axis.families[LEARNED][0].loss, np.log(0.6))


def test_axes__between_checkpoints_with_a_spectrum_take_a_residual_linear_in_the_logarithm_of_the_step():
    """Of errors of degree 1 alone D2 leaves nothing, of degree 2 alone 2/5; step 0 has no logarithm and is left out."""
    trainings, after = families(), PRICED[PRICED > 0]
    for one in trainings[:3]:
        equiv = 0.4 * np.ones((len(PRICED), 2))
        equiv[2:-1] = np.nan  # no panel between the first update and the last
        second = 0.4 * (PRICED[-1] == PRICED)[:, None] * np.ones(2)
        q = np.stack([np.ones_like(equiv), equiv - second, second], -1)
        one.twirl["spectrum"] = (("step", "term", "degree"), q)
        one.twirl["panel_loss_equiv"] = (("step", "term"), equiv)
    axis = judged(trainings).axes["FLOPs"]
    share = np.exp(axis.families[TWIRLED][3].loss - axis.families[LEARNED][0].loss)
    way = np.log(after / after[0]) / np.log(after[-1] / after[0])
    np.testing.assert_allclose(share, np.broadcast_to(0.6 + 0.4 * 0.4 * way, share.shape), rtol=1e-9)

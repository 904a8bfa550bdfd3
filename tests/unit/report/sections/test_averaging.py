"""Losses of averaging at test time, against stores whose numbers are known."""

import json

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections import averaging
from twirlscope.report.sections.averaging import FRAMES, ONE
from twirlscope.report.trainings import Training
from twirlscope.report.wording import say


def training(run="a", seed=0, dataset="d", **settings):
    train = synthetic.train(50, seed)
    spec = json.loads(train.attrs["run"])
    spec["task"] |= settings
    train.attrs["run"] = json.dumps(spec)
    return Training(run, seed, train, synthetic.spectral(synthetic.twirl(seed=seed)), None, dataset)


def test_averaged_losses__has_a_row_per_kind_of_average_with_the_numbers_of_the_store():
    one = training()
    table = averaging.averaged_losses(one, "forces").set_index("average")
    assert list(table.index) == [
        ONE,
        "2 independent rotations",
        "4 independent rotations",
        "D2",
        "T",
        "O",
        "I",
        FRAMES,
    ]
    assert list(table["passes"]) == [1, 2, 4, 4, 12, 24, 60, 4]
    np.testing.assert_allclose(table["time"], 2 * table["passes"])
    last = one.twirl.sel(term="forces").isel(step=-1)
    assert table.loc["T", "predicted"] == last["twirled_loss_predicted"].sel(rotation_set="T")
    assert table.loc["T", "measured"] == last["twirled_loss"].sel(rotation_set="T")
    assert np.isnan(table.loc["I", "measured"])
    assert table.loc[FRAMES, "measured"] == last["frame_loss"]
    assert np.isnan(table.loc[FRAMES, "predicted"])


def test_averaged_losses__prediction_of_one_pass_is_both_parts_of_the_loss():
    table = averaging.averaged_losses(training(), "weighted").set_index("average")
    assert table.loc[ONE, "predicted"] == pytest.approx(table["mean"].iloc[0] + table["equiv"].iloc[0])


def test_averaged_losses__change_is_paired_by_sample():
    """Frames take 10 % off the loss of every sample alike: the samples differ, the change does not."""
    row = averaging.averaged_losses(training(), "weighted").set_index("average").loc[FRAMES]
    assert row["change"] == pytest.approx(-10)
    assert row["change_error"] == pytest.approx(0, abs=1e-12)


def test_averaged_losses__error_of_the_change_is_that_of_a_ratio_of_means():
    """Against the jackknife over samples."""
    one = training()
    random = np.random.default_rng(0)
    frames = one.twirl["panel_frame_loss"] * (1 + 0.1 * random.standard_normal(one.twirl["panel_frame_loss"].shape))
    changed = Training("a", 0, one.train, one.twirl.assign(panel_frame_loss=frames), None, "d")
    row = averaging.averaged_losses(changed, "forces").set_index("average").loc[FRAMES]
    single, averaged = (v.sel(term="forces").values for v in (one.twirl["panel_single_loss"], frames))
    n = len(single)
    without = [np.delete(averaged, i).mean() / np.delete(single, i).mean() for i in range(n)]
    assert row["change_error"] == pytest.approx(100 * np.std(without) * (n - 1) ** 0.5, rel=0.1)


def test_averaged_losses__error_of_the_change_is_over_clusters():
    """Of three clusters of equal samples it is that of three samples."""
    one, three, random = training(), np.array([0, 0, 1, 1, 2, 2], np.int32), np.random.default_rng(0)
    single, averaged = (np.repeat(random.lognormal(size=(3, 3)), 2, 1) for _ in range(2))
    arrays = {"panel_single_loss": (("term", "panel"), single), "panel_frame_loss": (("term", "panel"), averaged)}
    changed = one.twirl.assign(arrays | {"panel_cluster": ("panel", three)})
    small = changed.isel(panel=[0, 2, 4])
    rows = [
        averaging.averaged_losses(Training("a", 0, one.train, data, None, "d"), "forces")
        .set_index("average")
        .loc[FRAMES]
        for data in (changed, small)
    ]
    assert rows[0]["change"] == pytest.approx(rows[1]["change"])
    assert rows[0]["change_error"] == pytest.approx(rows[1]["change_error"])
    assert rows[0]["change_error"] > 1


def test_comparable__keeps_tasks_and_datasets_apart():
    runs = [training("a"), training("b"), training("c", dataset="e"), training("f", force_weight=2.0)]
    without = Training("b", 0, synthetic.train(50), synthetic.twirl(), None, "d")
    groups = averaging.comparable([*runs, without], "weighted")
    assert [[t.run for t in group] for group in groups] == [["a", "b"], ["c"], ["f"]]


def test_section__gives_the_largest_change_and_the_residual_of_frames():
    one = training()
    found = averaging.section([one])
    rows = averaging.averaged_losses(one, "weighted")
    change = 100 * (rows["mean"][0] / rows.set_index("average")["predicted"][averaging.ONE] - 1)
    (said,) = found.sentences
    assert said.startswith(f"Averaging over all rotations changes the loss by at most {say(abs(change))} %.")
    (remark,) = found.remarks
    assert "frames leave an equivariance error of " in remark


def test_frame_words__of_a_grid_are_empty():
    assert averaging.frame_words(Training("v", 0, None, synthetic.twirl())) == ""


def test_figures__draw_the_runs_of_a_task_in_one_figure():
    groups = averaging.measured([training("a"), training("a", 1), training("b"), training("c", dataset="e")], "forces")
    figures = [averaging.figure(group, "forces") for group in groups]
    assert [sorted(set(f.numbers.data["run"])) for f in figures] == [["a", "b"], ["c"]]
    assert len(figures[0].numbers) == 2 * 8
    assert len(figures[0].wide.axes) == 3
    assert figures[0].alternative.startswith("Averaging over all rotations changes the loss by at most ")


def test_figures__without_a_cost_have_no_panel_of_time():
    one = training()
    bare = Training("a", 0, one.train.drop_vars("seconds_inference"), one.twirl, None, "d")
    (figure,) = averaging.section([bare]).figures
    assert len(figure.wide.axes) == 2

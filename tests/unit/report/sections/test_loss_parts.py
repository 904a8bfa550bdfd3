"""Losses, bins, other losses and excess losses against the stores they are made from."""

import json

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections import loss_parts
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def test_covariate__is_the_time_of_each_sample(measured):
    training, task = measured
    times = task.batch(np.arange(60)).inputs["time"].numpy()
    np.testing.assert_array_equal(training.twirl["sample_covariate"], times.astype(np.float64))


def test_by_covariate__bins_add_up_to_the_whole_and_are_in_order(measured):
    training, _ = measured
    figure = loss_parts.by_covariate([training], "velocity")
    table, last = figure.numbers.data, training.twirl.sel(term="velocity").isel(step=-1)
    assert table["samples"].sum() == 60
    assert (table["low"].to_numpy()[1:] >= table["high"].to_numpy()[:-1]).all()
    for part in ("total", "mean", "equiv"):
        mean = np.average(table[f"loss_{part}"], weights=table["samples"])
        assert mean == pytest.approx(float(last[f"loss_{part}"]))
    chosen = last["sample_covariate"].values <= table["high"][0]
    equiv = last["sample_loss_equiv"].values[chosen].mean() / last["sample_loss_total"].values[chosen].mean()
    assert table["percent_equiv"][0] == pytest.approx(100 * equiv)
    assert "time on the path" in figure.title
    assert "random walks" not in figure.alternative


def test_binned__errors_are_over_clusters(measured):
    training, _ = measured
    same = training.twirl["sample_covariate"] * 0
    pairs = np.arange(60, dtype=np.int32) // 2
    data = training.twirl.assign(sample_covariate=same, cluster=("sample", pairs))
    rows = loss_parts.binned(Training("flow", 0, None, data), "velocity")
    values = data.sel(term="velocity").isel(step=-1)["sample_loss_total"].values[: rows["samples"][0]]
    means = values.reshape(-1, 2).mean(1)
    assert rows["loss_total_error"][0] == pytest.approx(means.std(ddof=1) / len(means) ** 0.5)


def test_by_covariate__is_left_out_where_the_loss_depends_on_no_number():
    assert loss_parts.by_covariate([Training("a", 0, None, synthetic.twirl())], "forces") is None


def denoised(run, last, seed=0, task="voxel_denoising", split="test", dataset="d"):
    """A training with losses of 2, 1 and `last`, of which 0.2, 0.1 and 0.05 are equivariance error."""
    data = synthetic.twirl(steps=(0, 10, 100), trivial=[True, False, False], terms=1)
    total, equiv = (np.array([v]).T for v in ([2.0, 1.0, last], [0.2, 0.1, 0.05]))
    data = data.assign(loss_total=(("step", "term"), total), loss_equiv=(("step", "term"), equiv))
    train = synthetic.train(20)
    spec = {"task": {"name": task, "sigma": 0.9}, "train": {}, "dataset": dataset}
    return Training(
        run, seed, train.assign_attrs(run=json.dumps(spec)), data.assign_attrs(split=split), dataset=dataset
    )


def excesses(trainings):
    return loss_parts.excess_table(trainings).numbers.data.set_index(["run", "seed", "step"])


def test_excess__is_over_the_lowest_loss_of_another_run():
    """0.5 over 0.4, of which 0.05 is half; the best run has no excess, nor has its other seed."""
    found = excesses([denoised("a", 0.5), denoised("b", 0.4), denoised("b", 0.45, seed=1)])
    assert found.loc[("a", 0, 100), "excess"] == pytest.approx(0.1)
    assert found.loc[("a", 0, 100), "percent_of_excess"] == pytest.approx(50)
    assert found.loc[("a", 0, 10), "excess"] == pytest.approx(0.6)
    best = found.xs("b", level="run")
    assert best[["excess", "percent_of_excess"]].isna().all(None)
    assert set(best["remark"]) == {"the best run"}
    shown = loss_parts.excess_table([denoised("a", 0.5), denoised("b", 0.4)]).shown.data
    assert list(shown["step"]) == [100, 100]


@pytest.mark.parametrize("change", [{"task": "flow_matching"}, {"split": "train"}, {"dataset": "far"}])
def test_excess__is_not_over_the_loss_of_another_task_split_or_dataset(change):
    found = excesses([denoised("a", 0.5), denoised("b", 0.001, **change)])
    assert found["excess"].isna().all()
    assert set(found["remark"]) == {"the only run"}


def test_excess__is_not_over_the_loss_of_other_task_settings():
    other = denoised("b", 0.001)
    spec = json.dumps({"task": {"name": "voxel_denoising", "sigma": 0.1}, "train": {}})
    quiet = Training("b", 0, other.train.assign_attrs(run=spec), other.twirl, dataset="d")
    assert excesses([denoised("a", 0.5), quiet])["excess"].isna().all()


def test_excess__of_a_single_run_is_not_over_its_own_last_step():
    found = excesses([denoised("a", 0.5)])
    assert list(found["remark"]) == ["the only run"] * 2
    assert found["percent_of_excess"].isna().all()

"""Losses, bins, other losses and excess losses against the stores they are made from."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections import loss_parts
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def test_losses__table_holds_the_numbers_of_the_store():
    one = training()
    table = loss_parts.losses([one], "forces").numbers.data
    for part in ("total", "mean", "equiv"):
        np.testing.assert_array_equal(table[f"loss_{part}"], one.twirl[f"loss_{part}"].sel(term="forces"))
        np.testing.assert_array_equal(table[f"loss_{part}_high"], one.twirl[f"loss_{part}_high"].sel(term="forces"))
    np.testing.assert_allclose(table["loss_mean"] + table["loss_equiv"], table["loss_total"], rtol=1e-12)


def test_losses__counts_estimates_that_do_not_fit_a_logarithmic_axis():
    one = training()
    one.twirl["loss_mean"][-1] = -0.01
    assert "1 estimates at or below zero" in loss_parts.losses([one], "forces").caption


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


def test_excess__is_counted_from_the_best_run_on_the_same_dataset():
    store = synthetic.twirl(steps=(0, 10, 100), trivial=[True, False, False])
    first = store.assign(sample_covariate=("sample", np.zeros(store.sizes["sample"])))
    second = first.assign(loss_total=first["loss_total"] + 0.5)
    runs = [Training("a", 0, None, first, dataset="d"), Training("b", 0, None, second, dataset="d")]
    frame = loss_parts.excess_table(runs).numbers.data.set_index(["run", "step"])
    total = first.sel(term="weighted")["loss_total"].values
    assert len(frame) == 4
    assert frame.loc[("b", 10), "excess"] == pytest.approx(total[1] + 0.5 - total.min())
    equiv = float(second.sel(term="weighted", step=10)["loss_equiv"])
    expected = 100 * equiv / (total[1] + 0.5 - total.min())
    assert frame.loc[("b", 10), "percent_of_excess"] == pytest.approx(expected)
    assert np.isnan(frame["percent_of_excess"].loc[("a", 100)])
    assert loss_parts.excess_table([Training("a", 0, None, store)]) is None

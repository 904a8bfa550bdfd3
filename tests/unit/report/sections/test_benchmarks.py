"""Errors by test set, and published values beside them, against predictions made one by one."""

import four_splits
import numpy as np
import pandas as pd
import pytest
import synthetic
import torch
import toys
import xarray as xr
from four_splits import BIAS, measured

from twirlscope.estimators import bootstrap, loss_split
from twirlscope.report import inventory
from twirlscope.report.numbers import Numbers
from twirlscope.report.sections import benchmarks
from twirlscope.report.trainings import Training
from twirlscope.stages import report
from twirlscope.storage import registry


@pytest.fixture(scope="module")
def data():
    return four_splits.frames()


def training(task, found):
    scales = {f"scale_{t.name}": t.scale for t in task.terms}
    return Training("run", 0, None, found.assign_attrs(scales), dataset="md")


def test_errors_of__errors_are_those_of_predictions_made_one_by_one(data):
    """An equivariant model has one error in all orientations: that of its predictions as they are."""
    task, found = measured(data, toys.Well(0.8))
    table = benchmarks.errors_of(training(task, found), data)
    for row, split in zip(table.itertuples(index=False), (1, 2), strict=False):
        index = np.flatnonzero(data["split"].values == split)
        energies, forces = [], []
        for i in index:
            batch = task.batch(np.array([i]))
            with torch.no_grad():
                out = toys.Well(0.8)(batch.inputs)
            n = int(data["atoms"][i])
            energies.append(500 * n * (out["energy"] - batch.targets["energy"]).item())
            forces.append(2000 * (out["forces"] - batch.targets["forces"])[0, :n].numpy())
        forces, per_atom = np.concatenate(forces), np.array(energies) / data["atoms"].values[index]
        found_row = dict(zip(table.columns, row, strict=True))
        assert found_row["energy_rmse"] == pytest.approx(np.sqrt(np.mean(np.square(energies))), rel=1e-4)
        assert found_row["energy_mae"] == pytest.approx(np.mean(np.abs(energies)), rel=1e-4)
        assert found_row["energy_rmse_per_atom"] == pytest.approx(np.sqrt(np.mean(per_atom**2)), rel=1e-4)
        assert found_row["force_rmse"] == pytest.approx(np.sqrt((forces**2).mean()), rel=1e-4)
        assert found_row["force_rmse_twirled"] == pytest.approx(found_row["force_rmse"], rel=1e-4)


def test_errors_of__mean_absolute_force_is_that_over_orientations(data):
    """Of a constant vector v: |v| times the mean absolute component of a random unit vector, 1/2."""
    _, one = measured(data, toys.Well(0.5, BIAS))
    task, found = measured(data, toys.Well(0.5, BIAS))
    table = benchmarks.errors_of(training(task, found), data)
    values = table["force_mae"].values[:2]
    assert values == pytest.approx(2000 * 0.5 * 0.5, rel=0.15)
    assert np.isnan(table["force_mae"].values[2])
    xr.testing.assert_identical(one, found)


def test_errors_of__intervals_resample_clusters_of_frames(data):
    """15 frames in 5 clusters; the error of forces weights frames by their atoms."""
    task, found = measured(data, toys.Well(0.5, BIAS))
    cluster = found["set_cluster"].values // 3
    row = benchmarks.errors_of(training(task, found.assign(set_cluster=("set_sample", cluster))), data).iloc[0]
    mine = found["set_number"].values == 0
    total = found["set_loss_total"].sel(term="forces").values[mine]
    atoms = data["atoms"].values[found["set_index"].values[mine]].astype(float)
    ends = bootstrap.interval(total * atoms, atoms, benchmarks.RESAMPLES, 0, cluster[mine])
    assert (row["force_rmse_low"], row["force_rmse_high"]) == pytest.approx(2000 * np.sqrt(ends))
    assert row["force_rmse_low"] < row["force_rmse"] < row["force_rmse_high"]
    equiv = found["set_loss_equiv"].sel(term="forces").values[mine]
    ends = loss_split.percent_interval(total, equiv, benchmarks.RESAMPLES, 0, cluster[mine])
    assert (row["percent_forces_low"], row["percent_forces_high"]) == pytest.approx(ends)
    assert len(np.unique(cluster[mine])) == 5


def test_error_table__shows_intervals_and_leaves_other_tasks_out(data):
    task, found = measured(data, toys.Well(0.5, BIAS))
    table = benchmarks.error_table(benchmarks.errors([training(task, found)], {"md": data}))
    assert "to" in table.brief.data["percent_forces"][0]
    assert table.rows[2][3] == "15"
    other = Training("run", 0, None, found.drop_vars("set_index"), dataset="md")
    assert benchmarks.errors([other], {"md": data}) is None


def test_published_table__is_shown_for_its_benchmark_alone_and_says_what_it_is(data):
    assert benchmarks.published_table({"md": data}) is None
    table = benchmarks.published_table({"md": data.assign_attrs(benchmark="acac")})
    assert set(table.numbers.data["benchmark"]) == {"acac"}
    assert "Published, not measured here" in table.caption
    mace = table.numbers.data.query("model == 'MACE' and tested == '600 K'")
    assert mace[["energy_rmse", "force_rmse"]].values.tolist() == [[4.6, 22.4]]
    assert len(benchmarks.published()) == 6 + 18


def test_published_table__says_where_test_sets_are_a_proxy(data):
    both = {"a": data.assign_attrs(benchmark="3bpa_proxy"), "b": data.assign_attrs(benchmark="acac")}
    table = benchmarks.published_table(both)
    found = table.numbers.data.groupby("benchmark")["here"].agg(["unique", "size"])
    assert [(list(f), n) for f, n in found.loc[["3bpa", "acac"]].values] == [(["proxy"], 18), (["official"], 6)]
    assert "a proxy hold fewer and other frames than the official files" in table.caption


def test_errors_of__is_the_same_from_the_store_as_the_report_reads_it(data, tmp_path):
    task, found = measured(data, toys.Well(0.8))
    scales = {f"scale_{t.name}": t.scale for t in task.terms}
    registry.save(found.assign_attrs(scales), tmp_path / "twirl.zarr.zip")
    registry.save(synthetic.train(10), tmp_path / "train.zarr.zip")
    files = inventory.RunFiles("run", 0, *(tmp_path / f"{n}.zarr.zip" for n in ("train", "twirl")), None, "md")
    read = report._read(files, 0)
    pd.testing.assert_frame_equal(benchmarks.errors_of(read, data), benchmarks.errors_of(training(task, found), data))


def test_figure__has_words_and_numbers_of_the_sets_with_forces(data):
    task, found = measured(data, toys.Well(0.5, BIAS))
    trainings = [training(task, found)]
    errors = benchmarks.errors(trainings, {"md": data})
    figure = benchmarks.errors_by_set(errors, trainings)
    assert figure.numbers.data["test_set"].tolist() == ["test", "far"]
    error, percent = (errors.data[name][1] for name in ("force_rmse", "percent_forces"))
    assert f"{error:.3g} meV/Å (run, seed 0, far)" in figure.alternative
    assert f"{percent:.3g} % (run, seed 0, far)" in figure.alternative
    assert benchmarks.errors_by_set(Numbers(errors.data[2:], errors.columns), trainings) is None


def test_section__of_one_test_set_has_a_line_in_place_of_a_figure(data):
    task, found = measured(data, toys.Well(0.5, BIAS))
    one = training(task, found)
    both = benchmarks.section([one], {"md": data})
    assert (len(both.figures), both.sentences) == (1, [])
    alone = found.isel(set_sample=np.flatnonzero(found["set_number"].values == 0), test_set=[0])
    section = benchmarks.section([training(task, alone)], {"md": data})
    assert not section.figures
    assert "test_files" in section.sentences[0]

"""The runs that have figures and sentences of their own."""

from pathlib import Path

import pytest
import xarray as xr

from twirlscope.report.inventory import SHOWN, RunFiles, available, shown_runs
from twirlscope.storage import made_from, store


def test_shown_runs__are_all_of_few_runs_and_of_many_those_that_no_sweep_made():
    swept = [RunFiles(f"s_{i}", 0, Path("t"), Path("w"), None, "d", swept=True) for i in range(30)]
    own = [RunFiles("mine", seed, Path("t"), Path("w"), None, "d") for seed in (0, 1)]
    assert shown_runs(swept[:5] + own) == {"mine", *(f.run for f in swept[:5])}
    assert shown_runs(swept + own) == {"mine"}
    assert shown_runs(swept) == {f.run for f in swept[:SHOWN]}


def stored(path, record, **attributes):
    store.save(xr.Dataset(attrs=attributes | made_from.attribute(record)), path, {})


@pytest.fixture(name="results")
def results_of_one_run(tmp_path):
    """A dataset, a training on it, and two measurements of that; the plan of a report on them."""
    results = tmp_path / "results"
    folder, data = results / "runs" / "one" / "seed0", results / "data" / "d.zarr.zip"
    stored(data, {})
    content = f'"{made_from.content_hash(data)}"'
    stored(folder / "train.zarr.zip", {"run.seed": "0", "data": content}, checkpoints="abc")
    for stage in ("twirl", "hessian"):
        stored(folder / f"{stage}.zarr.zip", {"settings.samples": "3", "data": content, "checkpoints": '"abc"'})
    wanted = {"train": {"run.seed": "0"}, "twirl": {"settings.samples": "3"}, "hessian": {"settings.samples": "3"}}
    settings = {stage: made_from.settings_hash(record) for stage, record in wanted.items()}
    run = {"run": "one", "seed": 0, "dataset": "d", "swept": False, "hessian": True, "gradient": False}
    return results, {"runs": [run | {"settings": settings}], "datasets": ["d"], "partial": True}


def test_available__takes_stores_that_belong_together(results):
    found = available(results[1], results[0], results[0])
    assert [bool(files.hessian) for files in found.runs] == [True]
    assert not found.missing
    assert {name for name in found.record if name.startswith("content of ")} == {
        f"content of {name}.zarr.zip"
        for name in ("data/d", "runs/one/seed0/train", "runs/one/seed0/twirl", "runs/one/seed0/hessian")
    }


@pytest.mark.parametrize("partial", [True, False])
def test_available__leaves_out_what_was_measured_on_another_training_or_other_data(results, partial):
    results, plan = results
    folder = results / "runs" / "one" / "seed0"
    record = made_from.recorded(folder / "hessian.zarr.zip")
    stored(folder / "hessian.zarr.zip", record | {"checkpoints": '"other"'})
    found = available(plan | {"partial": partial}, results, results)
    assert found.runs[0].hessian is None
    assert found.missing == ["Run one, seed 0: hessian is missing (what is there was measured on other checkpoints)."]
    stored(folder / "twirl.zarr.zip", record | {"data": '"other"'})
    found = available(plan | {"partial": partial}, results, results)
    assert not found.runs
    assert found.missing == ["Run one, seed 0 is not in this report: what is there was measured on other data."]


def test_available__leaves_out_of_a_partial_report_what_was_measured_with_other_settings(results):
    results, plan = results
    plan["runs"][0]["settings"]["hessian"] = "other"
    said = ["Run one, seed 0: hessian is missing (what is there was measured with other settings)."]
    assert available(plan, results, results).missing == said
    assert available(plan | {"partial": False}, results, results).missing == []

"""Stage `twirl` of external runs: prepared frames and checkpoints in, a store and its report out."""

import re

import calculators
import numpy as np
import pytest
from ase.io import write

from twirlscope import plugins
from twirlscope.errors import UserError
from twirlscope.report.inventory import RunFiles
from twirlscope.settings.external import ExternalSettings
from twirlscope.settings.report import ReportSettings
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.stages import prepare, report
from twirlscope.stages.twirl_external import twirl_external
from twirlscope.storage import made_from, store

SETTINGS = TwirlSettings(panel=3, panel_set="D2", rotations=2, split="all", losses=[])
JOB = {"run": "mine", "files": {}, "code": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Prepared frames, half of them held out, without labels."""
    folder = tmp_path_factory.mktemp("frames")
    write(folder / "f.xyz", calculators.structures(8), format="extxyz")
    section = {"name": "extxyz", "files": [str(folder / "f.xyz")], "split_by": "frame", "require_labels": False}
    dataset = plugins.make_dataset(section)
    prepare.prepare_part(dataset, 0, folder / "part.zarr.zip")
    prepare.prepare(dataset, [folder / "part.zarr.zip"], folder / "data.zarr.zip")
    return folder / "data.zarr.zip"


def external(tmp_path, **biases):
    for step, bias in biases.items():
        (tmp_path / f"{step}.txt").write_text(str(bias))
    files = {int(step[1:]): str(tmp_path / f"{step}.txt") for step in biases}
    arguments = {"path": "{checkpoint}"}
    name = f"{calculators.__file__}:from_file"
    return ExternalSettings(calculator=name, arguments=arguments, checkpoints=files, trust=True, workers=2)


@pytest.mark.slow
def test_stage__measures_a_series_of_checkpoints_and_the_report_shows_it(data, tmp_path):
    out = tmp_path / "twirl.zarr.zip"
    given = external(tmp_path, s0=0.2, s10=0.1)
    twirl_external(data, out, SETTINGS, given, JOB)
    found = store.load(out)
    course = found["loss_equiv"].sel(term="forces").values
    np.testing.assert_allclose(course[0] / course[1], 4, rtol=1e-6)
    assert found["step"].values.tolist() == [0, 10]
    assert found["loss_total"].isnull().all()
    assert made_from.recorded(out) == made_from.of_external(JOB, "twirl", SETTINGS, given, data)
    files = [RunFiles("mine", 0, None, out, None, "frames")]
    report.report(files, {"frames": data}, {}, tmp_path / "page", ReportSettings(), {"torch": "2"})
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "of the predicted signal" in page
    assert "% of the loss" not in page


def test_panel__of_one_checkpoint_of_a_series_asks_for_no_more_calls_than_planned(data, tmp_path):
    """The budget stops a series that asks for one call more."""
    settings, out = SETTINGS.model_copy(update={"panel_checkpoints": 1}), tmp_path / "twirl.zarr.zip"
    biases = {"s0": 0.2, "s10": 0.1}
    with pytest.raises(UserError, match=r"max_calls") as refused:
        twirl_external(data, out, settings, external(tmp_path, **biases).model_copy(update={"max_calls": 1}), JOB)
    with pytest.raises(UserError, match=r"max_calls") as more:
        twirl_external(data, out, SETTINGS, external(tmp_path, **biases).model_copy(update={"max_calls": 1}), JOB)
    planned, of_all = (int(max(re.findall(r"\d+", str(e.value)), key=int)) for e in (refused, more))
    assert of_all - planned == 3 * 4 * SETTINGS.panel_replicates
    given = external(tmp_path, **biases).model_copy(update={"max_calls": planned})
    twirl_external(data, out, settings, given, JOB)
    found = store.load(out)
    assert found["spectrum"].sel(step=0).isnull().all()
    assert found["spectrum"].sel(step=10).notnull().all()
    assert found["loss_equiv"].notnull().all()


def test_stage__refuses_steps_that_are_one_model_and_unknown_splits(data, tmp_path):
    same = external(tmp_path, s0=0.2, s4=0.1, s8=0.1)
    with pytest.raises(UserError, match=r"runs.mine.external.checkpoints.*steps 4, 8 are one model"):
        twirl_external(data, tmp_path / "twirl.zarr.zip", SETTINGS, same, JOB)
    other = SETTINGS.model_copy(update={"split": "tset"})
    with pytest.raises(UserError, match=r"twirl.split.*did you mean 'test'"):
        twirl_external(data, tmp_path / "twirl.zarr.zip", other, same, JOB)

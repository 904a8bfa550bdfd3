"""Trainings kept across a change of the code, finished and not, and what is not kept."""

import json

import pytest
from short_trainings import killed_at, run, same, stored_frames, unrehearsed, weights  # noqa: F401

from twirlscope.errors import UserErrors
from twirlscope.stages import train
from twirlscope.storage import made_from, store
from twirlscope.training.checkpoints import Trained
from twirlscope.training.keep import keep, keep_all
from twirlscope.training.loop import Loop

TODAY = "2026-01-31"
pytestmark = pytest.mark.usefixtures("unrehearsed")


@pytest.fixture(name="out")
def trained(tmp_path, data):
    train.train(data, tmp_path / "train.zarr.zip", run(steps=10), "before")
    return tmp_path / "train.zarr.zip"


def test_keep__of_a_finished_training_records_the_change_and_touches_nothing_that_others_read(out, data, monkeypatch):
    old, time, read = weights(out, data, 10), out.stat().st_mtime_ns, made_from.attributes(out)["checkpoints"]
    assert keep(out, run(steps=10), "after", data, TODAY).endswith("kept, finished; code before -> after")
    assert made_from.recorded(out) == made_from.of_training(run(steps=10), "after", data)
    assert json.loads(store.load(out).attrs["kept"]) == [{"before": "before", "after": "after", "date": TODAY}]
    assert (out.stat().st_mtime_ns, made_from.attributes(out)["checkpoints"]) == (time, read)
    assert same(old, weights(out, data, 10))
    monkeypatch.setattr(Loop, "update", lambda loop: pytest.fail("trained again"))
    out.unlink()
    train.train(data, out, run(steps=10), "after")
    assert json.loads(store.load(out).attrs["kept"])[0]["date"] == TODAY, "also where the store is made again"


def test_keep__a_second_time_adds_to_the_record_and_without_a_change_does_nothing(out, data):
    keep(out, run(steps=10), "after", data, TODAY)
    assert keep(out, run(steps=10), "after", data, TODAY).endswith("as it would be made now")
    keep(out, run(steps=10), "later", data, "2026-02-01")
    assert [change["after"] for change in json.loads(store.load(out).attrs["kept"])] == ["after", "later"]
    assert not list(out.parent.glob(".*")), "nothing is left behind"


def test_keep__of_a_training_that_was_killed_lets_it_be_resumed(tmp_path, data, capsys):
    out = tmp_path / "train.zarr.zip"
    with killed_at(20):
        train.train(data, out, run(), "before")
    assert "kept, to be resumed" in keep(out, run(), "after", data, TODAY)
    capsys.readouterr()
    train.train(data, out, run(), "after")
    assert "resumed at step 16" in capsys.readouterr().out
    assert json.loads(store.load(out).attrs["kept"])[0]["before"] == "before"
    train.train(data, tmp_path / "whole" / "train.zarr.zip", run(), "after")
    assert same(weights(out, data, 30), weights(tmp_path / "whole" / "train.zarr.zip", data, 30))


def test_keep__refuses_a_training_with_other_settings_and_names_them(out, data):
    before = out.read_bytes()
    said = keep(out, run(steps=10, learning_rate=5e-4), "after", data, TODAY)
    assert "not kept, as more than its code has changed: run.train.learning_rate: 0.001 -> 0.0005" in said
    assert out.read_bytes() == before
    assert Trained(out, data).steps[-1] == 10


def test_keep__where_there_is_no_training_says_so(tmp_path, data):
    assert keep(tmp_path / "train.zarr.zip", run(), "after", data, TODAY).endswith("nothing to keep")


def test_keep_all__goes_on_after_a_mistake_and_names_it_at_the_end(out, data, tmp_path, capsys):
    broken = tmp_path / "broken" / "train.zarr.zip"
    broken.parent.mkdir()
    broken.write_bytes(b"no zip")
    job = {"run": run(steps=10), "code": "after", "data": str(data)}
    with pytest.raises(UserErrors, match="damaged"):
        keep_all([job | {"out": str(broken)}, job | {"out": str(out)}], TODAY)
    assert "kept, finished" in capsys.readouterr().out

"""Trainings and settings of the runs."""

import json

import pytest
import synthetic

from twirlscope.report.sections import runs
from twirlscope.report.trainings import Training


def test_training_table__names_one_device_once_and_several_by_training():
    one, other = (Training(n, 0, synthetic.train().assign_attrs(device=d), synthetic.twirl()) for n, d in ("aA", "bB"))
    alone, both = runs.training_table([one, one]), runs.training_table([one, other])
    assert alone.caption == "The trainings, on A."
    assert "device" not in alone.shown.data
    assert list(alone.numbers.data["device"]) == ["A", "A"]
    assert list(both.shown.data["device"]) == ["A", "B"]


def test_runs__leave_out_what_the_stores_do_not_say():
    unmetered = synthetic.train().drop_vars("seconds_update").drop_attrs()
    training = Training("a", 0, unmetered, synthetic.twirl().drop_attrs())
    assert runs.training_table([training]).rows == [["a", "0", "", "–", "–", "–", "3000", "9", "–"]]  # noqa: RUF001
    assert runs.run_facts([training]) == {}
    assert runs.settings_table([training]) is None
    training.train.attrs["training_samples"] = 7
    assert runs.run_facts([training]) == {"data": "7 training samples"}


def test_settings_table__shows_what_differs_and_keeps_the_rest_in_the_csv_file():
    def run(name, steps):
        spec = {"task": {"name": "t"}, "model": {"name": "m", "width": 8}, "train": {"steps": steps, "batch": 4}}
        return Training(name, 0, synthetic.train().assign_attrs(run=json.dumps(spec)), synthetic.twirl())

    table = runs.settings_table([run("a", 10), run("b", 20)])
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["steps"] == ["10", "20"]
    assert not {"batch", "model", "task"} & set(rows)
    full = table.numbers.data.set_index(runs.SETTING)
    assert list(full.loc["batch"]) == ["4", "4"]
    assert list(full.loc["model"]) == ["m; width 8", "m; width 8"]
    alone = runs.settings_table([run("a", 10)])
    assert "batch" in {row[0] for row in alone.rows}, "a single run has nothing to differ from"


@pytest.mark.parametrize(("setting", "said"), [("auto", "auto: yes, a pass takes 2 ms compiled"), ("never", "never")])
def test_run_facts__say_what_a_trial_found_about_compilation(setting, said):
    attrs = {"run": json.dumps({"train": {"compile": setting}}), "compiled": "yes, a pass takes 2 ms compiled"}
    assert (
        runs.run_facts([Training("a", 0, synthetic.train().assign_attrs(attrs), synthetic.twirl())])["compile"] == said
    )


def test_kept_trainings__are_named_with_both_hashes_and_the_date():
    change = {"before": "aaa", "after": "bbb", "date": "2026-01-31"}
    kept = Training("a", 1, synthetic.train().assign_attrs(kept=json.dumps([change])), synthetic.twirl())
    other = Training("b", 0, synthetic.train(), synthetic.twirl())
    said = "Run a, seed 1: the training was kept on 2026-01-31, though its code had changed (hash aaa to bbb)."
    assert runs.kept_notes([other, kept]) == [said]
    assert runs.run_facts([kept])["kept across changes of its code"] == said

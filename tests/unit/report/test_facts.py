"""Texts and tables of the page, from complete stores and from stores without attributes."""

import json

import numpy as np
import synthetic
import xarray as xr
from synthetic import control

from twirlscope.report import facts, headline, headline_tables
from twirlscope.report.sections import equivariance_error, loss_curves
from twirlscope.report.trainings import Training
from twirlscope.settings.report import ReportSettings
from twirlscope.storage import made_from


def test_page_content__leaves_out_what_the_stores_do_not_say():
    unmetered = synthetic.train().drop_vars("seconds_update")
    bare = [d.drop_attrs() for d in (unmetered, synthetic.twirl(), synthetic.hessian())]
    training = Training("a", 0, *bare)
    line = headline.headline(training, "weighted", 2.0)
    assert "error_forces_meV/Å" not in headline_tables.headline_table([training], [line], 2.0).numbers.data
    assert facts.training_table([training], {}).rows == [["a", "0", "", "–", "–", "–", "3000", "9", "–"]]  # noqa: RUF001
    assert facts.model_facts([training]) == facts.method([training]) == {}
    training.train.attrs["training_samples"] = 7
    assert facts.model_facts([training]) == {"Data": "7 training samples"}
    assert facts.dataset_card("d", xr.Dataset()).facts == {"Samples": "0", "Rejected records": "none"}


def test_training_table__names_one_device_once_and_several_by_training():
    one, other = (Training(n, 0, synthetic.train().assign_attrs(device=d), synthetic.twirl()) for n, d in ("aA", "bB"))
    alone, both = facts.training_table([one, one], {}), facts.training_table([one, other], {})
    assert alone.caption == "The trainings, on A."
    assert "device" not in alone.shown.data
    assert list(alone.numbers.data["device"]) == ["A", "A"]
    assert list(both.shown.data["device"]) == ["A", "B"]


def test_warnings__name_heavy_tails_but_not_of_rounding_error():
    data = synthetic.twirl()
    data["sample_loss_equiv"][..., 0] *= 1000
    found = facts.warnings([headline.headline(Training("a", 0, None, data), "weighted", 2.0)])
    assert len(found) == 1
    assert "its intervals are approximate" in found[0]
    assert "; 1 of 40 independent clusters of samples carries " in found[0]  # one of 40 is no 1 %
    assert not facts.warnings([headline.headline(control(data), "weighted", 2.0)])
    data["loss_total"][-1] = np.nan
    assert "diverged" in facts.warnings([headline.headline(Training("a", 0, None, data), "weighted", 2.0)])[0]


def test_page_content__has_a_note_on_few_clusters_and_names_their_number():
    data = synthetic.twirl().assign(cluster=("sample", np.arange(40, dtype=np.int32) % 4)).assign_attrs(clusters=4)
    one = Training("a", 0, synthetic.train(), data, dataset="md")
    content = facts.page_content([one], {}, {}, {}, ReportSettings(), {}, [], [one], [])
    (note,) = content.warnings
    assert "4 (held-out samples)" in note
    assert content.method["Clusters of held-out samples, which the bootstrap resamples"] == "4"
    assert "40 samples (4 independent clusters) of the split test" in content.paragraph


def test_labels__stand_in_the_head_of_the_page_and_under_the_figures(tmp_path):
    data = synthetic.twirl().assign_attrs(labels="GFN2-xTB (semiempirical)")
    one = Training("a", 0, synthetic.train(), data, synthetic.hessian())
    content = facts.page_content([one], {}, {}, {}, ReportSettings(), {}, [], [one], [])
    assert content.summary.endswith("Labels: GFN2-xTB (semiempirical).")
    for figure in (loss_curves.losses([one], "forces"), equivariance_error.percent([one], "forces", 2.0)):
        assert "Labels: GFN2-xTB (semiempirical)." in figure.caption
    assert (
        "Labels" not in loss_curves.losses([Training("a", 0, synthetic.train(), synthetic.twirl())], "forces").caption
    )


def test_duplicates_note__counts_held_out_samples_of_the_train_split():
    data = synthetic.frames().assign_attrs(duplicates='{"test": 2}')
    (note,) = facts.duplicates_note({"md": data, "clean": synthetic.frames()})
    assert note.startswith("Dataset md: 2 of 5 samples of the split test are in the train split too")


def test_dataset_card__says_whether_molecules_are_on_both_sides():
    data = synthetic.frames()
    shared = "single frames of molecules that are in the train split too (5 of 5 in test)"
    assert facts.dataset_card("md", data).facts["Held out"] == shared
    apart = data.assign(molecule=("sample", data["split"].values.astype(np.int32)))
    assert facts.dataset_card("md", apart).facts["Held out"] == "molecules that are not in the train split"
    assert "Held out" not in facts.dataset_card("chains", data.drop_vars("molecule")).facts


def test_kept_trainings__are_named_with_both_hashes_and_the_date_in_the_notes_and_in_the_card():
    change = {"before": "aaa", "after": "bbb", "date": "2026-01-31"}
    kept = Training("a", 1, synthetic.train().assign_attrs(kept=json.dumps([change])), synthetic.twirl())
    other = Training("b", 0, synthetic.train(), synthetic.twirl())
    said = "Run a, seed 1: the training was kept on 2026-01-31, though its code had changed (hash aaa to bbb)."
    assert facts.kept_notes([other, kept]) == [said]
    assert said in facts.data_notes([other, kept], {})
    assert facts.model_facts([kept])["Kept across changes of its code"] == said
    assert "Kept across changes of its code" not in facts.model_facts([other])


def test_spec__of_a_training_has_the_keys_of_its_task_that_its_measurement_used():
    record = {"task.action": '"atoms"', "settings.rotations": "4"}
    measured = synthetic.twirl().assign_attrs(made_from.attribute(record))
    found = Training("a", 0, synthetic.train(), measured).spec
    assert found["task"] == Training("a", 0, synthetic.train(), synthetic.twirl()).spec["task"] | {"action": "atoms"}

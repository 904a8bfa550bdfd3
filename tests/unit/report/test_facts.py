"""Texts and tables of the page, from complete stores and from stores without attributes."""

import json

import numpy as np
import pytest
import synthetic
from synthetic import control

from twirlscope.report import facts, headline
from twirlscope.report.sections.contents import Findings
from twirlscope.report.trainings import Training
from twirlscope.settings.report import ReportSettings
from twirlscope.storage import made_from


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


def screen_of(trainings, data=None, **settings):
    found = ReportSettings(**settings)
    return facts.first_screen(trainings, [], data or {}, trainings, [], Findings(), found, "1 May 2026")


@pytest.mark.slow
def test_page_content__has_a_note_on_few_clusters_and_names_their_number():
    data = synthetic.twirl().assign(cluster=("sample", np.arange(40, dtype=np.int32) % 4)).assign_attrs(clusters=4)
    one = Training("a", 0, synthetic.train(), data, dataset="md")
    screen = screen_of([one])
    (note,) = screen.doubts
    assert "4 (held-out samples)" in note
    content = facts.page_content([one], [], {}, [], screen, {}, ReportSettings(), {})
    assert content.method["Clusters of held-out samples, which the bootstrap resamples"] == "4"
    assert "40 samples (4 independent clusters) of the split test" in content.paragraph


@pytest.mark.slow
def test_first_screen__has_the_title_of_the_user_or_the_question():
    one = Training("a", 0, synthetic.train(), synthetic.twirl())
    assert screen_of([one], title="Mine").title == "Mine"
    assert screen_of([one]).title == "How fast, how completely and at what cost does 1 network learn rotation?"


def test_reading__names_what_captions_do_not_repeat():
    seeds = [Training("a", k, synthetic.train(), synthetic.twirl()) for k in (0, 1)]
    said = " ".join(facts.reading([*seeds, control()]))
    for words in ("95 % intervals", "not yet learned (below 10 %)", "Thin lines", control().label, "CSV"):
        assert words in said
    assert "Thin lines" not in " ".join(facts.reading(seeds[:1]))


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


def test_spec__of_a_training_has_the_keys_of_its_task_that_its_measurement_used():
    record = {"task.action": '"atoms"', "settings.rotations": "4"}
    measured = synthetic.twirl().assign_attrs(made_from.attribute(record))
    found = Training("a", 0, synthetic.train(), measured).spec
    assert found["task"] == Training("a", 0, synthetic.train(), synthetic.twirl()).spec["task"] | {"action": "atoms"}

"""The sections that a report has."""

import json

import pandas as pd
import pytest
import synthetic
from synthetic import field
from unarranged import unarranged

from twirlscope.report.questions import QUESTIONS
from twirlscope.report.sections import contents
from twirlscope.settings.report import ReportSettings
from twirlscope.stages import report
from twirlscope.storage import registry


@pytest.fixture(autouse=True)
def _figures_as_they_come():
    """These tests look at what the sections have, not at where a figure has its panels."""
    with unarranged():
        yield


@pytest.mark.slow
def test_sections__include_fields_only_if_there_are_some():
    made = [[field(fields=f)] for f in (True, False)]
    names = [
        [s.anchor for s in contents.all_sections(m, ReportSettings(), {}, m, {}, contents.Findings())] for m in made
    ]
    assert "fields" in names[0]
    assert "fields" not in names[1]


@pytest.mark.slow
def test_sections__stand_in_the_order_of_their_questions():
    found = contents.all_sections([field()], ReportSettings(), {}, [field()], {}, contents.Findings())
    places = [QUESTIONS.index(section.question) for section in found]
    assert places == sorted(places)
    assert len({section.anchor for section in found}) == len(found)


@pytest.mark.slow
def test_sections__have_the_same_tables_of_trainings_without_figures_of_their_own(tmp_path):
    """Of many trainings the report reads less; what the sections on all of them need must be read."""
    names = ("train", "twirl", "hessian", "gradient")
    made = {"train": synthetic.train, "hessian": synthetic.hessian, "gradient": synthetic.gradient}
    made["twirl"] = lambda seed: synthetic.spectral(synthetic.twirl(seed=seed), seed)
    every = []
    for seed, objective in enumerate(({"name": "augment"}, {"name": "none"}, {"name": "frames"})):
        paths = {name: tmp_path / f"{name}{seed}.zarr.zip" for name in names}
        for name, path in paths.items():
            data = made[name](seed=seed)
            if name == "train":
                spec = json.loads(data.attrs["run"])
                data.attrs["run"] = json.dumps(spec | {"train": spec["train"] | {"objective": objective}})
            registry.save(data, path)
        run = f"run_{objective['name']}"
        every.append(report.RunFiles(run, 0, paths["train"], paths["twirl"], paths["hessian"], "md", paths["gradient"]))
    whole, light = ([report._read(files, number) for files in every] for number in (0, None))
    shown = whole[:1]
    tables = []
    for trainings in (whole, light):
        found = contents.findings(trainings, shown, {})
        sections = contents.all_sections([*shown, *trainings[1:]], ReportSettings(), {}, shown, {}, found)
        tables.append({(s.anchor, t.name): t.numbers.data for s in sections for _, t in s.tables})
    assert ("objectives", "objectives_md_force_field_ends") in tables[0]
    assert tables[0].keys() == tables[1].keys()
    for name, table in tables[0].items():
        pd.testing.assert_frame_equal(table, tables[1][name], obj=str(name))

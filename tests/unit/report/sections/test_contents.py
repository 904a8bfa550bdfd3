"""The sections that a report has."""

import pytest
from synthetic import field

from twirlscope.report.questions import QUESTIONS
from twirlscope.report.sections import contents
from twirlscope.settings.report import ReportSettings


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

"""The sections that a report has."""

from synthetic import field

from twirlscope.report.sections import contents
from twirlscope.settings.report import ReportSettings


def test_sections__include_fields_only_if_there_are_some():
    made = [[field(fields=f)] for f in (True, False)]
    names = [[s.anchor for s in contents.all_sections(m, ReportSettings(), {}, m, {})] for m in made]
    assert "fields" in names[0]
    assert "fields" not in names[1]

"""Tables of the last checkpoints."""

import synthetic
from synthetic import control

from twirlscope.report import headline, headline_tables
from twirlscope.report.trainings import Training


def test_headline__has_no_interval_of_rounding():
    trainings = [control(), Training("a", 0, None, synthetic.twirl())]
    lines = [headline.headline(t, "weighted", 2.0) for t in trainings]
    at_floor, free = headline_tables.term_table(lines, 2.0).shown.data["percent"]
    assert at_floor.endswith("(rounding error)")
    assert " to " in free


def test_terms__of_a_single_one_are_without_their_sum():
    assert headline_tables.separate_terms(["weighted", "velocity"]) == ["velocity"]
    assert headline_tables.separate_terms(["weighted", "forces", "energy"]) == ["weighted", "forces", "energy"]
    assert headline_tables.separate_terms(["velocity"]) == ["velocity"]

"""Tables of the last checkpoints."""

import synthetic
from synthetic import control

from twirlscope.report import headline, headline_tables
from twirlscope.report.trainings import Training


def test_term_table__gives_rounding_errors_without_interval():
    trainings = [control(), Training("a", 0, None, synthetic.twirl())]
    lines = [headline.headline(t, "weighted", 2.0) for t in trainings]
    at_floor, free = headline_tables.term_table(lines, 2.0).shown.data["percent"]
    assert at_floor.endswith("(rounding error)")
    assert " to " in free


def test_separate_terms__leave_out_the_sum_of_a_single_term():
    assert headline_tables.separate_terms(["weighted", "velocity"]) == ["velocity"]
    assert headline_tables.separate_terms(["weighted", "forces", "energy"]) == ["weighted", "forces", "energy"]
    assert headline_tables.separate_terms(["velocity"]) == ["velocity"]

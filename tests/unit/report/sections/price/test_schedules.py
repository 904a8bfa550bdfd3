"""Runs that are compared at the same cost."""

import json

import synthetic

from twirlscope.report.sections.claims import evidence
from twirlscope.report.sections.price.comparison import BUILT_IN, LEARNED, comparisons
from twirlscope.report.sections.price.schedules import ended_together
from twirlscope.report.trainings import Training


def annealed(trainings, share=0.01):
    """The trainings with a schedule that lowers the learning rate."""
    found = []
    for t in trainings:
        spec = t.spec | {"train": {"final_learning_rate": share}}
        train = t.train.assign_attrs(run=json.dumps(spec))
        found.append(Training(t.run, t.seed, train, t.twirl, dataset=t.dataset))
    return found


def families(**built):
    """10 s of plain networks, 1,000 updates of 0.01 s; networks with built-in symmetry by their time per update."""
    return synthetic.families(built=built)


def test_ended_together__keeps_runs_that_end_at_the_same_time():
    same = annealed(families(second=0.0101))
    (comparison,) = comparisons(same)
    found = ended_together(comparison)
    assert [list(found.runs[f]) for f in (LEARNED, BUILT_IN)] == [["plain"], ["exact"]]
    assert evidence.per_time(same, "weighted")[0].doubt == ""


def test_ended_together__refuses_a_run_in_the_middle_of_its_schedule():
    half = annealed(families(second=0.1))  # 100 s: after 10 s a tenth of its schedule
    (comparison,) = comparisons(half)
    assert ended_together(comparison) is None
    assert "in the middle of their schedules" in evidence.per_time(half, "weighted")[0].doubt


def test_ended_together__allows_a_longer_run_with_a_constant_learning_rate():
    trainings = families(second=0.1)
    mixed = annealed(trainings[:3]) + annealed(trainings[3:], 1.0)
    (comparison,) = comparisons(mixed)
    assert ended_together(comparison) is not None
    assert evidence.per_time(mixed, "weighted")[0].doubt == ""
    turned = annealed(trainings[:3], 1.0) + annealed(trainings[3:])  # now the longer one is annealed
    (comparison,) = comparisons(turned)
    assert ended_together(comparison) is None


def test_ended_together__takes_the_run_that_ends_in_time_of_several():
    trainings = annealed(families(second=0.1))
    short = [synthetic.priced("short", True, s, level=10.0, slope=0.6, second=0.01) for s in (0, 1, 2)]
    (comparison,) = comparisons([*trainings, *annealed(short)])
    assert list(ended_together(comparison).runs[BUILT_IN]) == ["short"]

"""The command that tries faults: its table, and a few trials of every fault of a training."""

from collections import Counter

import pytest

from bench import check_reliability
from bench.check_reliability import Fault, NotHere, Outcome, Row

MODULES = [name for name in check_reliability.names() if not name.startswith("workflow")]
FAULTS = [fault for name in MODULES for fault in check_reliability.faults(name)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault__of_a_training_is_survived(fault):
    row = check_reliability.tried(fault, fault.few)
    if row.missing:
        pytest.skip(row.missing)
    assert row.survived == row.tried == fault.few, row.ends


def test_tried__counts_trials_by_their_end_and_an_exception_as_one_that_was_not_survived():
    def trial(seed, folder):
        assert not list(folder.iterdir())
        if seed == 3:
            raise RuntimeError("no")
        return Outcome(seed != 2, "well" if seed != 2 else "badly")

    row = check_reliability.tried(Fault("fire", "all is well", 5, 1, trial), 5)
    assert (row.tried, row.survived) == (5, 3)
    assert row.ends == {"well": 3, "NOT survived, seed 2: badly": 1, "NOT survived, seed 3: RuntimeError: no": 1}


def test_tried__says_why_a_fault_is_not_tried_here():
    def trial(seed, folder):
        raise NotHere("no fire")

    row = check_reliability.tried(Fault("fire", "all is well", 5, 1, trial), 5)
    assert (row.tried, row.missing) == (0, "no fire")


def test_table__has_a_line_per_fault_and_the_sums():
    rows = [Row("a", "b", 3, 2, Counter({"x": 2, "NOT": 1})), Row("c", "d", 0, 0, Counter(), "why")]
    assert check_reliability.table(rows).splitlines()[2:] == [
        "| a | b | 3 | 2 | 2 times: x; 1 times: NOT |",
        "| c | d | 0 | 0 | not tried: why |",
        "| all | | 3 | 2 | |",
    ]

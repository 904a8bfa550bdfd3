"""The command that tries faults: its table, and a few trials of every fault of a training."""

from collections import Counter
from datetime import date

import pytest

from bench import check_reliability
from bench.check_reliability import Fault, NotHere, Outcome, Row

MODULES = [name for name in check_reliability.names() if not name.startswith("workflow")]
FAULTS = [fault for name in MODULES for fault in check_reliability.faults(name)]


@pytest.mark.slow
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


def test_page__has_a_dated_line_per_fault_and_a_new_line_takes_the_place_of_the_old_one():
    first, second = FAULTS[0].name, FAULTS[1].name
    page = ""
    for row in (
        Row(second, "b", 3, 2, Counter({"x": 2, "NOT": 1})),
        Row(first, "d", 0, 0, Counter(), "why"),
        Row(second, "b", 5, 5, Counter({"y": 5})),
    ):
        page = check_reliability.renewed(page, row)
    lines = [line.rsplit(" | ", 1) for line in page.splitlines()[-2:]]
    assert [line[0] for line in lines] == [
        f"| {first} | d | 0 | 0 | not tried: why",
        f"| {second} | b | 5 | 5 | 5 times: y",
    ]
    assert all(line[1].startswith(f"{date.today().isoformat()}, ") for line in lines)
    assert page.startswith(check_reliability.HEAD)

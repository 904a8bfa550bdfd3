"""Verdicts by intervals, and their sentences."""

import numpy as np
import pytest

from twirlscope.report.sections.claims.judge import (
    CONTRADICTED,
    HOLDS,
    OPEN,
    Claim,
    Evidence,
    claims_table,
    judge,
    sentences,
)


@pytest.mark.parametrize(
    ("low", "high", "final", "expected"),
    [
        (1.0, 1.9, True, HOLDS),
        (1.0, 2.0, True, HOLDS),
        (1.9, 2.1, True, OPEN),
        (2.1, 3.0, True, CONTRADICTED),
        (2.1, 3.0, False, OPEN),
        (1.0, 1.9, False, HOLDS),
        (np.nan, np.nan, True, OPEN),
        (1.0, np.nan, True, OPEN),
    ],
)
def test_verdict__has_three_values_decided_by_the_interval(low, high, final, expected):
    claim = Claim("n", "S", "s", "q", "l", "x", lambda *_: [Evidence("t", "a", 1.5, low, high, final)], most=2.0)
    assert [v.verdict for v in judge([claim], [], "weighted")] == [expected]


def test_verdict__of_a_scope_is_that_of_its_worst_number_and_names_it():
    good = ("good", 1.0, 0.9, 1.1)
    rows = [("t", *good), ("t", "bad", 5.0, 4.0, 6.0), ("u", *good)]

    def numbers(*_):
        return [Evidence(*row) for row in rows]

    claim = Claim("n", "S", "s", "q", "l", "x", numbers, most=2.0)
    first, second = judge([claim], [], "weighted")
    assert (first.scope, first.verdict, first.worst.label, first.count) == ("t", CONTRADICTED, "bad", 2)
    assert (second.scope, second.verdict) == ("u", HOLDS)
    (said,) = sentences([first, second])
    assert said.startswith("S (s). Verdict: holds for u, contradicted for t. Q, at most 2: ")
    assert (
        "t 5 (95 % interval 4 to 6; bad, the worst of 2, 1 of which is within), u 1 (95 % interval 0.9 to 1.1; good)."
        in said
    )
    table = claims_table([first, second])
    assert list(table.numbers.data["verdict"]) == [CONTRADICTED, HOLDS]
    assert list(table.numbers.data["value"]) == [5, 1]


def verdict_of(evidence, **limits):
    claim = Claim("n", "S", "s", "q", "l", "x", lambda *_: evidence, **({"most": 2.0} | limits))
    (found,) = judge([claim], [], "weighted")
    return found


def test_verdict__of_many_numbers_is_not_contradicted_by_the_largest_of_their_errors():
    """An interval that lies just outside is one of 40 of numbers at the limit."""
    outside = Evidence("t", "a", 2.5, 2.02, 3.0)
    assert verdict_of([outside]).verdict == CONTRADICTED
    assert verdict_of([outside] + [Evidence("t", "b", 1.5, 1.0, 1.9)] * 19).verdict == OPEN
    far = Evidence("t", "a", 5.0, 4.0, 6.0)
    assert verdict_of([far] + [Evidence("t", "b", 1.5, 1.0, 1.9)] * 19).verdict == CONTRADICTED


@pytest.mark.parametrize(("value", "expected"), [(1.0, OPEN), (5.0, OPEN)])
def test_verdict__of_a_doubtful_number_is_open_and_says_why(value, expected):
    found = verdict_of([Evidence("t", "a", value, value - 0.1, value + 0.1, doubt="has heavy tails")])
    assert (found.verdict, found.reasons) == (expected, ("a has heavy tails",))
    assert sentences([found])[0].endswith("Open because a has heavy tails.")


def test_verdict__of_a_lower_bound_refutes_at_most_and_confirms_at_least():
    small, large = Evidence("t", "a", 1.0, 0.9, 1.1, bound=True), Evidence("t", "a", 5.0, 4.0, 6.0, bound=True)
    assert [verdict_of([one]).verdict for one in (small, large)] == [OPEN, CONTRADICTED]
    found = [verdict_of([one], least=2.0, most=np.inf).verdict for one in (small, large)]
    assert found == [OPEN, HOLDS]

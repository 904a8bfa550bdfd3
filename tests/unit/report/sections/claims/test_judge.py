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

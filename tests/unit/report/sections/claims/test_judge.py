"""Verdicts by intervals, and their table."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from synthetic import claimed

from twirlscope.report.sections.claims.judge import (
    CONTRADICTED,
    HOLDS,
    NOT_RUN,
    OPEN,
    Claim,
    Evidence,
    claims_table,
    counts,
    judge,
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
    assert counts([first, second]) == "Of 1 claim 0 hold for every task, 1 is contradicted and 0 are open."
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
    assert claims_table([found]).shown.data["reasons"][0] == "a has heavy tails"


def test_verdict__of_a_lower_bound_refutes_at_most_and_confirms_at_least():
    small, large = Evidence("t", "a", 1.0, 0.9, 1.1, bound=True), Evidence("t", "a", 5.0, 4.0, 6.0, bound=True)
    assert [verdict_of([one]).verdict for one in (small, large)] == [OPEN, CONTRADICTED]
    found = [verdict_of([one], least=2.0, most=np.inf).verdict for one in (small, large)]
    assert found == [OPEN, HOLDS]


def test_widened__is_the_interval_of_bonferroni_in_logarithms_above_a_positive_number():
    factor = stats.norm.ppf(1 - 0.025 / 3) / stats.norm.ppf(0.975)
    one = Evidence("t", "a", 2.0, 1.5, 4.0)
    assert one.widened(1) == (pytest.approx(1.5), pytest.approx(4.0))
    assert one.widened(3) == (pytest.approx(2 - 0.5 * factor), pytest.approx(2 * 2**factor))
    assert Evidence("t", "a", -2.0, -3.0, -1.0).widened(3) == (pytest.approx(-2 - factor), pytest.approx(-2 + factor))
    assert Evidence("t", "a", 2.0, 1.5, np.inf).widened(3)[1] == np.inf
    assert Evidence("t", "a", 0.0, -1.0, 1.0).widened(3) == (pytest.approx(-factor), pytest.approx(factor))
    assert Evidence("t", "a", 2.0, 2.0, 2.0).widened(3) == (2.0, 2.0)


def claim_of(evidence=(), **limits):
    return Claim("n", "S", "s", "the number", "l", "x", lambda *_: list(evidence), **limits)


@pytest.mark.parametrize(
    ("limits", "low", "high", "expected"),
    [
        ({"least": 1.0}, 0.5, 2.0, 0.5),
        ({"least": 1.0}, 1.5, 2.0, -0.5),
        ({"most": 3.0}, 0.5, 4.0, 1.0),
        ({"least": 1.0, "most": 3.0}, 0.0, 3.5, 1.0),
        ({"least": 1.0, "most": 3.0}, 0.9, 3.5, 0.5),
        ({"most": 3.0}, np.nan, np.nan, np.inf),
    ],
)
def test_excess__is_the_distance_of_the_worse_end_beyond_a_limit(limits, low, high, expected):
    assert claim_of(**limits).excess(Evidence("t", "a", 1.0, low, high)) == pytest.approx(expected)


def test_allowed__names_the_limits():
    limits = [{"most": 2.0}, {"least": 1.5}, {"least": 0.25, "most": 10.0}]
    assert [claim_of(**limit).allowed for limit in limits] == ["at most 2", "at least 1.5", "0.25 to 10"]


@pytest.mark.parametrize(
    ("limits", "low", "high", "expected"),
    [
        ({"least": 1.0}, 1.0, 2.0, HOLDS),
        ({"least": 1.0}, 0.2, 0.9, CONTRADICTED),
        ({"least": 1.0}, 0.2, 1.0, OPEN),
        ({"most": 2.0}, 2.0, 3.0, OPEN),
        ({"least": 1.0, "most": 2.0}, 1.0, 2.0, HOLDS),
        ({"least": 1.0, "most": 2.0}, 0.5, 2.5, OPEN),
    ],
)
def test_verdict__has_limits_that_belong_to_what_is_allowed(limits, low, high, expected):
    one = Evidence("t", "a", (low + high) / 2, low, high)
    assert claim_of(**limits).verdict(one) == expected


def test_verdict__of_a_scope_without_numbers_names_what_it_needs():
    (found,) = judge([claim_of(most=2.0)], [], "weighted")
    assert (found.scope, found.verdict, found.worst, found.count, found.within) == ("", OPEN, None, 0, 0)
    assert claims_table([found]).shown.data["reasons"][0] == "needs x"
    (row,) = claims_table([found]).numbers.data.to_dict("records")
    assert (row["for"], row["label"], row["reasons"]) == ("\N{EN DASH}", "", "")
    assert np.isnan([row["value"], row["value_low"], row["value_high"]]).all()


def test_verdict__of_levels_stays_open_where_a_run_has_no_results():
    good = [Evidence("t", "a", 1.0, 0.9, 1.1)]
    absent = {"t": ["b", "c"], "u": ["d"]}
    for levels, expected, reasons in ((True, OPEN, ("b has no results", "c has no results")), (False, HOLDS, ())):
        (found,) = judge([claim_of(good, most=2.0, levels=levels)], [], "weighted", absent)
        assert (found.verdict, found.reasons) == (expected, reasons)
    (found,) = judge([claim_of([Evidence("v", "a", 1.0, 0.9, 1.1)], most=2.0, levels=True)], [], "weighted", absent)
    assert found.verdict == HOLDS
    bad = [Evidence("t", "a", 5.0, 4.9, 5.1)]
    (found,) = judge([claim_of(bad, most=2.0, levels=True)], [], "weighted", absent)
    assert (found.verdict, found.reasons) == (CONTRADICTED, ())


def test_verdict__gives_the_trainings_and_the_term_to_its_evidence():
    given, training = [], claimed()
    judge([Claim("n", "S", "s", "q", "l", "x", lambda *a: given.append(a) or [])], [training], "forces")
    assert given == [([training], "forces")]


def test_verdict__names_a_number_that_is_known_before_one_that_is_not():
    rows = [Evidence("t", "unknown", doubt="has no number"), Evidence("t", "known", 3.0, 1.0, 5.0)]
    (found,) = judge([claim_of(rows, most=2.0)], [], "weighted")
    assert (found.verdict, found.worst.label, found.count, found.within) == (OPEN, "known", 2, 0)
    (found,) = judge([claim_of(rows[:1], most=2.0)], [], "weighted")
    assert (found.worst.label, found.reasons) == ("unknown", ("unknown has no number",))


def test_verdict__counts_only_numbers_without_a_doubt_for_the_width_of_intervals():
    """Alone the number lies outside; with one more number that could be wrong, its interval touches the limit."""
    outside, other = Evidence("t", "a", 2.5, 2.05, 3.0), Evidence("t", "b", 1.5, 1.0, 1.9)
    assert verdict_of([outside, Evidence("t", "c", 1.5, 1.0, 1.9, doubt="d")]).verdict == CONTRADICTED
    assert verdict_of([outside, other]).verdict == OPEN
    assert verdict_of([Evidence("t", "c", 1.5, 1.0, 1.9, doubt="d")] * 2).verdict == OPEN


def test_claims_table__gives_one_reason_and_counts_the_others():
    rows = [Evidence("t", f"run {k}", 1.0, 0.5, 1.5, doubt="has no luck") for k in range(3)]
    found = claims_table(judge([claim_of(rows, most=2.0)], [], "weighted"))
    assert found.shown.data["reasons"][0] == "run 0 has no luck; and 2 more"
    assert found.numbers.data["reasons"][0] == "run 0 has no luck; run 1 has no luck; run 2 has no luck"


def test_counts__are_of_claims_over_all_their_tasks():
    rows = [Evidence(s, "a", v, v - 0.1, v + 0.1) for s, v in (("t", 1.0), ("u", 5.0), ("v", 2.0), ("w", 1.0))]
    claims = [claim_of(rows, most=2.0), claim_of(rows[:1], most=3.0), claim_of(rows[2:], most=2.0)]
    found = counts(judge(claims, [], "weighted"))
    assert found == "Of 3 claims 1 holds for every task, 1 is contradicted and 1 is open."


def test_counts__leave_out_what_no_run_tests():
    tested, untested = claim_of([Evidence("t", "a", 1.0, 0.9, 1.1)], most=2.0), claim_of([], most=2.0)
    found = counts(judge([tested, untested], [], "weighted"))
    assert found.startswith("Of 1 claim 1 holds for every task, 0 are contradicted and 0 are open.")
    assert found.endswith(" These runs do not test 1 more claim.")
    assert counts(judge([untested], [], "weighted")) == "These runs test none of 1 claim."


def test_claims_table__has_every_field_of_a_verdict_and_hides_the_long_ones():
    rows = [Evidence("t", "a", 2.0, 1.5, 2.5, doubt="d"), Evidence("t", "b", 1.0, 0.5, 1.5, doubt="e")]
    claim = Claim("n", "S", "s", "q", "l", "x", lambda *_: rows, most=2.0)
    found = claims_table(judge([claim], [], "weighted"))
    (row,) = found.numbers.data.to_dict("records")
    assert np.isnan(row.pop("published_value"))
    assert row.pop("published") == "\N{EN DASH}"
    assert row == {
        "published_count": 0, "published_label": "", "published_within": 0,
        "claim": "n", "for": "t", "verdict": OPEN, "quantity": "q", "value": 2.0, "value_low": 1.5, "value_high": 2.5,
        "allowed": "at most 2", "label": "a", "count": 2, "within": 0, "reasons": "a d; b e", "statement": "S",
        "source": "s", "limits": "l", "needs": "x",
    }  # fmt: skip
    assert found.name == "claims"
    assert not {"quantity", "claim", "source", "needs", "count"} & set(found.shown.data)
    assert {"statement", "for", "verdict", "published", "allowed", "reasons"} <= set(found.shown.data)
    assert found.shown.data["allowed"][0] == "at most 2\n(l)"
    assert "one furthest outside the limits" in found.caption


def test_claims_table__has_published_scopes_beside_ours_and_those_that_did_not_run():
    ours = [Evidence("t", "a", 1.0, 0.5, 1.5)]
    theirs = [Evidence("t", "p", 3.0, 2.5, 3.5), Evidence("u", "r", 1.25, 1.0, 1.5), Evidence("u", "s", 1.0, 0.9, 1.1)]
    claim = Claim("n", "S", "s", "q", "l", "x", lambda *_: ours, most=2.0)
    other = Claim("n", "S", "s", "q", "l", "x", lambda *_: theirs, most=2.0)
    published = [replace(v, claim=claim) for v in judge([other], [], "weighted")]
    found = claims_table(judge([claim], [], "weighted"), published)
    data = found.numbers.data
    assert list(data["for"]) == ["t", "u"]
    assert list(data["verdict"]) == [HOLDS, NOT_RUN]
    assert list(data["published"]) == [CONTRADICTED, HOLDS]
    assert list(data["count"]) == [1, 0]
    assert list(data["within"]) == [1, 0]
    assert list(data["published_count"]) == [1, 2]
    assert list(data["published_within"]) == [0, 2]
    assert list(data["published_value"]) == [3.0, 1.25]
    assert list(data["published_label"]) == ["p", "r"]
    assert list(found.shown.data["published"]) == [f"{CONTRADICTED} (3)", f"{HOLDS} (1.25)"]

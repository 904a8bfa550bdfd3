"""The strip of claims."""

from twirlscope.report.first_screen.strip import strip
from twirlscope.report.sections.claims.judge import Claim, Evidence, judge
from twirlscope.report.sections.claims.paper import OURS


def claim_of(name, rows, limits=OURS, **more):
    evidence = [Evidence(scope, "a", value, value - 0.1, value + 0.1) for scope, value in rows]
    return Claim(name, "S", "s", "q", limits, "x", lambda *_: evidence, unit=" %", **more)


def test_strip__shows_the_number_that_decides_over_all_tasks():
    rows = [("force_field", 1.0), ("flow_matching", 5.0), ("flow_matching, t 0 to 0.3", 9.0)]
    claims = [
        claim_of("small", rows, most=2.0),
        claim_of("large", rows[:1], most=3.0, limits="the paper's"),
        claim_of("never run", [], most=2.0),
    ]
    (small, large), untested = strip(judge(claims, [], "primary"))
    assert (small.symbol, small.verdict, small.ours) == ("✖", "contradicted", True)
    assert small.number == "5 % flow matching, limit ≤ 2 %; 1 of 2 tasks hold"
    assert (large.symbol, large.number, large.ours) == ("✔", "1 %, limit ≤ 3 %", False)
    assert untested == ["never run"]


def test_strip__leaves_a_claim_open_where_one_task_is_open():
    claim = claim_of("wide", [("a", 1.0), ("b", 2.0)], most=2.0)
    (chip,), _ = strip(judge([claim], [], "primary"))
    assert (chip.symbol, chip.verdict) == ("?", "open")
    assert chip.number.startswith("2 % b")
    at_least = claim_of("least", [("a", 3.0)], least=2.0)
    assert strip(judge([at_least], [], "primary"))[0][0].number == "3 %, limit ≥ 2 %"

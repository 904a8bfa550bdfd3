"""Evidence for claims, on made-up trainings whose numbers are known."""

import numpy as np
import pytest
import synthetic
from synthetic import claimed as one

from twirlscope.report.sections.claims import evidence
from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS, OPEN, judge
from twirlscope.report.sections.claims.paper import CLAIMS
from twirlscope.report.sections.price import comparison
from twirlscope.report.trainings import Training

BY_NAME = {claim.name: claim for claim in CLAIMS}


def verdicts(name, trainings):
    return {v.scope: v.verdict for v in judge([BY_NAME[name]], trainings, "weighted")}


def test_small_penalty__is_the_largest_after_the_first_tenth_of_training():
    training = one(1.0, half=0.1)
    found = evidence.penalty([training], "weighted")[0]
    assert found.value == pytest.approx(100 * 5 / 95)  # at step 1000, a tenth: 5 % of the loss
    assert verdicts("small penalty throughout", [training]) == {"force_field": HOLDS}
    assert verdicts("small penalty throughout", [one(20.0)]) == {"force_field": CONTRADICTED}
    assert verdicts("small penalty throughout", [one(9.0, half=1.0)]) == {"force_field": OPEN}
    assert verdicts("small penalty throughout", [one(1.0, augment="none")]) == {"": OPEN}


def test_conditioning__on_average_is_the_inverse_ratio_of_effective_ranks():
    curved = synthetic.hessian()
    at = {"measure": "effective_rank"}
    for name, value in (("condition_ratio", 0.2), ("condition_ratio_low", 0.1), ("condition_ratio_high", 0.5)):
        curved[name].loc[at] = value
    curved["condition_converged"].loc[at] = True
    training = one()
    training = Training("a", 0, training.train, training.twirl, curved)
    (found,) = evidence.conditions("effective_rank", flat=True)([training], "weighted")
    assert (found.value, found.low, found.high) == (pytest.approx(5), pytest.approx(2), pytest.approx(10))
    assert verdicts("better conditioned on average", [training]) == {"force_field": HOLDS}


def test_per_hour__compares_the_best_of_both_kinds_after_the_same_time():
    ahead = synthetic.families()  # 10 s: 1,000 updates of plain networks, 100 of those with built-in symmetry
    (found,) = evidence.per_time(ahead, "weighted")
    (axis,) = (a for a in comparison.axes(comparison.comparisons(ahead)[0]) if a.name == "time")
    ends = comparison.pairs(axis, 0.0, 1.35)[comparison.LEARNED]
    assert found.value in (pytest.approx(ends.ratio), pytest.approx(1 / ends.ratio))  # what the price section shows
    last = [t.twirl["sample_loss_total"].mean("sample").values[:, 0] for t in ahead]
    plain, exact = np.mean([x[-1] for x in last[:3]]), np.mean([x[5] for x in last[3:]])
    assert found.value == pytest.approx(plain / exact, rel=0.02)
    assert found.low < found.value < found.high
    assert "after 10 s" in found.label
    worse = synthetic.families(built={"level": 0.5}, learned={"level": 9.0})
    assert evidence.per_time(worse, "weighted")[0].value > 1


def test_exponent__has_the_interval_of_a_least_squares_line():
    x = np.geomspace(0.1, 10, 40)
    random = np.random.default_rng(2)
    inside = 0
    for _ in range(300):
        y = 5 * x**2 * np.exp(0.3 * random.standard_normal(40))
        _, low, high = evidence.exponent(x, y)
        inside += low < 2 < high
    assert abs(inside / 300 - 0.95) < 0.04
    assert evidence.exponent(x[:4], x[:4]) is None

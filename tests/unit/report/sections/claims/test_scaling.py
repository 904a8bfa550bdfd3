"""Claims on scaling, each of which can hold, fail and stay open."""

import numpy as np
import pytest
from scaling_worlds import AUGMENT, NONE, SAMPLES, along, families, gap, training

from twirlscope.report.sections.claims import section
from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS, OPEN, judge
from twirlscope.report.sections.claims.scaling import CLAIMS
from twirlscope.report.sections.claims.section import verdicts_of

BY_NAME = {claim.name: claim for claim in CLAIMS}
COPIES = AUGMENT | {"copies": 4}


def verdict(name, trainings):
    (found,) = judge([BY_NAME[name]], trainings, "primary")
    return found.verdict


def drawn(*args, **changes):
    return families(*args, random=np.random.default_rng(1), noise=(0.02, 0.02), **changes)


@pytest.mark.parametrize("key", ["steps", "samples", "width"])
def test_scales_better__is_judged_along_every_axis(key):
    name = "equivariant scales better"
    assert verdict(name, drawn(0.2, key=key)) == HOLDS
    assert verdict(name, drawn(-0.2, key=key)) == CONTRADICTED
    assert verdict(name, drawn(0.0, key=key)) == OPEN
    assert verdict(name, drawn(0.2, key=key, objective=COPIES)) == OPEN, "fresh rotations alone"


def test_every_budget__is_judged_at_both_ends():
    name = "equivariant at every budget"
    assert verdict(name, drawn(0.0, 1.5)) == HOLDS
    assert verdict(name, drawn(-0.3, 1.5)) == CONTRADICTED, "behind at the end"
    assert verdict(name, drawn(0.0, 1.0)) == OPEN
    assert verdict(name, drawn(0.0, 1.5, key="samples")) == OPEN


@pytest.mark.parametrize("objective", [NONE, COPIES])
def test_fewer_samples__is_judged_without_fresh_rotations(objective):
    name = "equivariant needs fewer samples"
    assert verdict(name, drawn(0.0, 1.5, key="samples", objective=objective)) == HOLDS
    assert verdict(name, drawn(0.0, 0.7, key="samples", objective=objective)) == CONTRADICTED
    assert verdict(name, drawn(0.0, 1.5, key="samples")) == OPEN


def test_gap__is_that_of_the_longest_trainings():
    name = "augmentation closes the gap"
    random = np.random.default_rng
    assert verdict(name, gap(0.8, random(0), 0.02)) == HOLDS
    assert verdict(name, gap(1.6, random(0), 0.02)) == CONTRADICTED
    assert verdict(name, gap(1.6, random(0), 0.02, still_falling=True)) == OPEN, "more epochs may close it"
    assert verdict(name, gap(0.8, random(0), 0.02, seeds=2)) == OPEN


def test_bent_lines__decide_nothing():
    bent = [training(2 ** (-0.05 * k**2), seed=s, steps=64 * 2**k) for k in range(6) for s in range(2)]
    (found,) = judge([BY_NAME["equivariant scales better"]], [*bent, *drawn()[12:]], "primary")
    assert found.verdict == OPEN
    assert "bends" in found.reasons[0]


def test_claims__on_scaling_are_left_out_without_a_law(monkeypatch):
    monkeypatch.setattr(section, "CLAIMS", ())
    assert not verdicts_of(along("samples", SAMPLES[:3], -0.4), {})
    assert {v.claim.name for v in verdicts_of(drawn(), {})} == set(BY_NAME)

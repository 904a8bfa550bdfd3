"""Verdicts on simulated trainings for which each claim is true, false or undecidable; the seed is fixed."""

import claim_worlds
import pytest
from claim_worlds import BY_NAME

from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS

TRIALS = 20
MOST = 0.15  # 5 % and two standard errors of 20 trials; docs/calibration.md has more
CLEAR = {"1 %", "4 %", "1 % at 4 levels", "4 % at 1 level, 1 % at 3", "5 % at 10 checkpoints", "20 % at 1 of 10"} | {
    "a ratio of 50", "a ratio of 2", "a ratio of 5", "a ratio of 0.2", "changes correlated 0.95"
} | {"changes correlated -0.95", "exponent 2", "exponent 1", "a ratio of 0.5", "a ratio of 1.5"} | {
    "a ratio of 0.7", "a ratio of 1.6"
}  # fmt: skip
WORLDS = claim_worlds.worlds()


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=[f"{w.claim}: {w.words}" for w in WORLDS])
def test_verdict__is_wrong_in_5_percent_at_most(world):
    rates = world.rates(TRIALS)
    assert max(rates[verdict] for verdict in world.wrong) <= MOST
    if world.words in CLEAR:
        assert rates[HOLDS if world.truth == "true" else CONTRADICTED] > 0.5


def test_worlds__hold_each_claim_true_false_and_undecidable():
    for name in BY_NAME:
        kinds = {world.truth for world in WORLDS if world.claim == name}
        assert kinds >= {"open"} or kinds >= {"true", "false"}
    assert {w.claim for w in WORLDS} == set(BY_NAME)

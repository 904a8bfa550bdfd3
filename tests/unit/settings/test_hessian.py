"""Steps at which the stage `hessian` measures."""

import pytest

from twirlscope.errors import UserError
from twirlscope.settings.hessian import HessianSettings, chosen_steps

STEPS = [0, 1, 2, 4, 8, 16]


@pytest.mark.parametrize(("count", "steps"), [(1, [16]), (2, [0, 16]), (3, [0, 2, 16]), (9, STEPS)])
def test_chosen_steps__are_evenly_spread_and_hold_both_ends(count, steps):
    assert chosen_steps(STEPS, HessianSettings(checkpoints=count)) == steps


def test_chosen_steps__refuses_a_step_without_a_checkpoint():
    assert chosen_steps(STEPS, HessianSettings(steps=[8, 1])) == [1, 8]
    with pytest.raises(UserError, match=r"hessian\.steps.*known: 0, 1, 2"):
        chosen_steps(STEPS, HessianSettings(steps=[3]))

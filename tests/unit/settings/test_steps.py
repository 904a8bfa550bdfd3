"""Choices among training steps."""

import pytest

from twirlscope.errors import UserError
from twirlscope.settings.steps import chosen_steps, evenly_spaced

KEPT = [0, 1, 2, 4, 8, 16]


def test_evenly_spaced__holds_both_ends():
    assert evenly_spaced(list(range(11)), 3) == [0, 5, 10]
    assert evenly_spaced([1, 2], 5) == [1, 2]
    assert evenly_spaced([1, 2], 0) == []


@pytest.mark.parametrize(("count", "steps"), [(1, [16]), (2, [0, 16]), (3, [0, 2, 16]), (9, KEPT), (0, KEPT)])
def test_chosen_steps__are_evenly_spread_and_hold_both_ends(count, steps):
    assert chosen_steps(KEPT, [], count, "hessian") == steps


def test_chosen_steps__refuses_a_step_without_a_checkpoint():
    assert chosen_steps(KEPT, [8, 1], 3, "layers") == [1, 8]
    with pytest.raises(UserError, match=r"layers\.steps.*known: 0, 1, 2"):
        chosen_steps(KEPT, [3], 3, "layers")

"""Choices among training steps."""

from twirlscope.settings import steps


def test_evenly_spaced__holds_both_ends():
    assert steps.evenly_spaced(list(range(11)), 3) == [0, 5, 10]
    assert steps.evenly_spaced([1, 2], 5) == [1, 2]
    assert steps.evenly_spaced([1, 2], 0) == []

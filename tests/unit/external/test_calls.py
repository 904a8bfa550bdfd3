"""Calls with a cache: work that was stopped goes on, and what an answer depends on."""

import calculators
import numpy as np
import pytest

from twirlscope.errors import UserError
from twirlscope.external.calls import Budget, Cache, Calls
from twirlscope.external.client import Failure, Local, Pool, Spec

BOTH = ("energy", "forces")
FRAMES = calculators.structures(8)


def calls(calculator, path=None, planned=8, limit=0, lines=None):
    say = (lines if lines is not None else []).append
    return Calls(Local(calculator), BOTH, Cache(path), Budget(planned, limit, say))


def test_calls__that_were_stopped_go_on_where_they_were(tmp_path):
    path, first = tmp_path / "calls.sqlite", calculators.Springs()
    before = calls(first, path).evaluate(FRAMES[:4])
    second = calculators.Springs()
    again = calls(second, path).evaluate(FRAMES)
    assert (first.calls, second.calls) == (4, 4)
    whole = calls(calculators.Springs()).evaluate(FRAMES)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one["forces"], other["forces"])
        assert one["energy"] == other["energy"]
    np.testing.assert_array_equal(before[0]["forces"], again[0]["forces"])


def test_calls__ask_again_only_if_told_and_never_keep_a_failure():
    calculator = calculators.Springs()
    found = calls(calculator)
    for repeat in (0, 0, 1, 1, 2):
        found.evaluate(FRAMES, repeat)
    assert calculator.calls == 3 * len(FRAMES)
    broken = calculators.Failing(number=6)
    found = calls(broken)
    failed = sum(isinstance(r, Failure) for r in found.evaluate(FRAMES))
    count = broken.calls
    found.evaluate(FRAMES)
    assert failed == broken.calls - count > 0


def test_calls__of_another_checkpoint_content_are_others(tmp_path):
    file, cache = tmp_path / "a.txt", tmp_path / "calls.sqlite"

    def forces(bias):
        file.write_text(str(bias))
        pool = Pool(Spec(f"{calculators.__file__}:from_file", {"path": str(file)}))
        found = Calls(pool, BOTH, Cache(cache), Budget(1, say=[].append))
        (result,) = found.evaluate(FRAMES[:1])
        found.close()
        return result["forces"], found.budget.made

    one, two, three = forces(0.0), forces(1.0), forces(0.0)
    np.testing.assert_allclose(two[0] - one[0], np.broadcast_to([0, 0, 1.0], one[0].shape))
    np.testing.assert_array_equal(one[0], three[0])
    assert (one[1], two[1], three[1]) == (1, 1, 0)


def test_budget__refuses_too_many_calls_and_estimates_the_rest():
    with pytest.raises(UserError, match=r"at most 7 calls .* 8 planned"):
        Budget(8, 7)
    lines = []
    calls(calculators.Springs(), planned=80, lines=lines).evaluate(FRAMES)
    assert lines[0].startswith("80 calls")
    assert "min left" in lines[1]


def test_calls__refuse_a_calculator_without_a_property():
    from ase.calculators.emt import EMT

    bare = EMT()
    bare.implemented_properties = ["energy"]
    with pytest.raises(UserError, match="one without forces"):
        calls(bare).check("external")

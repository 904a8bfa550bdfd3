"""Workers: results, failures that leave the others alone, and errors that name their cause."""

import sys
from pathlib import Path

import calculators
import numpy as np
import pytest

from twirlscope.errors import UserError
from twirlscope.external.client import Failure, Local, Pool, Spec, Worker
from twirlscope.external.remote import RemoteCalculator

KIT = Path(calculators.__file__)
BOTH = ("energy", "forces")
FRAMES = calculators.structures(6, numbers=[[6, 1, 1, 7, 1, 6], [8, 1, 1, 7, 1, 6]])


def spec(name="Springs", **settings):
    return Spec(f"{KIT}:{name}", **settings)


def asked(*arguments, frames=FRAMES, **settings):
    with Worker(spec(*arguments, **settings)) as worker:
        return worker.evaluate(frames, BOTH)


def test_worker__gives_the_numbers_of_the_same_calculator_here():
    here = Local(calculators.Springs()).evaluate(FRAMES, (*BOTH, "stress"))
    with Worker(spec()) as worker:
        there = worker.evaluate(FRAMES, (*BOTH, "stress"))
    for one, other in zip(here, there, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_worker__has_neither_torch_nor_this_package(tmp_path):
    text = "import sys\nsys.path.insert(0, {!r})\nfrom calculators import Springs\ndef make():\n"
    text += "    assert not {{'torch', 'twirlscope'}} & set(sys.modules)\n    return Springs()\n"
    (tmp_path / "make.py").write_text(text.format(str(KIT.parent)))
    with Worker(Spec(f"{tmp_path / 'make.py'}:make")) as worker:
        assert not isinstance(worker.evaluate(FRAMES[:1], BOTH)[0], Failure)
        assert "torch" not in worker.versions


def test_pool__of_two_interpreters_names_both(tmp_path):
    """A second Python, here a script that starts the first one, with a variable that the calculator can read."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nOTHER=1 exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "make.py").write_text(
        f"import os, sys\nsys.path.insert(0, {str(KIT.parent)!r})\nfrom calculators import Springs\n"
        "def make():\n    return Springs(bias=(0, 0, float(os.environ.get('OTHER', 0))))\n"
    )
    made = [Spec(f"{tmp_path / 'make.py'}:make", python=p) for p in ("", str(python))]
    pools = [Pool(s, 2) for s in made]
    first, second = ([r["forces"] for r in p.evaluate(FRAMES, BOTH)] for p in pools)
    for pool in pools:
        pool.close()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(other - one, np.broadcast_to([0, 0, 1.0], one.shape), atol=1e-12)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "element 8 is not supported"),
        ("nan", "forces not finite"),
        ("kill", "killed by SIGKILL, at structure"),
        ("exit", "exited with status 7"),
        ("hang", "no answer within 3 s"),
    ],
)
def test_worker__leaves_out_the_structure_that_fails_and_keeps_the_others(how, words):
    broken = [8 in f.numbers and f.positions[0, 0] > 0 for f in FRAMES]
    assert 0 < sum(broken) < 3
    kept = {}
    with Worker(spec("Failing", arguments={"how": how}, timeout=3.0)) as worker:
        found = worker.evaluate(FRAMES, BOTH, kept.__setitem__)
    assert [isinstance(r, Failure) for r in found] == broken
    assert all(words in r for r, b in zip(found, broken, strict=True) if b)
    assert sorted(kept) == list(range(len(FRAMES)))


def test_worker__that_dies_again_and_again_is_an_error():
    with Worker(spec("Failing", arguments={"how": "exit", "number": 1})) as worker:
        frames = [f for f in FRAMES if f.positions[0, 0] > 0] * 3
        with pytest.raises(UserError, match="survives its structures"):
            worker.evaluate(frames, BOTH)


def test_batch__gives_the_same_numbers_and_its_prints_harm_nothing():
    batched = asked(batched=f"{KIT}:batch")
    for one, other in zip(asked(), batched, strict=True):
        np.testing.assert_array_equal(one["forces"], other["forces"])


def test_batch__that_fails_is_done_one_by_one():
    found = asked("Failing", arguments={"how": "raise"}, batched=f"{KIT}:batch")
    assert 0 < sum(isinstance(r, Failure) for r in found) < len(FRAMES)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Spec("no_such_module:Name"), "No module named 'no_such_module'"),
        (Spec("ase:NoSuchClass"), "NoSuchClass"),
        (Spec(f"{KIT}:Springs", {"wrong": 1}), "unexpected keyword argument 'wrong'"),
        (Spec("ase:Atoms", python="/no/such/python"), "a Python that can be started"),
        (Spec("ase:Atoms", python="/bin/false"), "exited with status 1"),
    ],
)
def test_worker__that_cannot_start_says_why(given, words):
    with pytest.raises(UserError, match="external") as error:
        Worker(given).start()
    assert words in str(error.value)


def test_charge_and_spin__reach_the_calculator():
    frame = FRAMES[0].copy()
    frame.info |= {"charge": -1, "spin": 2}
    from twirlscope.external.worker import packed, unpacked

    (back,) = unpacked(packed([frame]))
    assert back.info == {"charge": -1, "spin": 2}
    np.testing.assert_allclose(back.get_initial_charges().sum(), -1)
    np.testing.assert_allclose(back.get_initial_magnetic_moments().sum(), 1)


def test_remote_calculator__is_a_calculator_of_ase():
    calculator = RemoteCalculator(spec(), ("energy", "forces", "stress"))
    frame, other = FRAMES[0].copy(), FRAMES[0].copy()
    frame.calc, other.calc = calculator, calculators.Springs()
    np.testing.assert_array_equal(frame.get_forces(), other.get_forces())
    assert frame.get_potential_energy() == other.get_potential_energy()
    np.testing.assert_array_equal(frame.get_stress(), other.get_stress())
    calculator.close()
    broken = RemoteCalculator(spec("Failing", arguments={"number": 6, "how": "raise"}))
    frame = next(f for f in FRAMES if f.positions[0, 0] > 0).copy()
    frame.calc = broken
    with pytest.raises(RuntimeError, match="element 6"):
        frame.get_forces()
    broken.close()

"""A trial chooses for or against torch.compile once, for all processes and resumptions, and changes nothing."""

from functools import partial
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.errors import UserError
from twirlscope.settings.train import TrainSettings
from twirlscope.training import trial
from twirlscope.training.loop import Loop
from twirlscope.training.processes import ProcessGroup
from twirlscope.training.trial import Compilation, faster

TOY = f"{Path(toys.__file__).with_name('toy_model.py')}:Mlp"
CPU = torch.device("cpu")


def loop_of(group=None, **settings):
    """A training of the toy model whose settings leave compilation open."""
    task = plugins.make_task({"name": "force_field"}, toys.frames())
    given = {"steps": 20, "batch": 6, "warmup": 2, "device": "cpu", "compile": "auto"} | settings
    run = {"seed": 0, "model": {"name": TOY}}
    return Loop(task, run, TrainSettings(**given), np.arange(30), *([group] if group else []))


@pytest.fixture
def compiler(monkeypatch):
    """A compiler that leaves a model as it is, and names of what it compiled; every training is long enough to try."""
    jaxtyping.config.update("jaxtyping_disable", True)
    seen = []

    def backend(graph, _inputs):
        seen.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(trial, "LEAST", 0.0)
    yield seen
    jaxtyping.config.update("jaxtyping_disable", False)
    torch._dynamo.reset()


@pytest.fixture
def lasting(monkeypatch):
    """Makes functions that take a time [s] by a clock of the test, and longer when they are called first."""
    now = [0.0]
    monkeypatch.setattr(trial.time, "perf_counter", lambda: now[0])

    def made(seconds, first=0.0):
        waits = iter([first])

        def work():
            now[0] += seconds + next(waits, 0.0)

        return work

    return made


@pytest.mark.parametrize(
    ("eager", "compiled", "passes", "on", "words"),
    [
        (0.02, 0.005, 10**6, True, "a pass takes 5 ms compiled, 20 ms as it is; compiling took 90 s"),
        (0.02, 0.04, 10**6, False, "a pass takes 40 ms compiled, 20 ms as it is; compiling took 90.1 s"),
        (0.02, 0.0195, 10**6, False, "a pass takes 19.5 ms compiled, 20 ms as it is; compiling took 90.1 s"),
        (0.02, 0.001, 1000, False, "not tried: all passes take 20 s, less than 1200 s"),
    ],
    ids=["faster", "slower", "no difference", "short training"],
)
def test_faster__chooses_by_the_time_of_passes_and_not_by_that_of_compiling(
    lasting, eager, compiled, passes, on, words
):
    ways = ([lasting(eager) for _ in range(3)], [lasting(compiled, first=30.0) for _ in range(3)])
    found = faster(*ways, passes, CPU)
    assert found.on is on
    assert found.reason == words


def test_faster__takes_a_failure_to_compile_as_an_answer(lasting):
    def fails():
        raise UserError("train.compile", "a model that compiles", "no C++ compiler found")

    assert faster([lasting(0.01)], [fails], 10**6, CPU) == Compilation(False, "failed: no C++ compiler found")


def test_trial__leaves_the_training_bit_for_bit_as_it_was(compiler, monkeypatch):
    monkeypatch.setattr(trial, "GAIN", 1.0)  # nothing is so much faster
    tried, plain = loop_of(), loop_of(compile="never")
    for loop in (tried, plain):
        loop.update()
        loop.update()
    assert compiler
    assert tried.compilation.words.startswith("no, a pass takes")
    ends = [loop.model.state_dict() for loop in (tried, plain)]
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])
    assert tried.curve.loss == plain.curve.loss


def test_trial__of_a_compiler_that_fails_goes_on_without_it(compiler, monkeypatch):
    def fails(*_):
        raise OSError("no C++ compiler found")

    monkeypatch.setattr(torch, "compile", partial(torch.compile.func, backend=fails))
    tried, plain = loop_of(), loop_of(compile="never")
    tried.update()
    plain.update()
    assert tried.compilation.on is False
    assert "no C++ compiler found" in tried.compilation.reason
    assert tried.compilation.reason.startswith("failed: ")
    assert tried.curve.loss == plain.curve.loss


def test_trial__that_finds_it_faster_compiles_the_training(compiler, monkeypatch, capsys):
    monkeypatch.setattr(trial, "GAIN", -1e6)  # anything is faster
    loop, plain = loop_of(), loop_of(compile="never")
    loop.update()
    plain.update()
    assert capsys.readouterr().out.startswith("compiled: yes, a pass takes")
    assert loop.running.model is not loop.model
    assert plain.running.model is plain.model
    np.testing.assert_allclose(loop.curve.loss, plain.curve.loss, rtol=1e-6)


@pytest.mark.parametrize("on", [True, False])
def test_trial__is_made_once_and_its_outcome_resumes(tmp_path, compiler, monkeypatch, on):
    monkeypatch.setattr(trial, "GAIN", -1e6 if on else 1.0)
    loop = loop_of(steps=2)
    loop.train(tmp_path)
    again = loop_of(steps=2)
    monkeypatch.setattr(trial, "decided", None)
    again.resume(tmp_path)
    assert again.compilation == loop.compilation
    assert again.compilation.on is on
    assert (again.running.model is again.model) is not on


def test_settings__decide_over_an_earlier_outcome(tmp_path, compiler, monkeypatch):
    monkeypatch.setattr(trial, "GAIN", -1e6)
    loop_of(steps=2).train(tmp_path)
    never = loop_of(steps=2, compile="never")
    never.resume(tmp_path)
    assert never.compilation == Compilation(False)


LATENT = {"name": "latent", "features": "inner"}


@pytest.mark.parametrize("objective", [LATENT, {"name": "schedule", "first": {"name": "augment"}, "then": LATENT}])
def test_trial__says_which_objective_cannot_be_compiled(objective):
    """At any time of the training."""
    loop = loop_of(objective=objective)
    loop.update()
    said = f"not tried: torch.compile cannot look through {type(loop.objective).__name__}"
    assert loop.compilation == Compilation(False, said)


def test_trial__of_a_short_training_compiles_nothing(compiler, monkeypatch):
    monkeypatch.setattr(trial, "LEAST", 1200.0)
    loop = loop_of()
    loop.update()
    assert not compiler
    assert loop.compilation.reason.startswith("not tried: all passes take")


@pytest.mark.parametrize("on", [True, False])
def test_trial__of_the_main_process_decides_for_all(monkeypatch, on):
    group = ProcessGroup(rank=1, size=2)
    monkeypatch.setattr(ProcessGroup, "total", lambda _self, value: value + on)  # the main process says so
    monkeypatch.setattr(trial, "decided", None)
    assert loop_of(group)._decided().on is on

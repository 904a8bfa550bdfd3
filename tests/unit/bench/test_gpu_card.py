"""The checks and the card of `make check-gpu` on the CPU, with models of a few hundred weights."""

import json
import time

import forks
import gpu_checks
import numpy as np
import pytest
import torch
from gpu import agreement, card, course, trainings
from gpu.check import Check, Found, NotPossibleError, Setup, within
from gpu_checks import beyond, good, impossible, raises
from performance import Given

from twirlscope.training import processes

TINY = Setup("cpu", tiny=True, allowed=60.0)
NAMES = {check.name: check for check in card.CHECKS}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_card__without_a_gpu_says_so_in_one_line_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert card.main(["--out", str(tmp_path / "card.json")]) == 0
    assert capsys.readouterr().out == "check-gpu: skipped, no CUDA device here\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("work", [agreement.train, agreement.twirl, agreement.gradient, agreement.hessian])
def test_agreement__of_the_cpu_with_itself_is_exact(work, monkeypatch):
    monkeypatch.setattr(agreement, "TINY", {"molecules": agreement.TINY["molecules"]})
    found = work(TINY)
    assert found.values
    assert not found.exceeded
    assert set(found.values.values()) == {0.0}


@pytest.mark.parametrize("kind", ["twirl", "gradient", "hessian"])
def test_agreement__of_a_device_that_errs_fails_in_both_precisions(kind, monkeypatch):
    """A quantity off by one percent, on the second of the two devices."""
    monkeypatch.setattr(agreement, "TINY", {"molecules": agreement.TINY["molecules"]})
    calls = []

    def quantity(model, task, device, dtype):
        calls.append(dtype)
        return [torch.full((3,), 1.01 if len(calls) % 2 == 0 else 1.0, dtype=torch.float64)]

    found = agreement.compared(kind, quantity, TINY)
    assert calls == [torch.float32] * 2 + [torch.float64] * 2
    assert len(found.exceeded) == len(found.values) == 2
    np.testing.assert_allclose(list(found.values.values()), 0.01)


def test_training__with_other_batches_on_the_device_does_not_agree(monkeypatch):
    monkeypatch.setattr(agreement, "TINY", {"molecules": agreement.TINY["molecules"]})
    fed = agreement._fed_by_cpu

    def later(*arguments):
        loop = fed(*arguments)
        get = loop.loader.get
        loop.loader.get = lambda update: get(update + 1)
        return loop

    monkeypatch.setattr(agreement, "_fed_by_cpu", later)
    assert len(agreement.train(TINY).exceeded) == 2


def test_nan__is_beyond_every_limit():
    assert within({"a": float("nan"), "b": 1.0}, {"a": 2.0, "b": 2.0}).exceeded == ["a nan, at most 2"]


@pytest.mark.slow
def test_resume__goes_on_from_the_state_of_a_killed_process_bit_for_bit():
    found = trainings.resume(TINY)
    assert not found.exceeded
    assert found.values["resumed at step"] > 1
    assert found.values["bit for bit"] == "yes"


@pytest.mark.slow
def test_two_processes__on_one_device_have_the_losses_of_one(monkeypatch):
    """They are forks of this process; fresh ones import for seconds."""
    monkeypatch.setattr(processes, "subprocess", forks.SUBPROCESS)
    found = trainings.two_processes(TINY)
    assert not found.exceeded
    assert found.values["losses, Gloo"] < 1e-5
    assert "NCCL" not in found.values, "the CPU has none"


def test_bf16__and_float32_have_their_percents_and_losses():
    values = trainings.bf16(TINY).values
    assert values["percent, bf16 - float32"] == values["percent, bf16"] - values["percent, float32"]
    assert values["training loss, bf16"] != values["training loss, float32"]
    np.testing.assert_allclose(values["training loss, bf16"], values["training loss, float32"], rtol=0.05)


def test_compile__compares_speed_and_losses(monkeypatch):
    """With a compiler that leaves the model as it is."""
    monkeypatch.setattr(torch, "compile", lambda model: model)
    found = trainings.compiled(TINY)
    assert not found.exceeded
    assert found.values["losses"] == 0
    assert found.values["faster"] == pytest.approx(found.values["updates/s, on"] / found.values["updates/s, off"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("speed of")])
def test_speed__has_all_numbers_of_a_model(name):
    values = NAMES[name].work(TINY).values
    some = ("updates/s", "TFLOP/s", "twirl [ms/pass of a sample]", "Hessian product [ms/column and sample]")
    assert all(values[key] > 0 for key in some)
    assert {"MFU [%]", "memory [GB]", "parameters", "batch"} <= values.keys()


def test_course__needs_acetylacetone_and_has_the_published_percent_beside_its_own(monkeypatch):
    with pytest.raises(NotPossibleError, match="ACAC"):
        course.course(TINY)
    monkeypatch.setattr(course, "data_of", lambda setup: trainings.data_of(TINY))
    values = course.course(Setup("cpu", tiny=True, allowed=60.0, acac="made up")).values
    assert values["updates"] == 4
    assert 0 <= values["percent at 4"] <= 100
    assert values["published percent at 4"] == pytest.approx(20.15), "the first point of the published curve"


@pytest.mark.slow
def test_course__ends_in_time_and_measures_as_far_as_it_came(monkeypatch):
    monkeypatch.setattr(course, "data_of", lambda setup: trainings.data_of(TINY))
    monkeypatch.setattr(course, "TINY_MARKS", (2, 10**6))
    start = time.monotonic()
    values = course.course(Setup("cpu", tiny=True, allowed=course.SPARE + 3, acac="made up")).values
    assert time.monotonic() - start < course.SPARE + 30
    reached = values["updates"]
    assert 2 <= reached < 10**6
    assert {f"percent at {reached:,}", f"published percent at {reached:,}"} <= values.keys()


@pytest.fixture(name="inside")
def _inside(monkeypatch):
    """Checks run in this process."""
    rows = {}

    def run(worker, number, setup):
        check = card.CHECKS[number]
        status, values, note = card.outcome(check, setup)
        rows[check.name] = setup.allowed
        return card.Row(check.name, status, 0.0, values, note)

    monkeypatch.setattr(card.Worker, "run", run)
    return rows


def test_card__has_a_row_for_every_check_whatever_becomes_of_it(tmp_path, monkeypatch, inside):
    works = [good, beyond, raises, impossible, good]
    monkeypatch.setattr(card, "CHECKS", [Check(f"{i} {w.__name__}", w, 1.0) for i, w in enumerate(works)])
    out = tmp_path / "card.json"
    assert card.main(["--device", "cpu", "--tiny", "--out", str(out), "--minutes", "1"]) == 1
    rows = json.loads(out.read_text())["rows"]
    assert [row["status"] for row in rows] == ["done", "failed", "failed", "skipped", "done"]
    assert [row["note"] for row in rows] == ["", "number 3, at most 2", "ValueError: first line", "no data", ""]
    assert rows[0]["values"] == {"number": 1.0, "unknown": None}
    assert rows[1]["values"] == {"number": 3.0}, "a number beyond its limit is shown"


def test_card__is_rewritten_after_every_check(tmp_path, monkeypatch, inside):
    out, seen = tmp_path / "card.json", []

    def looks(setup):
        seen.append([row["status"] for row in json.loads(out.read_text())["rows"]])
        return Found({})

    monkeypatch.setattr(card, "CHECKS", [Check("a", good, 1.0), Check("b", looks, 1.0), Check("c", looks, 1.0)])
    card.filled(TINY, 1.0, out)
    assert seen == [["done", "not begun", "not begun"], ["done", "done", "not begun"]]


def test_card__skips_what_there_is_no_time_for_and_gives_the_last_check_all_that_is_left(tmp_path, monkeypatch, inside):
    checks = [Check("short", good, 2.0), Check("long", good, 90.0), Check("last", good, 3.0)]
    monkeypatch.setattr(card, "CHECKS", checks)
    monkeypatch.setattr(card, "LAST", "last")
    rows = card.filled(TINY, 1.0, tmp_path / "card.json")
    assert [row.status for row in rows] == ["done", "skipped", "done"]
    assert rows[1].note.startswith("for time")
    assert inside["short"] == pytest.approx(6, abs=0.1)
    assert inside["last"] > 50


@pytest.mark.slow
def test_worker__outlives_a_check_that_dies_and_one_that_hangs(monkeypatch):
    """Three processes in all."""
    monkeypatch.setattr(card, "CHECKS", gpu_checks.CHECKS)
    monkeypatch.setattr(card, "serve", gpu_checks.serve)
    worker = card.Worker()
    try:
        rows = [worker.run(number, Setup("cpu", True, allowed)) for number, allowed in enumerate((100, 1, 100, 100))]
    finally:
        worker.end()
    assert [row.status for row in rows] == ["failed", "failed", "done", "done"]
    assert rows[0].note == "its process died with status 9"
    assert rows[1].note == "not finished after 1 s"
    assert rows[3].values == {"number": 1.0, "unknown": pytest.approx(float("nan"), nan_ok=True)}


def test_page__says_that_no_gpu_was_measured_or_shows_its_card(tmp_path):
    assert "Not measured yet on a GPU" in card.section(Given(tmp_path)).text
    about = {"device": "NVIDIA X", "torch": "2", "date": "2026-01-01", "minutes": 8.0, "seconds": 400.0}
    rows = [
        vars(card.Row("speed", "done", 3.0, {"updates/s": 12.345, "parameters": 6_136_966, "MFU [%]": float("nan")}))
    ]
    card.write(about | {"rows": rows}, tmp_path / card.CARD)
    text = card.section(Given(tmp_path)).text
    assert "NVIDIA X" in text
    assert "| speed | done | 3 | updates/s 12.3; parameters 6,136,966; MFU [%] - |  |" in text

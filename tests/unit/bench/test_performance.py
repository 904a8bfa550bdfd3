"""The command that writes the page of performance, and the designs that it compares."""

import ast
import json
import re
import sys
from pathlib import Path

import bench_peers
import bench_steps
import bench_twirl
import numpy as np
import performance
import pytest
import torch
from gpu import wheels
from performance import Given, Section

from twirlscope import plugins
from twirlscope.contracts import Evaluation
from twirlscope.errors import UserError
from twirlscope.estimators import loss_split
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.twirling import twisting

BENCH = Path(performance.__file__).parent


@pytest.fixture(name="page")
def _page(monkeypatch, tmp_path):
    """Runs the command on sections of our own; returns its status and the page."""

    def run(sections, *words):
        path = tmp_path / "performance.md"
        monkeypatch.setattr(performance, "SCRIPTS", list(sections))
        monkeypatch.setattr(performance, "made", lambda name, given: sections[name](given))
        monkeypatch.setattr("sys.argv", ["performance", "--out", str(path), *words])
        return performance.main(), path.read_text() if path.exists() else None

    return run


def fails(given):
    raise UserError("results", "a default run", "none")


def test_page__has_machine_date_and_the_script_of_every_section(page):
    status, text = page({"bench_one": lambda _: Section("One", "words"), "gpu.card": lambda _: Section("Two", "more")})
    assert status == 0
    assert re.search(r"## One\n\n`tests/bench/bench_one.py`, .*torch.*\n\nwords\n", text)
    assert re.search(r"## Two\n\n`tests/bench/gpu/card.py`, .*torch.*\n\nmore\n", text)


def test_page__names_the_scripts_that_did_not_run(page):
    text = page({"a": lambda _: Section("A", "words"), "b": fails}, "--only", "a")[1]
    assert text.endswith("\nNot run for this page: `tests/bench/b.py`.\n")


def test_page__keeps_the_sections_of_other_scripts_with_their_day(page, monkeypatch):
    """In the order of the scripts, whichever was run last."""
    three = {name: lambda _, name=name: Section(name.upper(), f"words of {name}") for name in "abc"}
    monkeypatch.setattr(performance, "machine", lambda: "another day")
    page(three, "--only", "a", "c")
    monkeypatch.setattr(performance, "machine", lambda: "today")
    text = page({**three, "c": lambda _: Section("C", "new words")}, "--only", "b", "c")[1]
    days = {"a": "another day", "b": "today", "c": "today"}
    expected = [f"`tests/bench/{name}.py`, {day}, {performance.KEPT}" for name, day in days.items()]
    assert [line for line in text.splitlines() if line.startswith("`tests")] == expected
    assert [f"words of {name}" in text for name in "abc"] == [True, True, False]
    assert "Not run" not in text


def test_page__is_left_as_it_was_if_one_section_cannot_be_made(page, capsys):
    old = page({"a": lambda _: Section("A", "words")})[1]
    assert page({"a": lambda _: Section("A", "other words"), "b": fails}) == (1, old)
    assert "a default run" in capsys.readouterr().err


def test_page__with_a_number_beyond_its_limit_is_written_and_fails(page, capsys):
    sections = {"a": lambda _: Section("A", "words", ["2, at most 1"])}
    status, text = page(sections)
    assert (status, "words" in text) == (1, True)
    assert "LIMIT exceeded: 2, at most 1" in capsys.readouterr().err
    assert page(sections, "--quick")[0] == 0, "numbers of a trial mean little"


def test_scripts__have_a_section_each():
    for name in performance.SCRIPTS:
        tree = ast.parse((BENCH.parents[1] / performance.path_of(name)).read_text())
        assert "section" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_time__is_read_in_one_module_only():
    """Scripts that measure on the clock, on a GPU or through another process, say so by calling it themselves."""
    clocks = {path.name for path in BENCH.glob("*.py") if "process_time" in path.read_text()}
    assert clocks == {"timing.py"}


@pytest.fixture(name="setting", scope="module")
def _setting():
    task = bench_twirl.force_field(bench_twirl.toys(4, 5))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = plugins.make_model({"name": "vector_attention", "width": 8, "layers": 1}, task.constants).eval()
    return bench_peers.Setting(Evaluation(model, task), np.arange(4), np.arange(4))


def test_pairs__all_of_independent_rotations_give_the_unbiased_equivariance_error(setting):
    quaternion = sample_rotations("independent", 4, 6, 0)
    found = bench_peers.difference_of_pairs(setting, quaternion, np.stack(np.triu_indices(6, 1), 1))
    products = twisting.inner_products(setting.evaluation, setting.index, quaternion)
    exact = loss_split.split(*(products[name][0] for name in ("gram", "cross", "square"))).equiv
    np.testing.assert_allclose(found, exact, rtol=1e-4)


def test_walk__has_the_angles_of_ml_peg():
    steps = bench_peers.walk(0)
    assert len(steps) == 115
    angles = np.degrees((steps[1:] * steps[:-1].inv()).magnitude())
    np.testing.assert_allclose(angles[:14], bench_peers.WALK)
    assert steps[0].magnitude() == 0


def test_designs__estimate_the_same_error(setting):
    """Of 4 samples; metatomic includes reflections and takes a fixed quadrature."""
    pytest.importorskip("metatomic.torch.o3", reason="the oracle metatomic-torch is not installed (extra `oracle`)")
    import metatomic_peer

    reference = bench_peers.ours(setting, 1, 64)
    for found in (bench_peers.ml_peg(setting, 0), metatomic_peer.estimate(setting, 0)):
        assert np.corrcoef(found, reference)[0, 1] > 0.9
        np.testing.assert_allclose(found.mean(), reference.mean(), rtol=0.3)


def test_passes__are_counted_in_the_network(setting):
    assert bench_peers._passes(setting, bench_peers.ours) == 4 * bench_peers.OURS
    assert bench_peers._passes(setting, bench_peers.fairchem) == 4 * (bench_peers.FAIRCHEM + 1)


def test_same_interval__costs_more_by_the_square_of_its_width(setting):
    """A design with errors twice as large and twice the passes needs 8 times the passes."""
    random = np.random.default_rng(0)
    noise = random.normal(size=4)

    def one(setting, seed):
        bench_peers.ours(setting, seed, 2)
        return 1 + 0.1 * noise

    def other(setting, seed):
        bench_peers.ours(setting, seed, 4)
        return 1 + 0.2 * noise

    rows = bench_peers.measured(setting, {"one": one, "other": other}, 2)
    assert rows[1][1] == "4"
    assert rows[1][4].startswith("8.0 ")


def test_results__that_are_not_there_are_asked_for(tmp_path):
    with pytest.raises(UserError, match="make run"):
        bench_peers.setting_of(Given(tmp_path))


def test_steps__of_a_package_that_does_not_work_say_why(tmp_path):
    steps = bench_steps.Steps([sys.executable, "-c", "import no_such_package"], {})
    assert steps.missing == "ModuleNotFoundError: No module named 'no_such_package'"
    steps.end()


def test_steps__are_asked_for_in_rounds():
    script = """print('a remark')
print('ready 7', flush=True)
while True:
    print(0.5 * int(input()), flush=True)"""
    steps = bench_steps.Steps([sys.executable, "-c", script], {})
    assert (steps.missing, steps.parameters) == ("", 7)
    assert [steps.seconds(2), steps.seconds(4)] == [0.5, 0.5]
    steps.end()


def test_wheels__are_those_that_the_machine_lacks_and_never_torch():
    has = {"torch", "numpy", "scipy"}
    names = {wheels.name_of(requirement) for requirement in wheels.requirements(has)}
    assert {"zarr", "pydantic", "xarray", "pyyaml"} <= names
    assert not has & names
    limits = wheels.constraints(has).splitlines()
    assert any(line.startswith("zarr==") for line in limits)
    assert not any(line.startswith(("torch==", "numpy==")) for line in limits)


def test_wheels__of_what_a_needed_package_needs_are_found_too(monkeypatch):
    class Told:
        returncode = 0
        stdout = json.dumps({"install": [{"metadata": {"name": n, "version": "3"}} for n in ("Zarr", "numpy")]})

    monkeypatch.setattr(wheels.subprocess, "run", lambda *_, **__: Told)
    assert wheels.missing("3.12", {"torch", "numpy"}) == ["Zarr==3"]


def test_acetylacetone__without_its_files_is_not_prepared(tmp_path):
    assert not wheels.prepared(tmp_path, tmp_path / "acac.zarr.zip")

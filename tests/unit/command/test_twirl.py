"""Command `twirl`: exit statuses, words, resumption, and mistakes in one line."""

import json
import os
import signal
import subprocess
import sys

import calculators
import forks
import pytest
from ase.io import write

from twirlscope.__main__ import main
from twirlscope.command.gate import ABOVE, UNDECIDABLE, WITHIN, decide, overall
from twirlscope.external.calls import Cache
from twirlscope.storage import store

KIT = f"{calculators.__file__}"


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    path = tmp_path_factory.mktemp("structures") / "f.xyz"
    write(path, calculators.structures(12), format="extxyz")
    return str(path)


def run(structures, *more, name="Springs", arguments=None, trust=True):
    words = ["twirl", "--calculator", f"{KIT}:{name}", "--structures", structures, "--panel", "0"]
    words += ["--arguments", json.dumps(arguments or {}), *(["--trust"] if trust else []), *more]
    return main(words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "bounds", "status", "words"),
    [
        ({}, ["--max-force", "1", "--max-o3", "1"], 0, "at its floor"),
        ({"bias": [0, 0, 0.01]}, ["--max-force", "1"], 3, "above the bound of 1 meV/Å"),
        ({"bias": [0, 0, 0.001732]}, ["--max-force", "1"], 4, "the interval contains the bound"),
        ({"noise": 0.01}, ["--max-force", "1"], 4, "undecidable: the floor of"),
        ({"chiral": 0.01}, ["--max-force", "1", "--max-o3", "1"], 3, "--max-o3: above the bound"),
        ({"bias": [0, 0, 0.01]}, [], 0, "% of the predicted signal"),
    ],
)
def test_command__ends_with_the_status_of_the_gate(structures, capfd, arguments, bounds, status, words):
    assert run(structures, *bounds, arguments=arguments) == status
    assert words in capfd.readouterr().out


def test_command__with_too_many_failures_decides_nothing(structures, capfd):
    many = ["--max-force", "1", "--rotations", "2", "--reflections", "0"]
    assert run(structures, *many, name="Failing", arguments={"number": 7, "how": "always"}) == 1
    assert "element 7 is not supported" in capfd.readouterr().err
    assert run(structures, *many, name="Failing", arguments={"number": 7}) == 4
    assert "left out, structure" in capfd.readouterr().out


@pytest.mark.slow
def test_command__writes_a_store_and_goes_on_from_its_cache(structures, tmp_path, capfd):
    out = tmp_path / "x.zarr.zip"
    assert run(structures, "--out", str(out), "--panel", "3", "--workers", "2") == 0
    first = out.read_bytes()
    data = store.load(out)
    assert data.sizes["sample"] == 12
    assert "spectrum" in data
    cache = Cache(tmp_path / "x.calls.sqlite")
    cache._base.execute("DELETE FROM answers WHERE rowid % 2 = 0")  # a command that was killed half-way
    cache.close()
    out.unlink()
    capfd.readouterr()
    assert run(structures, "--out", str(out), "--panel", "3", "--report", str(tmp_path / "page")) == 0
    assert "Springs" in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert out.read_bytes() == first
    assert f"{12 * 6 + 3 * 72 + 24} calls of the calculator are planned" in capfd.readouterr().out


def counted(structures, out, calls, kill_after=-1):
    """The command in a process of its own: its exit status, and the number of calls so far."""

    def work():
        os.environ |= {"CALLS": str(calls), "KILL_AFTER": str(kill_after)}
        sys.exit(run(structures, "--out", str(out), name="Counted"))

    status = forks.ended(forks.forked(work, out.with_suffix(".log")))
    return status, len(calls.read_text().splitlines())


@pytest.mark.slow
def test_command__killed_half_way_makes_the_same_store_with_the_other_half_of_the_calls(structures, tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    status, total = counted(structures, tmp_path / "whole" / "x.zarr.zip", tmp_path / "whole.txt")
    assert (status, total) == (0, 12 * 6 + 24)
    out, calls = tmp_path / "killed" / "x.zarr.zip", tmp_path / "killed.txt"
    assert counted(structures, out, calls, total // 2) == (-signal.SIGKILL, total // 2)
    assert not out.exists()
    status, both = counted(structures, out, calls)
    assert status == 0
    assert both - total // 2 <= 0.55 * total
    assert out.read_bytes() == (tmp_path / "whole" / "x.zarr.zip").read_bytes()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--arguments", "{"], "--arguments: expected an object in JSON"),
        (["--python", "/no/python"], "--python: expected a Python that exists"),
        (["--max-calls", "5"], "at most 5 calls"),
        (["--out", "x.nc"], "a name that ends in .zarr.zip"),
        (["--rotations", "1"], "--rotations"),
        (["--reflections", "0", "--max-o3", "1"], "--max-o3: expected a measured error"),
    ],
)
def test_command__names_a_mistake_in_one_line(structures, capfd, more, words):
    assert run(structures, *more) == 1
    assert words in capfd.readouterr().err


def test_command__imports_nothing_without_trust(tmp_path, structures, capfd):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    words = ["twirl", "--calculator", f"{tmp_path / 'evil.py'}:make", "--structures", structures]
    assert main(words) == 1
    assert "--trust: expected true" in capfd.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_command__help_needs_no_torch():
    code = "import sys, twirlscope.__main__ as m\ntry:\n    m.main(['twirl', '-h'])\nexcept SystemExit:\n    pass\n"
    code += "assert not {'torch', 'numpy', 'ase'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Exit status" in done.stdout


def test_gate__decides_by_interval_and_floor():
    assert decide(2.0, 1.5, 2.5, 0.0, 1.0).status == ABOVE
    assert decide(0.5, 0.4, 0.6, 0.0, 1.0).status == WITHIN
    assert decide(1.0, 0.9, 1.1, 0.0, 1.0).status == UNDECIDABLE
    assert decide(2.0, 1.5, 2.5, 1.2, 1.0).status == UNDECIDABLE
    assert decide(0.5, float("nan"), float("nan"), 0.0, 1.0).status == UNDECIDABLE
    both = [decide(2.0, 1.5, 2.5, 0.0, 1.0), decide(1.0, 0.9, 1.1, 0.0, 1.0)]
    assert overall(both, 0.0, 0.1) == ABOVE
    assert overall([decide(0.5, 0.4, 0.6, 0.0, 1.0)], 0.2, 0.1) == UNDECIDABLE
    assert overall([], 0.0, 0.1) == WITHIN

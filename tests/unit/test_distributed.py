"""Several processes train what one trains, stop together, and leave nothing behind."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import toys
from test_train import data, run, weights  # noqa: F401
from twirlscope import store, train
from twirlscope.distributed import Team
from twirlscope.errors import UserError

TESTS = Path(__file__).parent


def farthest(a, b):
    """The norm of the difference of the weights over that of the weights, of the worst parameter."""
    return max(((a[k] - b[k]).norm() / b[k].norm()).item() for k in a)


@pytest.mark.parametrize("settings", [{}, {"batch": 5, "micro_batch": 2, "ema": 0.9}], ids=["even", "uneven and cut"])
def test_two_processes__end_with_the_weights_and_losses_of_one(tmp_path, data, settings):  # noqa: F811
    settings = {"steps": 20, "learning_rate": 1e-2} | settings
    for processes in (1, 2):
        out = tmp_path / str(processes) / "train.zarr.zip"
        train.train(data, out, run(**settings | ({"micro_batch": 0} if processes == 1 else {})), "code", processes)
    one, two = (tmp_path / str(n) / "train.zarr.zip" for n in (1, 2))
    start, *ends = (weights(out, data, step) for out, step in ((one, 0), (two, 20), (one, 20)))
    assert farthest(*ends) < 1e-6
    assert farthest(start, ends[1]) > 0.01, "they have moved"
    stores = [store.load(path) for path in (one, two)]
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(stores[0][name], stores[1][name], rtol=2e-6)
    assert [s.attrs["processes"] for s in stores] == [1, 2]
    assert stores[0].attrs["folder"] == stores[1].attrs["folder"], "the same run"


def started(tmp_path, data):  # noqa: F811
    """The stage with two processes in a process of its own, as the rule runs it, slow enough to be disturbed."""
    settings = {"save_every": 1000.0, "steps": 400}
    code = f"""
        import sys; sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from types import SimpleNamespace
        import twirlscope.train as t, test_train
        from twirlscope.provenance import job
        with job(SimpleNamespace(rule="train", threads=2, log=[{str(tmp_path / "train.log")!r}])):
            out = Path({str(tmp_path / "broken" / "train.zarr.zip")!r})
            t.train(Path({str(data)!r}), out, test_train.run(**{settings!r}), "code", 2)
    """
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment)
    wait_for(lambda: list(tmp_path.glob("broken/checkpoints/*/step000000016.pt")))
    return process, settings


def wait_for(something, seconds=60):
    deadline = time.monotonic() + seconds
    while not something():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def members(parent: int) -> list[int]:
    """Processes that a process has started."""
    return [int(p) for p in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc to look processes up in")
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL], ids=lambda kind: kind.name)
def test_two_processes__told_to_stop_or_killed_go_on_where_they_were(tmp_path, data, kind):  # noqa: F811
    process, settings = started(tmp_path, data)
    children = members(process.pid)
    assert len(children) == 2
    process.send_signal(kind)
    status = process.wait(timeout=60)
    wait_for(lambda: not any(map(alive, children)), 20)
    assert not (tmp_path / "broken" / "train.zarr.zip").exists()
    log = (tmp_path / "train.log").read_text()
    if kind == signal.SIGKILL:
        assert status == -kind
    else:
        assert status == os.EX_TEMPFAIL, log
        stop = re.search(rf"STOPPED train: {kind.name} at step (\d+) of 400", log)
        assert stop, log
        assert log.count("STOPPED") == 1
    for name, processes in (("broken", 2), ("whole", 1)):
        train.train(data, tmp_path / name / "train.zarr.zip", run(**settings), "code", processes)
    assert farthest(*(weights(tmp_path / name / "train.zarr.zip", data, 400) for name in ("broken", "whole"))) < 1e-4


def test_two_processes__of_which_one_dies_end_together(tmp_path, data):  # noqa: F811
    process, _ = started(tmp_path, data)
    children = members(process.pid)
    os.kill(children[1], signal.SIGKILL)
    assert process.wait(timeout=60) == 128 + signal.SIGKILL
    assert not any(map(alive, children))
    assert "killed by SIGKILL" in (tmp_path / "train.log").read_text()


def test_two_processes__say_a_mistake_once(tmp_path, data, capfd):  # noqa: F811
    with pytest.raises(SystemExit) as ended:
        train.train(data, tmp_path / "train.zarr.zip", run(learning_rate=1e30, clip=0.0, warmup=0), "code", 2)
    assert ended.value.code == 1
    out, err = capfd.readouterr()
    assert (out + err).count("ERROR train: ") == 1
    assert "Traceback" not in err


def test_train__refuses_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    train.enough("cuda", 2)
    train.enough("cpu", 64)
    with pytest.raises(UserError, match=r"resources\.gpu: expected at most the 2 GPUs .*, got 3"):
        train.enough("cuda", 3)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("most", [0, 1, 2, 100])
def test_parts__of_all_processes_are_the_batch(size, most):
    for samples in (5, 6, 32):
        parts = [Team(rank, size).parts(samples, most) for rank in range(size)]
        covered = [i for team in parts for part in team for i in range(samples)[part]]
        assert covered == list(range(samples))
        assert all(1 <= part.stop - part.start <= (most or samples) for team in parts for part in team)
        if not most:
            assert all(len(team) == 1 for team in parts)
    with pytest.raises(UserError, match="one sample for each of 6 processes"):
        Team(0, 6).parts(5, 0)

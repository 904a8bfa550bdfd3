"""Several processes train what one trains, stop together, and leave nothing behind."""

import os
import re
import signal
import time
from pathlib import Path

import forks
import numpy as np
import pytest
import torch
from short_trainings import frames, run, started_as_a_job, stored_frames, unrehearsed, weights  # noqa: F401

from twirlscope.errors import UserError
from twirlscope.stages import train
from twirlscope.storage import store
from twirlscope.training import processes
from twirlscope.training.processes import ProcessGroup

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc to look processes up in")


def distance(a, b):
    """The norm of the difference of all weights over that of the weights."""
    return (sum((a[k] - b[k]).square().sum() for k in a) / sum(b[k].square().sum() for k in b)).sqrt().item()


OTHER = {  # weights of GradNorm in the first half, weights of the map of features in the second
    "name": "schedule",
    "first": {"name": "remul", "balance": "gradnorm"},
    "then": {"name": "latent", "features": "inner"},
}


COPIES = {"name": "augment", "copies": 2}


@pytest.mark.slow
@pytest.mark.parametrize("objective", [{"name": "augment"}, COPIES, OTHER], ids=["augment", "copies", "others"])
@pytest.mark.usefixtures("forked", "unrehearsed")
def test_two_processes__end_with_the_weights_and_losses_of_one(tmp_path, data, objective):
    paths = [tmp_path / str(n) / "train.zarr.zip" for n in (1, 2)]
    for count, out in enumerate(paths, 1):
        train.train(data, out, run(steps=20, learning_rate=1e-2, objective=objective), "code", count)
    start, one, two = (weights(out, data, step) for out, step in ((paths[0], 0), (paths[0], 20), (paths[1], 20)))
    assert distance(two, one) < 1e-6
    assert distance(start, one) > 0.01, "they have moved"
    one, two = map(store.load, paths)
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(two[name], one[name], rtol=2e-6)
    assert [one.attrs["processes"], two.attrs["processes"]] == [1, 2]
    assert one.attrs["folder"] == two.attrs["folder"], "the same run"


def started(tmp_path, data, **settings):
    """The stage with two processes in a process of its own, as the rule runs it, at its 16th step; their ids too.

    From there on the updates wait, so that what happens to them happens before the last one.
    """
    process = started_as_a_job(tmp_path, data, run(**settings), 0.2, processes=2)
    wait_for(lambda: list(tmp_path.glob("broken/checkpoints/*/step000000016.pt")) or not alive(process))
    children = [int(p) for p in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    assert len(children) == 2
    return process, children


def wait_for(something, seconds=180):
    deadline = time.monotonic() + seconds
    while not something():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def trained_before(tmp_path_factory):
    """What torch imports at the first training of a process."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "data.zarr.zip").write_bytes(frames())
    train.train(folder / "data.zarr.zip", folder / "train.zarr.zip", run(steps=1, warmup=0), "code")


@pytest.fixture
def forked(monkeypatch, trained_before):
    """The processes of a training are forks of this one; fresh ones import for seconds."""
    monkeypatch.setattr(processes, "subprocess", forks.SUBPROCESS)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@needs_proc
@pytest.mark.usefixtures("forked")
def test_two_processes__told_to_stop_save_their_state_and_go_on_there(tmp_path, data):
    """Of a batch that they cannot halve, in passes of at most two samples, with a moving average."""
    settings = {"steps": 40, "batch": 5, "micro_batch": 2, "ema": 0.9, "save_every": 1000.0}
    process, children = started(tmp_path, data, **settings)
    os.kill(process, signal.SIGUSR1)
    log = tmp_path / "train.log"
    assert forks.ended(process) == os.EX_TEMPFAIL, log.read_text()
    assert not any(map(alive, children))
    assert not (tmp_path / "broken" / "train.zarr.zip").exists()
    assert len(re.findall(r"STOPPED train: SIGUSR1 at step (\d+) of 40", log.read_text())) == 1
    for name, count in (("broken", 2), ("whole", 1)):
        train.train(data, tmp_path / name / "train.zarr.zip", run(**settings), "code", count)
    assert distance(*(weights(tmp_path / n / "train.zarr.zip", data, 40) for n in ("broken", "whole"))) < 1e-5


@pytest.mark.slow
@needs_proc
@pytest.mark.usefixtures("forked", "unrehearsed")
def test_two_processes__of_which_one_is_killed_end_together_and_one_goes_on(tmp_path, data, capsys):
    process, children = started(tmp_path, data, steps=40)
    os.kill(children[1], signal.SIGKILL)
    assert forks.ended(process) == 128 + signal.SIGKILL
    assert not any(map(alive, children))
    assert "killed by SIGKILL" in (tmp_path / "train.log").read_text()
    for name in ("broken", "whole"):
        train.train(data, tmp_path / name / "train.zarr.zip", run(steps=40), "code")
    assert "resumed at step" in capsys.readouterr().out
    assert distance(*(weights(tmp_path / n / "train.zarr.zip", data, 40) for n in ("broken", "whole"))) < 1e-5


@pytest.mark.slow
@needs_proc
def test_two_processes__do_not_outlive_the_one_that_started_them(tmp_path, data):
    """These are fresh ones, as those of a run are."""
    process, children = started(tmp_path, data, steps=100000)
    os.kill(process, signal.SIGKILL)
    assert forks.ended(process) == -signal.SIGKILL
    wait_for(lambda: not any(map(alive, children)), 20)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_two_processes__say_a_mistake_once(tmp_path, data, capfd):
    with pytest.raises(SystemExit) as ended:
        train.train(data, tmp_path / "train.zarr.zip", run(learning_rate=1e30, clip=0.0, warmup=0), "code", 2)
    assert ended.value.code == 1
    out, err = capfd.readouterr()
    assert (out + err).count("ERROR train: ") == 1
    assert "Traceback" not in err


def test_train__refuses_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    train.check_processes("cuda", 2)
    train.check_processes("cpu", 64)
    with pytest.raises(UserError, match=r"resources\.gpu: expected at most the 2 GPUs .*, got 3"):
        train.check_processes("cuda", 3)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("most", [0, 1, 2, 100])
def test_parts__of_all_processes_are_the_batch(size, most):
    for samples in (5, 6, 32):
        parts = [ProcessGroup(rank, size).parts(samples, most) for rank in range(size)]
        covered = [i for group in parts for part in group for i in range(samples)[part]]
        assert covered == list(range(samples))
        assert all(1 <= part.stop - part.start <= (most or samples) for group in parts for part in group)
        if not most:
            assert all(len(group) == 1 for group in parts)
    with pytest.raises(UserError, match="one sample for each of 6 processes"):
        ProcessGroup(0, 6).parts(5, 0)

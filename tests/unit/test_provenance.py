"""Logs, progress, locks."""

import errno
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from twirlscope import provenance
from twirlscope.errors import UserError


def script(tmp_path):
    return SimpleNamespace(threads=torch.get_num_threads(), log=[str(tmp_path / "log")], rule="twirl")


def test_job__ends_with_the_message_alone_when_the_user_erred(tmp_path):
    def work():
        print("working")
        raise UserError("a.xyz, frame 3", "an energy", "nothing")

    with pytest.raises(SystemExit) as ended, provenance.job(script(tmp_path)):
        work()
    assert ended.value.code == 1
    assert (tmp_path / "log").read_text() == "working\nERROR twirl: a.xyz, frame 3: expected an energy, got nothing\n"


def test_job__says_it_when_the_disk_is_full(tmp_path):
    def work():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "figure.svg")

    with pytest.raises(SystemExit), provenance.job(script(tmp_path)):
        work()
    assert (tmp_path / "log").read_text() == (
        "ERROR twirl: figure.svg: expected room and permission to write, got No space left on device\n"
    )


def test_job__lets_our_own_mistakes_through_with_their_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), provenance.job(script(tmp_path)):
        _ = 1 / 0


def test_progress__prints_a_line_with_unit_rate_and_remaining_time(capsys):
    progress = provenance.Progress("train", 4, "update", every=0.0)
    time.sleep(0.01)
    progress.advance("loss 0.5")
    line = capsys.readouterr().out.strip()
    assert line.startswith("train: 1/4 updates (25 %), ")
    assert "updates/s" in line
    assert line.endswith("min left, loss 0.5")


def test_progress__of_a_resumed_run_counts_the_rate_from_its_start(capsys):
    progress = provenance.Progress("train", 1000, "update", done=990)
    time.sleep(0.05)
    progress.advance(units=5)
    rate = float(progress.line().split("), ")[1].split(" updates/s")[0])
    assert rate < 110


def test_locked__makes_a_second_copy_wait(tmp_path):
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from twirlscope.provenance import locked
with locked(Path({str(tmp_path)!r})):
    print("in", flush=True)
"""
    with provenance.locked(tmp_path):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert "waiting" in process.stdout.readline()
    assert process.stdout.read().strip() == "in"
    assert process.wait() == 0


def test_device_of__names_what_the_machine_has():
    assert provenance.device_of("cpu") == "cpu"
    with pytest.raises(UserError, match="cpu"):
        provenance.device_of("tpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "double", "device"),
    [(1, 1, False, "cuda"), (0, 1, False, "mps"), (0, 1, True, "cpu"), (1, 0, True, "cuda"), (0, 0, False, "cpu")],
)
def test_device_of__takes_a_gpu_if_there_is_one_that_has_the_precision(monkeypatch, cuda, mps, double, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    assert provenance.device_of("auto", double) == device


def test_device_of__says_so_when_a_gpu_is_asked_for_and_absent(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"device: expected a device this machine has, got 'cuda' \(known: cpu"):
        provenance.device_of("cuda")

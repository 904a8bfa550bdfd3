"""Jobs: heartbeat, exit status, progress, locks, devices."""

import errno
import os
import re
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from twirlscope.contracts import Batch
from twirlscope.errors import UserError
from twirlscope.objective import Rows
from twirlscope.runtime import devices, identity, job
from twirlscope.runtime import job as job_module
from twirlscope.runtime.code_hash import code_hash
from twirlscope.runtime.job import heartbeat
from twirlscope.runtime.progress import Progress
from twirlscope.training.batches import Loader


def lines_of(path, work, every=0.2):
    with path.open("a", buffering=1) as log, heartbeat("train", log, every):
        work(log)
    return path.read_text().splitlines()


def test_heartbeat__comes_again_and_again_while_nothing_is_printed(tmp_path):
    lines = lines_of(tmp_path / "log", lambda _: time.sleep(1.2))
    assert 2 <= len(lines) <= 6
    assert all(re.fullmatch(r"train: at work for \d+ s, silent for \d+ s, in code outside .*", line) for line in lines)


def test_heartbeat__is_silent_while_something_is_printed(tmp_path):
    def talks(log):
        for _ in range(20):
            print("a line", file=log)
            time.sleep(0.05)

    assert set(lines_of(tmp_path / "log", talks, every=0.8)) == {"a line"}


def test_heartbeat__says_that_a_training_waits_for_its_data(tmp_path):
    def stuck(update):
        time.sleep(1)
        return Rows(Batch({}, {"t": torch.zeros(1)}, {}), torch.zeros(1, dtype=torch.int64))

    def work(_):
        with Loader(stuck, 5, 1, "cpu") as loader:
            loader.get(0)

    lines = lines_of(tmp_path / "log", work)
    assert re.search(r", in batches\.py:\d+ get$", lines[0])


def test_heartbeat__ends_with_the_work_also_when_that_fails(tmp_path):
    def fails(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lines_of(tmp_path / "log", fails)
    assert not [t for t in threading.enumerate() if t.name == "heartbeat"]


def test_job__keeps_the_memory_that_it_frees(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(job_module.memory, "keep_freed", lambda: asked.append(True))
    with job_module.job(script(tmp_path)):
        assert asked == [True]


def test_job__has_a_heartbeat_in_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(job_module, "SILENCE", 0.1)
    with job_module.job(script(tmp_path)):
        time.sleep(0.5)
    assert (tmp_path / "log").read_text().startswith("twirl: at work for ")


def script(tmp_path):
    sources = ["scripts/twirl.py"]
    params = SimpleNamespace(job={"code": code_hash(sources)}, sources=sources)
    return SimpleNamespace(threads=torch.get_num_threads(), log=[str(tmp_path / "log")], rule="twirl", params=params)


def test_job__ends_where_the_code_is_not_what_was_planned_with(tmp_path):
    job = script(tmp_path)
    job.params.job["code"] = "0123456789abcdef"
    with pytest.raises(SystemExit), job_module.job(job):
        raise AssertionError("not reached")
    assert "the code that this job was planned with (hash 0123456789abcdef)" in (tmp_path / "log").read_text()


def test_job__ends_with_the_message_alone_when_the_user_erred(tmp_path):
    def work():
        print("working")
        raise UserError("a.xyz, frame 3", "an energy", "nothing")

    with pytest.raises(SystemExit) as ended, job.job(script(tmp_path)):
        work()
    assert ended.value.code == 1
    assert (tmp_path / "log").read_text() == "working\nERROR twirl: a.xyz, frame 3: expected an energy, got nothing\n"


def test_job__leaves_the_traceback_of_a_crash_in_its_log_and_raises_it_again(tmp_path):
    def crash():
        return 1 / 0

    with pytest.raises(ZeroDivisionError), job.job(script(tmp_path)):
        crash()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].startswith("Traceback")
    assert any("in crash" in line for line in lines)
    assert lines[-1] == "CRASH twirl: ZeroDivisionError: division by zero"


def test_job__says_it_when_the_disk_is_full(tmp_path):
    def work():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "figure.svg")

    with pytest.raises(SystemExit), job.job(script(tmp_path)):
        work()
    assert (tmp_path / "log").read_text() == (
        "ERROR twirl: figure.svg: expected room and permission to write, got No space left on device\n"
    )


def test_job__lets_our_own_mistakes_through_with_their_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), job.job(script(tmp_path)):
        _ = 1 / 0


def test_progress__prints_a_line_with_unit_rate_and_remaining_time(capsys):
    progress = Progress("train", 4, "update", every=0.0)
    time.sleep(0.01)
    progress.advance("loss 0.5")
    line = capsys.readouterr().out.strip()
    assert line.startswith("train: 1/4 updates (25 %), ")
    assert "updates/s" in line
    assert line.endswith("min left, loss 0.5")


def test_progress__of_a_resumed_run_counts_the_rate_from_its_start(capsys):
    progress = Progress("train", 1000, "update", done=990)
    time.sleep(0.05)
    progress.advance(units=5)
    rate = float(progress.line().split("), ")[1].split(" updates/s")[0])
    assert rate < 110


def test_locked__makes_a_second_copy_wait(tmp_path):
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from twirlscope.runtime.identity import locked
with locked(Path({str(tmp_path)!r})):
    print("in", flush=True)
"""
    with identity.locked(tmp_path):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert "waiting" in process.stdout.readline()
    assert process.stdout.read().strip() == "in"
    assert process.wait() == 0


def test_device_of__names_what_the_machine_has():
    assert devices.device_of("cpu") == "cpu"
    with pytest.raises(UserError, match="cpu"):
        devices.device_of("tpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "double", "device"),
    [(1, 1, False, "cuda"), (0, 1, False, "mps"), (0, 1, True, "cpu"), (1, 0, True, "cuda"), (0, 0, False, "cpu")],
)
def test_device_of__takes_a_gpu_if_there_is_one_that_has_the_precision(monkeypatch, cuda, mps, double, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    assert devices.device_of("auto", double) == device


def test_device_of__says_so_when_a_gpu_is_asked_for_and_absent(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"device: expected a device this machine has, got 'cuda' \(known: cpu"):
        devices.device_of("cuda")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_locked__goes_on_with_a_file_where_the_file_system_has_no_locks(tmp_path, monkeypatch, capsys, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(identity.FileLock, "_acquire", refuse)
    with identity.locked(tmp_path):
        assert (tmp_path / ".lock.taken").exists()
        with pytest.raises(identity.Timeout):
            identity.SoftFileLock(tmp_path / ".lock.taken").acquire(blocking=False)
    assert not (tmp_path / ".lock.taken").exists()
    assert f"is on a file system without locks ({os.strerror(number)}); a file marks it" in capsys.readouterr().out


def test_locked__raises_other_errors_of_the_disk(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(identity.FileLock, "_acquire", refuse)
    with pytest.raises(OSError, match="broken"), identity.locked(tmp_path):
        pass

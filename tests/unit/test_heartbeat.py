"""Signs of life of jobs that print nothing."""

import re
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from twirlscope import heartbeat, provenance
from twirlscope.batches import Loader
from twirlscope.contracts import Batch


def lines_of(path, work, every=0.2):
    with path.open("a", buffering=1) as log, heartbeat.heartbeat("train", log, every):
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
        return Batch({}, {"t": torch.zeros(1)}, {})

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


def test_job__has_a_heartbeat_in_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "SILENCE", 0.1)
    job = SimpleNamespace(threads=torch.get_num_threads(), log=[str(tmp_path / "log")], rule="twirl")
    with provenance.job(job):
        time.sleep(0.5)
    assert (tmp_path / "log").read_text().startswith("twirl: at work for ")

"""State of a job as its log says it."""

from twirlscope.runtime import job_log
from twirlscope.runtime.progress import say_found

FIRST = "train: 5/20 updates (25 %), 2.5 updates/s, 0:06 min left, loss 0.91\n"
SECOND = "train: 15/20 updates (75 %), 2.5 updates/s, 1:02 min left, loss 0.5\n"


def test_read__takes_the_last_of_everything(tmp_path, capsys):
    say_found("loss 0.4 after 20 updates")
    (tmp_path / "log").write_text(f"{FIRST}a line\n{SECOND}{capsys.readouterr().out}")
    found = job_log.read(tmp_path / "log")
    assert (found.step.done, found.step.left, found.step.note) == (15, 62.0, "loss 0.5")
    assert found.found == "loss 0.4 after 20 updates"
    assert found.failure == ""


def test_read__leaves_out_what_an_earlier_job_wrote(tmp_path):
    path = tmp_path / "log"
    path.write_text(f"{FIRST}ERROR train: train: expected a finite loss, got nan\n")
    start = job_log.size(path)
    assert job_log.read(path, start) == job_log.JobLog()
    with path.open("a") as file:
        file.write(SECOND)
    assert job_log.read(path, start).step.done == 15
    assert job_log.read(path, start).failure == ""


def test_read__of_a_log_that_is_not_there_or_no_text_is_no_error(tmp_path):
    (tmp_path / "log").write_bytes(b"\xff\x00\xfe\n")
    assert job_log.read(tmp_path / "log").step is None
    assert job_log.read(tmp_path / "none") == job_log.JobLog()
    assert job_log.size(tmp_path / "none") == 0

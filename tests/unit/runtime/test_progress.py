"""Lines of progress, and parts of a unit inside of nested loops."""

import pytest

from twirlscope.runtime import job_log, progress
from twirlscope.runtime.progress import Progress


@pytest.fixture
def loop():
    """A loop of two units, of which every step is a line."""
    with Progress("hessian", 2, "checkpoint", every=0.0) as made:
        yield made


def shares(text):
    """Shares of all lines of progress in a text."""
    return [step.share for line in text.splitlines() if (step := job_log.step_of(line))]


def test_line__is_read_back_as_it_was_written(loop):
    loop.done = 1
    step = job_log.step_of(loop.line("loss 0.5"))
    assert (step.name, step.done, step.total, step.unit, step.share) == ("hessian", 1, 2, "checkpoint", 0.5)
    assert step.note == "loss 0.5"
    assert step.left < 1


def test_line__without_a_rate_has_no_time_left(loop):
    assert job_log.step_of(loop.line()).left is None


def test_nested_loops__share_the_unit_as_their_counts_say(loop, capsys):
    for _ in progress.counted(range(2), "matrix"):
        for _ in progress.counted(range(4), "product"):
            pass
    loop.advance()
    expected = [round(k / 16, 2) for k in range(8) for _ in range(1 if k % 4 else 2)] + [0.5]
    assert shares(capsys.readouterr().out) == pytest.approx(expected, abs=0.006)


def test_part__is_the_present_one_again_after_an_error_inside(loop, capsys):
    with pytest.raises(ValueError, match="stop"), progress.part(0.0, 0.5):
        raise ValueError("stop")
    progress.inside(1, 1, "all of the unit")
    assert shares(capsys.readouterr().out) == [0.5]


def test_share__of_a_unit_never_falls(loop, capsys):
    progress.inside(3, 4, "first measurement")
    progress.inside(1, 4, "second measurement")
    found = shares(capsys.readouterr().out)
    assert found == sorted(found)


def test_loop__that_fails_is_at_work_no_more(capsys):
    with pytest.raises(ValueError, match="stop"), Progress("train", 8, "update", every=0.0):
        raise ValueError("stop")
    progress.inside(1, 2, "nobody listens")
    assert capsys.readouterr().out == ""


def test_inside__without_a_loop_prints_nothing(capsys):
    progress.inside(1, 2, "nobody listens")
    assert list(progress.counted([1, 2], "item")) == [1, 2]
    assert capsys.readouterr().out == ""

"""Command `watch`: curves from logs and stores, and the state of every training."""

import os
import re

import numpy as np
import pytest
import xarray as xr

from twirlscope.__main__ import main
from twirlscope.command import watch
from twirlscope.command.terminal_plot import MARGIN, curve
from twirlscope.storage import store
from twirlscope.storage.arrays.train import TRAIN

LINE = "train: {0}/100 updates ({0} %), 2 updates/s, 0:{1} min left, loss {2}\n"


def log_of(folder, run, text, age=0.0):
    """The log of a training, last written so many seconds ago."""
    path = folder / "logs" / "train" / f"{run}.seed0.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (path.stat().st_mtime - age,) * 2)


@pytest.fixture
def folder(tmp_path):
    """A run with a finished training, one that runs, one that failed, one that was stopped, and one that was killed."""
    begun = LINE.format(10, 45, 2.0) + LINE.format(20, 40, 0.5)
    log_of(tmp_path, "running", begun)
    log_of(tmp_path, "failed", f"{begun}ERROR train: train: expected a finite loss, got nan\n", 500)
    log_of(tmp_path, "stopped", f"{begun}STOPPED train: SIGTERM at step 20 of 100\n", 500)
    log_of(tmp_path, "killed", begun, 500)
    log_of(tmp_path, "done", f"{begun}found: loss 0.1 after 100 updates\n", 500)
    (tmp_path / "logs" / "twirl").mkdir()
    (tmp_path / "logs" / "twirl" / "done.seed0.log").write_text("found: 1.23 % after 100 updates\n")
    data = xr.Dataset({"loss": ("update", np.geomspace(10, 0.1, 100).astype(np.float32))})
    store.save(data, tmp_path / "results" / "runs" / "done" / "seed0" / "train.zarr.zip", TRAIN)
    return tmp_path


def test_states__are_those_that_log_and_store_show(folder):
    found = {t.name.split(" ")[0]: t.state for t in watch.trainings(folder / "results", folder / "logs")}
    assert found == {
        "done": "finished", "failed": "failed", "killed": "stopped", "running": "running", "stopped": "stopped"
    }  # fmt: skip


def test_once__draws_the_running_training_and_names_the_others(folder, capsys):
    assert main(["watch", str(folder / "results"), "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "running seed 0: running, 20/100 updates (20 %), 0:40 min left" in lines
    assert "done seed 0: finished, loss 0.1 after 100 updates" in lines
    assert "  twirl: 1.23 % after 100 updates" in lines
    assert "failed seed 0: failed, ERROR train: train: expected a finite loss, got nan" in lines
    assert sum("both axes logarithmic; now 0.5" in line for line in lines) == 1


def test_all__draws_finished_trainings_too(folder, capsys):
    assert main(["watch", str(folder / "results"), "--once", "--all", "--run", "done"]) == 0
    assert "now 0.1" in capsys.readouterr().out


def test_loss_curve__of_a_resumed_training_goes_on_where_it_was_saved(folder):
    text = "".join(LINE.format(k, 30, loss) for k, loss in ((10, 3.0), (20, 2.0), (30, 1.5), (20, 1.9), (40, 1.0)))
    log_of(folder, "running", text)
    training = next(t for t in watch.trainings(folder / "results", folder / "logs") if t.state == "running")
    update, loss = watch.loss_curve(training)
    assert dict(zip(update, loss, strict=True)) == {10: 3.0, 20: 1.9, 40: 1.0}


def test_loss_curve__of_a_finished_training_has_every_update(folder):
    training = watch.trainings(folder / "results", folder / "logs", "done")[0]
    update, loss = watch.loss_curve(training)
    np.testing.assert_array_equal(update, np.arange(1, 101))
    np.testing.assert_allclose(loss, np.geomspace(10, 0.1, 100), rtol=1e-6)


def test_nothing_to_watch__is_one_line_of_error(folder, tmp_path, capsys):
    assert main(["watch", str(tmp_path / "elsewhere" / "results"), "--once"]) == 1
    assert main(["watch", str(folder / "results"), "--run", "runing", "--once"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("ERROR watch: watch: expected a training that has begun")
    assert "did you mean 'running'?" in second


def drawn(lines):
    """The dots of a drawing by row and column."""
    cells = [[ord(c) - 0x2800 for c in line[MARGIN + 1 :]] for line in lines[:-1]]
    bits = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]]
    rows = [[bool(cell & bit) for cell in row for bit in pair] for row in cells for pair in bits]
    return np.array(rows)


def test_curve__of_a_power_law_is_a_straight_line():
    x = np.geomspace(1, 1000, 400)
    dots = drawn(curve(x, x**-0.5, 40, 7))
    rows, columns = dots.shape
    for column in range(columns):
        assert dots[:, column].any()
        assert abs(np.flatnonzero(dots[:, column]).mean() - column * (rows - 1) / (columns - 1)) < 1.5


def test_curve__names_the_ends_of_both_axes():
    lines = curve(np.array([1.0, 10.0, 3500.0]), np.array([4.0, 0.25, 2.0]), 50, 7)
    assert lines[0].split()[0] == "4"
    assert lines[-2].split()[0] == "0.25"
    assert re.fullmatch(r" +1 +3,500", lines[-1])
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("loss", [[], [np.nan], [0.0], [-1.0]])
def test_curve__without_values_says_so(loss):
    x = np.arange(1.0, len(loss) + 1)
    assert curve(x, np.array(loss, float), 40, 7) == ["no values yet"]


def test_curve__of_one_value_is_a_dot():
    assert drawn(curve(np.ones(1), np.ones(1), 40, 7)).sum() >= 1

"""The benchmark of the training loop, on a few updates of toy data."""

import json

import numpy as np
import pytest
import toys

from bench import bench_loop
from twirlscope.storage import registry


@pytest.mark.slow
def test_bench_loop__compares_loops_that_end_with_the_same_weights(tmp_path, capsys):
    registry.save(toys.frames(), tmp_path / "data.zarr.zip")
    path = tmp_path / "loop.json"
    bench_loop.main(["--data", str(tmp_path / "data.zarr.zip"), "--rounds", "2", "--block", "2", "--json", str(path)])
    found = json.loads(path.read_text())
    assert 0 < found["low"] <= found["ratio"] <= found["high"]
    assert found["limit"] == bench_loop.LIMIT
    assert "8 updates of each side" in capsys.readouterr().out


def test_bench_loop__fails_only_if_the_whole_interval_is_above_the_limit(tmp_path, monkeypatch):
    registry.save(toys.frames(), tmp_path / "data.zarr.zip")
    for low, status in ((1.031, 1), (1.02, 0)):
        times = {"ratio": 1.05, "low": low, "high": 1.06, "loop": 1.0, "bare": 1.0}
        monkeypatch.setattr(bench_loop, "measured", lambda *_, times=times, **__: times)
        assert bench_loop.main(["--data", str(tmp_path / "data.zarr.zip")]) == status


def test_bench_loop__says_which_file_it_needs(tmp_path, capsys):
    assert bench_loop.main(["--data", str(tmp_path / "none.zarr.zip")]) == 1
    assert "make run" in capsys.readouterr().out


def test_interval__of_equal_ratios_is_a_point():
    assert bench_loop.interval(np.full(9, 1.02)) == pytest.approx((1.02, 1.02))

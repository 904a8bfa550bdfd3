"""The benchmark of the training loop, on a few updates of toy data."""

import bench_loop
import numpy as np
import pytest
import toys
from performance import Given

from twirlscope.errors import UserError
from twirlscope.storage import registry


@pytest.fixture(name="given")
def _given(tmp_path):
    (tmp_path / "data").mkdir()
    registry.save(toys.frames(), tmp_path / "data" / "molecules.zarr.zip")
    return Given(tmp_path, quick=True)


@pytest.mark.slow
def test_section__compares_loops_that_end_with_the_same_weights(given):
    found = bench_loop.section(given)
    assert "8 updates of each side" in found.text
    assert found.text.splitlines()[-1].endswith("| 1.03 |")


@pytest.mark.parametrize(("factor", "exceeded"), [(1.1, True), (1.02, False)])
def test_section__fails_only_if_the_whole_interval_is_above_the_limit(given, monkeypatch, factor, exceeded):
    bare = np.random.default_rng(0).uniform(1, 2, (20, 2))
    monkeypatch.setattr(bench_loop, "measured", lambda *_: np.stack([factor * bare, bare], -1))
    found = bench_loop.section(Given(given.results))
    assert bool(found.exceeded) is exceeded
    assert f"| {factor:.3f} (" in found.text


def test_section__says_which_file_it_needs(tmp_path):
    with pytest.raises(UserError, match="make run"):
        bench_loop.section(Given(tmp_path))

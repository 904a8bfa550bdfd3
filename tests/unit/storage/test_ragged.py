"""Ragged variables: equal batches from memory and from the store, in memory that does not grow."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
import xarray as xr

from twirlscope.errors import UserError
from twirlscope.storage import ragged, registry, store
from twirlscope.tasks.flow_matching import FlowMatching
from twirlscope.tasks.force_field import ForceField
from twirlscope.tasks.voxel_denoising import VoxelDenoising

PACKAGE, KIT = Path(store.__file__).parents[2], Path(toys.__file__).parent


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Stores whose arrays by atom count as long, in chunks of a few rows."""
    monkeypatch.setattr(store, "LONG", 60)
    monkeypatch.setattr(store, "PLAIN", 120)

    def make(data):
        registry.save(data, tmp_path / "data.zarr.zip")
        return tmp_path / "data.zarr.zip"

    return make


@pytest.mark.parametrize(
    ("task", "data"),
    [(ForceField, toys.frames()), (FlowMatching, toys.backbones()), (VoxelDenoising, toys.molecules())],
)
def test_batch__is_bit_for_bit_the_same_from_the_store_and_from_memory(stored, task, data):
    lazy = ragged.open_samples(stored(data))
    long = [n for n, v in lazy.variables.items() if not v._in_memory and v.dtype.kind in "iuf"]
    assert set(long) == {n for n, v in data.variables.items() if v.dims[0:1] == ("atom",)}
    index = np.random.default_rng(0).integers(0, 40, 17)
    for draw in (lambda t: t.batch(index), lambda t: t.draw(index, np.random.default_rng(1))):
        a, b = (draw(task(task.Settings(), d)) for d in (lazy, data))
        for one, other in ((a.inputs, b.inputs), (a.targets, b.targets), (a.weights, b.weights)):
            assert all(torch.equal(one[k], other[k]) for k in one.keys() | other.keys())


KEYS = [slice(None), slice(3, 60), slice(5, 5), slice(2, 50, 3), slice(None, None, -1), 0, 70, -1]
KEYS += [np.array([31, 0, 5, 5, 6, 7, 8, 9, 10, 11, 12]), np.array([], int), np.array([-1, 2])]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_open_samples__gives_the_rows_that_are_asked_for(stored, key):
    data = toys.frames()
    found = ragged.open_samples(stored(data))["forces"].variable
    np.testing.assert_array_equal(found[key].values, data["forces"].values[key])
    np.testing.assert_array_equal(found[key, 1].values, data["forces"].values[key][..., 1])
    np.testing.assert_array_equal(found[key, [2, 0]].values, data["forces"].values[key][..., [2, 0]])


def test_open_samples__agrees_with_what_xarray_reads_and_keeps_attributes(stored):
    path = stored(toys.frames())
    xr.testing.assert_identical(ragged.open_samples(path).load(), store.load(path))


def test_open_samples__reads_no_more_than_the_chunks_of_the_samples(stored, monkeypatch):
    found, read = ragged.open_samples(stored(toys.frames(400))), []
    task, whole = ForceField(ForceField.Settings(), found), ragged.RandomAccessFile.read
    monkeypatch.setattr(
        ragged.RandomAccessFile, "read", lambda f, start, size: read.append(size) or whole(f, start, size)
    )
    task.batch(np.array([7]))
    first, read[:] = sum(read), []
    task.batch(np.array([7]))
    atoms = int(found["atoms"][7])
    assert sum(read) == atoms * (2 + 12 + 12)  # checksums are taken once: then the rows alone are read
    assert first < sum(read) + 3 * 3 * (120 + 4)


def test_open_samples__finds_chunks_that_hold_nothing_but_zeros(stored):
    data = toys.backbones()
    data["chain_break"].values[:] = 0
    assert not ragged.open_samples(stored(data))["chain_break"].values.any()


def test_open_samples__says_which_store_is_damaged_when_the_sample_is_read(stored):
    path = stored(toys.frames())
    content = bytearray(path.read_bytes())
    start = content.index(b"forces/c/3/0") + 40
    content[start : start + 8] = bytes(8)
    path.write_bytes(bytes(content))
    found = ragged.open_samples(path)["forces"].variable
    found[:5].values  # noqa: B018, the damage lies further on
    with pytest.raises(UserError, match=r"data\.zarr\.zip: expected a whole .* checksum of forces/c/3/0"):
        found[:].values  # noqa: B018


def test_open_samples__is_read_by_threads_at_once(stored):
    data = toys.frames(400)
    found, index = ragged.Ragged(ragged.open_samples(stored(data)), "positions"), np.arange(400)
    parts = [index[i : i + 3] for i in range(0, 400, 3)]
    with ThreadPoolExecutor(8) as pool:
        rows = [rows for (rows,) in pool.map(found.rows, parts)]
    np.testing.assert_array_equal(np.concatenate(rows), data["positions"])


def test_ragged__pads_samples_in_any_order():
    data = toys.frames(9)
    first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
    real, (numbers, positions) = ragged.Ragged(data, "numbers", "positions").padded(np.array([4, 4, 0]))
    for row, i in enumerate((4, 4, 0)):
        atoms = slice(first[i], first[i + 1])
        assert real[row].sum() == first[i + 1] - first[i]
        np.testing.assert_array_equal(numbers[row][real[row]], data["numbers"][atoms])
        np.testing.assert_array_equal(positions[row][real[row]], data["positions"][atoms])
    assert not numbers[~real].any()
    assert not positions[~real].any()


TRAIN = """
import sys, re
from pathlib import Path
from twirlscope.stages import train
from twirlscope.settings.train import TrainSettings
settings = TrainSettings(steps=30, warmup=2, batch=32, device="cpu").model_dump()
run = {"dataset": "d", "task": {"name": "force_field"}, "model": {"name": sys.argv[2]}, "train": settings, "seed": 0}
train.train(Path(sys.argv[1]), Path(sys.argv[1]).parent / "train.zarr.zip", run, "code")
print("peak", re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def peak(folder, samples):
    """Peak memory [MB] of a separate process that trains on so many frames, and the size of their store [MB]."""
    path = folder / str(samples) / "data.zarr.zip"
    registry.save(toys.many_frames(samples, 60), path)
    command = [sys.executable, "-c", TRAIN, str(path), f"{KIT / 'toy_model.py'}:Mlp"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split("peak ")[1]) / 1024, path.stat().st_size / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_train__takes_memory_that_does_not_grow_with_the_atoms(tmp_path):
    """Only arrays by sample grow: energies, order, offsets of atoms, and again for the rehearsed measurement."""
    (few, small), (many, large) = (peak(tmp_path, samples) for samples in (40_000, 160_000))
    assert large - small > 130
    assert many - few < 45

"""Batches made ahead: the same as on demand, their mistakes their own, and no thread left."""

import threading
import time

import numpy as np
import pytest
import torch
import toys
from short_trainings import run, same, stored_frames, unrehearsed, weights  # noqa: F401

from twirlscope.contracts import Batch
from twirlscope.errors import UserError
from twirlscope.objective import Rows
from twirlscope.stages import train
from twirlscope.training import batches
from twirlscope.training.batches import Loader


def numbered(update: int) -> Rows:
    return Rows(Batch({}, {"t": torch.full((1, 1), float(update))}, {}), torch.zeros(1, dtype=torch.int64))


def values(loader, updates):
    return [loader.get(u).batch.targets["t"].item() for u in updates]


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("batches")]


@pytest.mark.parametrize("ahead", [0, 1, 3, 100])
def test_loader__gives_the_batch_of_every_update_in_order_and_leaves_no_thread(ahead):
    with Loader(numbered, 10, ahead, "cpu") as loader:
        assert values(loader, range(3, 10)) == list(range(3, 10))
        assert bool(threads()) == bool(ahead)
    assert not threads()


def test_loader__makes_as_many_ahead_as_it_is_told_and_none_beyond_the_end():
    made = []

    def noted(update):
        made.append(update)
        return numbered(update)

    with Loader(noted, 5, 2, "cpu") as loader:
        loader.get(0)
        deadline = time.monotonic() + 30
        while made != [0, 1, 2] and time.monotonic() < deadline:
            time.sleep(0.001)
        assert made == [0, 1, 2]
        values(loader, range(1, 5))
    assert made == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("ahead", [0, 2])
def test_loader__raises_what_went_wrong_where_the_batch_is_asked_for(ahead):
    def fails_at_two(update):
        if update == 2:
            raise ZeroDivisionError("of mine")
        return numbered(update)

    with Loader(fails_at_two, 5, ahead, "cpu") as loader:
        assert values(loader, [0, 1]) == [0, 1]
        with pytest.raises(ZeroDivisionError, match="of mine"):
            loader.get(2)
    assert not threads()


def test_loader__makes_no_more_batches_once_the_training_has_ended():
    go, made = threading.Event(), []

    def slow(update):
        made.append(update)
        assert update == 0 or go.wait(60)
        return numbered(update)

    with Loader(slow, 100, 10, "cpu") as loader:
        loader.get(0)
        threading.Timer(0.2, go.set).start()  # the one that is being made is finished, no other begun
    assert len(made) <= 2
    assert not threads()


def test_loader__has_no_thread_outside_its_context():
    loader = Loader(numbered, 10, 3, "cpu")
    assert values(loader, range(3)) == [0, 1, 2]
    assert not threads()
    with loader:
        assert values(loader, range(3, 6)) == [3, 4, 5]
        assert threads()
    assert values(loader, range(6, 10)) == [6, 7, 8, 9]
    assert not threads()


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.usefixtures("unrehearsed")
def test_training__does_not_depend_on_what_is_made_ahead(tmp_path, data, ema):
    for ahead in (0, 3):
        out = tmp_path / str(ahead) / "train.zarr.zip"
        train.train(data, out, run(steps=10, prefetch=ahead, ema=ema), "code")
    for step in (4, 10):
        assert same(*(weights(tmp_path / str(ahead) / "train.zarr.zip", data, step) for ahead in (0, 3)))


def test_batch__goes_to_a_device_unchanged_and_floats_to_a_dtype():
    batch = toys.force_field().batch(np.arange(3))
    moved = batch.to("cpu", torch.float64)
    assert moved.inputs["positions"].dtype == torch.float64
    assert moved.inputs["numbers"].dtype == torch.int64
    assert torch.equal(moved.inputs["positions"].float(), batch.inputs["positions"])


def test_batch_index__visits_every_sample_once_an_epoch():
    index = np.arange(100, 110)
    seen = np.concatenate([batches.batch_index(index, u, 4, seed=0) for u in range(5)])
    np.testing.assert_array_equal(np.sort(seen[:10]), index)
    np.testing.assert_array_equal(np.sort(seen[10:]), index)
    assert list(seen[:10]) != list(seen[10:])


def test_some__choices_are_nested_and_of_the_right_size():
    index = np.arange(100, 200)
    small, large = batches.nested_subset(index, 10), batches.nested_subset(index, 50)
    assert large[:10].tolist() == small.tolist()
    assert len(set(large.tolist())) == 50
    assert set(large.tolist()) <= set(index.tolist())
    assert batches.nested_subset(index, 0) is index
    with pytest.raises(UserError, match=r"train\.samples: expected at most the 100"):
        batches.nested_subset(index, 101)


@pytest.mark.parametrize(
    ("setting", "device", "ahead"),
    [(-1, "cpu", 0), (-1, "cuda", 2), (-1, "cuda:1", 2), (-1, "mps", 2), (0, "cuda", 0), (3, "cpu", 3)],
)
def test_batches_ahead__are_as_set_or_by_the_device(setting, device, ahead):
    assert batches.batches_ahead(setting, device) == ahead

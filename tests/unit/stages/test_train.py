"""Training: reproducible, resumable, honest about what it was given."""

import os
import re
import signal
import time
import types

import forks
import numpy as np
import pytest
import torch
import toy_model
from short_trainings import (  # noqa: F401
    finished_trainings,
    killed_at,
    run,
    same,
    started_as_a_job,
    stored_frames,
    unrehearsed,
    weights,
)

from twirlscope.errors import UserError
from twirlscope.settings.train import TrainSettings, checkpoint_steps
from twirlscope.sources import split_index
from twirlscope.stages import rehearsal, train
from twirlscope.storage import made_from, store
from twirlscope.training import cost, processes, state
from twirlscope.training import loop as loop_module
from twirlscope.training.checkpoints import Trained
from twirlscope.training.loop import Loop, learning_rate


def test_train__is_bit_for_bit_reproducible(tmp_path, data, finished):
    train.train(data, tmp_path / "a" / "train.zarr.zip", run(), "code")
    finished(tmp_path / "b")
    for step in (0, 10, 30):
        a, b = (weights(tmp_path / name / "train.zarr.zip", data, step) for name in "ab")
        assert same(a, b)


@pytest.mark.usefixtures("unrehearsed")
def test_train__learns_the_well(tmp_path, data):
    train.train(data, tmp_path / "train.zarr.zip", run(steps=60, learning_rate=1e-2), "code")
    loss = store.load(tmp_path / "train.zarr.zip")["loss"].values
    assert loss[-20:].mean() < 0.2 * loss[:5].mean()


def test_train__keeps_checkpoints_on_a_log_grid_with_both_ends(tmp_path, data, finished):
    assert Trained(finished(tmp_path), data).steps == [0, 1, 2, 3, 4, 6, 10, 16, 25, 30]


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.usefixtures("unrehearsed")
def test_train__interrupted_and_resumed_ends_with_identical_weights(tmp_path, data, finished, ema):
    finished(tmp_path / "whole", ema=ema)
    out = tmp_path / "broken" / "train.zarr.zip"
    for stop in (7, 18):
        with killed_at(stop):
            train.train(data, out, run(ema=ema), "code")
        assert not out.exists()
    train.train(data, out, run(ema=ema), "code")
    whole, broken = (store.load(tmp_path / n / "train.zarr.zip") for n in ("whole", "broken"))
    np.testing.assert_array_equal(whole["loss"], broken["loss"])
    runs = [Trained(path, data) for path in (out, tmp_path / "whole" / "train.zarr.zip")]
    for step in runs[0].steps:
        assert same(*(run.model(step).state_dict() for run in runs))
        assert step == 0 or same(*(run.update(step) for run in runs))


def signalled(tmp_path, data, kind, settings):
    """A real process as the rule runs it, with pauses, that gets a signal in the middle; its exit status and log."""
    process = started_as_a_job(tmp_path, data, run(**settings), 0.05)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("broken/checkpoints/*/step000000016.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process, kind)
    status = forks.ended(process)
    assert list(tmp_path.glob("broken/checkpoints/*/state.pt"))
    assert not (tmp_path / "broken" / "train.zarr.zip").exists()
    return status, (tmp_path / "train.log").read_text()


def ends_with_the_weights_of(whole, tmp_path, data, settings):
    train.train(data, tmp_path / "broken" / "train.zarr.zip", run(**settings), "code")
    return same(*(weights(path, data, 30) for path in (whole, tmp_path / "broken" / "train.zarr.zip")))


@pytest.mark.slow
def test_train__killed_with_sigkill_resumes_to_identical_weights(tmp_path, data, finished):
    """A real process, really killed, in the middle of whatever it does."""
    settings, whole = {"save_every": 0.05}, finished(tmp_path / "whole")
    status, _ = signalled(tmp_path, data, signal.SIGKILL, settings)
    assert status == -signal.SIGKILL
    assert ends_with_the_weights_of(whole, tmp_path, data, settings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGUSR1], ids=lambda kind: kind.name)
def test_train__told_to_stop_saves_its_state_and_resumes_there_to_identical_weights(
    tmp_path, data, finished, capsys, kind
):
    settings = {"save_every": 1000.0, "ema": 0.9}  # no state is saved between checkpoints but for the signal
    whole = finished(tmp_path / "whole", ema=0.9)
    status, log = signalled(tmp_path, data, kind, settings)
    assert status == os.EX_TEMPFAIL
    stop = re.fullmatch(rf"STOPPED train: {kind.name} at step (\d+) of 30; .*", log.splitlines()[-1])
    assert stop
    assert "Traceback" not in log
    assert ends_with_the_weights_of(whole, tmp_path, data, settings)
    assert f"resumed at step {stop[1]} from" in capsys.readouterr().out


def test_train__told_to_stop_after_its_last_update_ends_as_usual(tmp_path, data, monkeypatch):
    update, out = Loop.update, tmp_path / "train.zarr.zip"

    def ends_with_a_signal(loop):
        update(loop)
        if loop.step == loop.settings.steps:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Loop, "update", ends_with_a_signal)
    train.train(data, out, run(), "code")
    assert out.exists()


def test_stop_signals__are_the_process_s_own_again_afterwards():
    before = [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGUSR1)]
    with processes.stop_signals() as signalled:
        assert signalled() is None
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert signalled() == "SIGUSR1", "the first that came"
    assert [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGUSR1)] == before


@pytest.mark.usefixtures("unrehearsed")
def test_train__refuses_to_resume_a_changed_run_and_says_what_changed(tmp_path, data, finished, capsys):
    out = finished(tmp_path)
    old = sorted((tmp_path / "checkpoints").iterdir())
    capsys.readouterr()
    train.train(data, out, run(learning_rate=5e-4), "code")
    printed = capsys.readouterr().out
    assert "not resumed" in printed
    assert "run.train.learning_rate: 0.001 -> 0.0005" in printed
    assert "run.train.batch" not in printed
    assert set(old) < set((tmp_path / "checkpoints").iterdir()), "the old checkpoints are kept"


@pytest.mark.parametrize(
    "change",
    [{"micro_batch": 2}, {"prefetch": 0}, {"compile": "always"}, {"device": "auto"}, {"save_every": 1.0}],
    ids=str,
)
def test_identity__is_not_changed_by_facts_of_the_machine(change):
    made = [made_from.of_run(run(**settings)) for settings in ({}, change)]
    assert made[0] == made[1]
    shaping = made_from.of_run(run(precision="bf16", tf32=True))
    assert {k for k in shaping if shaping[k] != made[0][k]} == {"run.train.precision", "run.train.tf32"}


@pytest.mark.usefixtures("unrehearsed")
def test_train__resumed_with_passes_of_another_size_goes_on_and_says_where_it_ran(tmp_path, data, monkeypatch):
    out = tmp_path / "train.zarr.zip"
    monkeypatch.setattr(loop_module, "hardware", lambda _: "one device")
    with killed_at(20):
        train.train(data, out, run(), "code")
    monkeypatch.setattr(loop_module, "hardware", lambda _: "another")
    train.train(data, out, run(micro_batch=1), "code")
    attributes = store.load(out).attrs
    assert attributes["device"] == "one device; another"
    assert (attributes["dtype"], attributes["tf32"], attributes["processes"]) == ("float32", False, 1)


def test_train__whose_checkpoints_exist_only_publishes_them(tmp_path, data, finished, monkeypatch):
    out = finished(tmp_path)
    first = out.read_bytes()
    out.unlink()
    monkeypatch.setattr(Loop, "update", lambda loop: pytest.fail("trained again"))
    monkeypatch.setattr(cost, "measure", lambda *_: pytest.fail("timed again"))
    train.train(data, out, run(), "code")
    assert out.read_bytes() == first, "what others are made of does not change where nothing was trained"


def test_train__stops_with_advice_when_the_loss_is_not_finite(tmp_path, data):
    with pytest.raises(UserError, match=r"train\.learning_rate"):
        train.train(data, tmp_path / "train.zarr.zip", run(learning_rate=1e30, clip=0.0, warmup=0), "code")


def test_dump__gives_the_same_bytes_under_any_name(tmp_path):
    for name in ("a.pt", "b.1234.part"):
        state.dump({"weights": torch.arange(5.0)}, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.1234.part").read_bytes()


def test_train__on_a_full_disk_says_so_and_leaves_no_half_checkpoint(tmp_path, data, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    dump = state.dump

    def full(weights, path):
        path.symlink_to("/dev/full")
        dump(weights, path)

    monkeypatch.setattr(state, "dump", full)
    with pytest.raises(UserError, match=r"step000000000\.pt: expected room .* No space left"):
        train.train(data, tmp_path / "train.zarr.zip", run(), "code")
    assert {p.name for p in tmp_path.glob("checkpoints/*/*")} == {"identity.json", ".lock"}


def test_trained__refuses_a_checkpoint_that_was_changed(tmp_path, data, finished):
    out = finished(tmp_path)
    path = next((tmp_path / "checkpoints").glob(f"*/{state.checkpoint_name(10)}"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="another content"):
        Trained(out, data).model(10)
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        Trained(out, data).model(10)


def test_update__is_the_difference_of_the_weights_of_neighbouring_steps(tmp_path, data, finished):
    trained = Trained(finished(tmp_path), data)
    assert trained.update(0) is None
    assert trained.halfway(0) is None
    for step in (1, 2, 3, 4):
        before, after = (trained.model(s).state_dict() for s in (step - 1, step))
        assert same({n: v - before[n] for n, v in after.items()}, trained.update(step))
        middle = trained.halfway(step, torch.float64).state_dict()
        for name, value in middle.items():
            torch.testing.assert_close(value, (before[name].double() + after[name].double()) / 2, rtol=0, atol=1e-7)


def test_update__is_that_of_the_weights_and_not_of_their_moving_average(tmp_path, data, finished):
    plain, averaged = (Trained(finished(tmp_path / str(ema), ema=ema), data) for ema in (0.0, 0.9))
    assert averaged.averaged
    assert not plain.averaged
    assert same(plain.update(25), averaged.update(25))
    assert same(plain.halfway(25).state_dict(), averaged.halfway(25).state_dict())
    assert not same(plain.model(25).state_dict(), averaged.model(25).state_dict())


def test_update__that_was_changed_is_refused(tmp_path, data, finished):
    out = finished(tmp_path)
    next((tmp_path / "checkpoints").glob(f"*/{state.update_name(10)}")).write_bytes(b"")
    with pytest.raises(UserError, match=r"step000000010\.update\.pt.*another content"):
        Trained(out, data).update(10)


def test_learning_rate__warms_up_and_falls_to_its_end():
    settings = TrainSettings(steps=100, warmup=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(settings, u) for u in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("steps", [1, 7, 100, 1000])
def test_checkpoint_steps__hold_both_ends_and_about_five_a_decade(steps):
    kept = checkpoint_steps(TrainSettings(steps=steps, warmup=0))
    assert kept[0] == 0
    assert kept[-1] == steps
    assert kept == sorted(set(kept))
    if steps == 1000:
        assert sum(10 <= s < 100 for s in kept) == 5


@pytest.mark.usefixtures("unrehearsed")
def test_train__uses_the_samples_it_is_given(tmp_path, data):
    """Four samples of a well, over and over, are learned by heart: the loss falls below that with all samples."""
    losses = []
    for samples in (4, 0):
        out = tmp_path / str(samples) / "train.zarr.zip"
        train.train(data, out, run(steps=60, learning_rate=1e-1, samples=samples, objective={"name": "none"}), "code")
        found = store.load(out)
        assert found.attrs["training_samples"] == (samples or len(split_index(store.load(data), "train")))
        losses.append(found["loss"].values[-20:].mean())
    assert losses[0] < losses[1]


class Popping(toy_model.Mlp):
    """Trains, but later stages need its inputs again."""

    def forward(self, inputs):
        out = super().forward(inputs)
        inputs.pop("numbers")
        return out


class Normed(toy_model.Mlp):
    """With batch norm."""

    def __init__(self, settings, constants):
        super().__init__(settings, constants)
        self.outer = torch.nn.Sequential(self.outer, torch.nn.Flatten(0, 1), torch.nn.BatchNorm1d(4))

    def forward(self, inputs):
        real = (inputs["numbers"] > 0)[..., None]
        out = self.outer(torch.tanh(self.inner(inputs["positions"]))).reshape(*real.shape[:2], 4) * real
        return {"forces": out[..., :3], "energy": out[..., 3:].sum(1) / real.sum(1)}


def test_train__refuses_a_model_that_later_stages_refuse_before_the_first_update(tmp_path, data):
    out = tmp_path / "train.zarr.zip"
    job = run() | {"model": {"name": f"{__file__}:Popping"}}
    with pytest.raises(UserError, match="a model that leaves its inputs as they are"):
        train.train(data, out, job, "code")
    assert not list(tmp_path.glob("checkpoints/*/step*"))


def test_train__refuses_batch_norm_in_micro_batches_only(tmp_path, data):
    model = {"model": {"name": f"{__file__}:Normed"}}
    train.train(data, tmp_path / "train.zarr.zip", run(steps=5) | model, "code")
    with pytest.raises(UserError, match=r"outer\.2 \(BatchNorm1d\) in 2 passes per update"):
        train.train(data, tmp_path / "other.zarr.zip", run(steps=5, micro_batch=2) | model, "code2")


def fails(*_, **__):
    raise RuntimeError("only at the end")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (cost, "measure"),
        (cost, "first_update"),
        (cost, "metered"),
        (train, "_manifest"),
        (train, "versions"),
        (rehearsal, "measure_checkpoint"),
        (rehearsal, "checkpoints_dataset"),
        (store, "save"),
    ],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_train__fails_before_its_first_update_where_it_would_fail_after_its_last(
    tmp_path, data, monkeypatch, module, name
):
    monkeypatch.setattr(Loop, "update", lambda loop: pytest.fail("trained in vain"))
    monkeypatch.setattr(module, name, fails)
    with pytest.raises(RuntimeError, match="only at the end"):
        train.train(data, tmp_path / "train.zarr.zip", run(), "code")
    assert not list(tmp_path.glob("**/*.rehearsal*"))


def test_train__that_does_not_fit_on_the_disk_is_refused_with_both_sizes(tmp_path, data, monkeypatch):
    monkeypatch.setattr(rehearsal.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=2000))
    with pytest.raises(UserError, match=r"room for 10 checkpoints of .* MB, .* GB in all, got 2e-06 GB free"):
        train.train(data, tmp_path / "train.zarr.zip", run(), "code")


def test_train__where_its_store_may_not_be_written_says_so_before_the_first_update(tmp_path, data, monkeypatch):
    monkeypatch.setattr(Loop, "update", lambda loop: pytest.fail("trained in vain"))
    write = store.write_whole

    def refuses(path, fill):
        if path.suffix == ".zip":
            raise UserError(path, "room and permission to write it", "Permission denied")
        write(path, fill)

    monkeypatch.setattr(store, "write_whole", refuses)
    with pytest.raises(UserError, match="permission to write"):
        train.train(data, tmp_path / "train.zarr.zip", run(), "code")


def test_rehearsal__leaves_the_training_bit_for_bit_as_it_was(tmp_path, data, monkeypatch):
    train.train(data, tmp_path / "a" / "train.zarr.zip", run(steps=5), "code")
    monkeypatch.setattr(rehearsal, "rehearse", lambda *_: None)
    monkeypatch.setattr(train, "_cost", lambda loop: {"cost_missing": "", "threads": 1})
    monkeypatch.setattr(store, "save", lambda *_: None)
    train.train(data, tmp_path / "b" / "train.zarr.zip", run(steps=5), "code")
    found = [next(tmp_path.glob(f"{name}/checkpoints/*/{state.checkpoint_name(5)}")) for name in "ab"]
    assert found[0].read_bytes() == found[1].read_bytes()


def test_rehearsal__refuses_a_layer_that_the_model_does_not_have_before_the_first_update(tmp_path, data, monkeypatch):
    monkeypatch.setattr(Loop, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(UserError, match=r"hessian.block: expected the path of a module of Mlp .*got 'blocks.7'"):
        train.train(data, tmp_path / "train.zarr.zip", run(), "code", block="blocks.7")


def test_rehearsal__is_not_repeated_where_a_training_is_resumed(tmp_path, data, monkeypatch):
    out = tmp_path / "train.zarr.zip"
    with killed_at(20):
        train.train(data, out, run(), "code")
    monkeypatch.setattr(rehearsal, "rehearse", lambda *_: pytest.fail("rehearsed again"))
    train.train(data, out, run(), "code")
    assert out.exists()

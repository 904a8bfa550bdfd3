"""Trainings in other ways: resumed after a kill, in bf16, compiled, by two processes on one device."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_train
import numpy as np
import torch
import toys
from bench_train import Case, loop_of, samples, synchronise

from twirlscope.errors import UserError
from twirlscope.runtime.identity import STATE_FILE
from twirlscope.runtime.precision import float32
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.sources import split_index
from twirlscope.storage import registry
from twirlscope.storage.ragged import open_samples
from twirlscope.training.checkpoints import Trained
from twirlscope.training.loop import Loop
from twirlscope.training.processes import launch
from twirlscope.twirling.measure import measure

from .check import Found, Setup, within

BENCH = Path(__file__).parents[1]
PATHS = (BENCH, BENCH.parent / "kit", BENCH.parents[1] / "workflow", BENCH.parents[1] / "wheels" / "site")
RESUMED, COMPILED, TWO = 1e-2, 5e-2, 1e-3  # largest relative differences of losses
HELD_OUT = 64


def case_of(setup: Setup) -> Case:
    """The published EScAIP on molecules of 15 atoms, or a tiny one."""
    return bench_train.CASES["tiny_molecules" if setup.tiny else "6M_acac"]


def data_of(setup: Setup):
    """Acetylacetone, or made-up molecules of as many atoms; training samples and held-out samples."""
    if setup.acac is None:
        data = samples(case_of(setup), 32 if setup.tiny else 512)
        index = np.arange(len(data["atoms"]))
        held = max(len(index) // 8, 2)
        return data, index[held:], index[:held]
    data = open_samples(setup.acac)
    return data, split_index(data, "train"), split_index(data, "test")[:HELD_OUT]


def percent(model: torch.nn.Module, task, index: np.ndarray) -> tuple[float, float]:
    """Percent of equivariance error in the loss, and the learned fraction, of all terms together."""
    found = measure(model.eval(), task, index, TwirlSettings(reflections=0, losses=[]))
    model.train()
    last = found.sel(term="weighted")
    return float(last["percent_equiv"]), float(last["learned_fraction"])


def resume(setup: Setup) -> Found:
    """A training in a process that is killed and begun again, beside one that is not disturbed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data.zarr.zip"
        registry.save(toys.frames(), data)
        begun = [_begun(data, folder / kind, setup) for kind in ("whole", "killed")]
        try:
            _killed_at_work(begun[1], folder / "killed")
            begun[1] = _begun(data, folder / "killed", setup)
            said = [process.communicate()[0] for process in begun]
        finally:
            for process in begun:
                process.kill()
        for process, text in zip(begun, said, strict=True):
            if process.returncode:
                raise RuntimeError(text.strip().splitlines()[-1])
        step = re.search(r"resumed at step (\d+)", said[1])
        runs = [Trained(folder / kind / "train.zarr.zip", data) for kind in ("whole", "killed")]
        last = [torch.cat([p.flatten() for p in run.model(run.steps[-1]).parameters()]) for run in runs]
    values = {
        "resumed at step": float(step[1]) if step else 0.0,
        "weights": float((last[1] - last[0]).norm() / last[0].norm()),
    }
    found = within(values, {"weights": RESUMED})
    found.values["bit for bit"] = "yes" if torch.equal(*last) else "no"
    return found if step else Found(found.values, ["the second training did not resume"])


def _begun(data: Path, out: Path, setup: Setup) -> subprocess.Popen:
    """A process that trains, see `one_training.py`."""
    command = [sys.executable, str(Path(__file__).with_name("one_training.py")), data, out / "train.zarr.zip"]
    command += [setup.device, str(100 if setup.tiny else 300)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([str(word) for word in command], env=_environment(), **pipes)


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, PATHS), os.environ.get("PYTHONPATH", "")])}


def _killed_at_work(process: subprocess.Popen, folder: Path) -> None:
    """Kill a training as soon as its state has been saved in the midst of its updates."""
    while process.poll() is None:
        states = list(folder.rglob(STATE_FILE))
        if states and torch.load(states[0], weights_only=True)["step"] > 1:
            process.kill()
            process.communicate()
            return
        time.sleep(0.02)
    raise RuntimeError(f"the training ended before it was killed: {process.communicate()[0].strip()[-300:]}")


def bf16(setup: Setup) -> Found:
    """Percent and losses after as many updates in float32 and with products in bf16."""
    data, index, held = data_of(setup)
    updates, values = 4 if setup.tiny else 300, {}
    for precision in ("float32", "bf16"):
        with float32():
            loop = loop_of(case_of(setup), data, index, device=setup.device, precision=precision, learning_rate=1e-4)
            _updated(loop, updates)
            share, learned = percent(loop.model, loop.task, held)
        values |= {f"percent, {precision}": share, f"learned fraction, {precision}": learned}
        values[f"training loss, {precision}"] = float(np.mean(loop.curve.loss[-max(updates // 10, 1) :]))
    values["percent, bf16 - float32"] = values["percent, bf16"] - values["percent, float32"]
    return Found({"updates": float(updates)} | values)


def _updated(loop: Loop, updates: int) -> float:
    """Updates per second, after one that warms up."""
    with loop.loader:
        loop.update()
        synchronise(loop.device)
        start = time.perf_counter()
        for _ in range(updates - 1):
            loop.update()
        synchronise(loop.device)
    return (updates - 1) / (time.perf_counter() - start)


def compiled(setup: Setup) -> Found:
    """Speed and losses with torch.compile and without, in bf16, from the second update on."""
    data, index, _ = data_of(setup)
    rates, losses = {}, {}
    for way in ("never", "always"):
        loop = loop_of(case_of(setup), data, index, device=setup.device, precision="bf16", compile=way)
        start = time.perf_counter()
        rates[way] = _updated(loop, 4 if setup.tiny else 40)
        losses[way], seconds = np.array(loop.curve.loss), time.perf_counter() - start
    off, on = rates.values()
    values = {"updates/s, off": off, "updates/s, on": on, "faster": on / off, "seconds with compilation": seconds}
    values["losses"] = float(np.abs(losses["always"] / losses["never"] - 1).max())
    return within(values, {"losses": COMPILED})


def two_processes(setup: Setup) -> Found:
    """Losses of two processes that share the device, by Gloo, beside those of one; and the answer of NCCL to that."""
    with tempfile.TemporaryDirectory() as folder:
        one = _losses_of(setup, 1, "gloo", Path(folder) / "one")
        two = _losses_of(setup, 2, "gloo", Path(folder) / "two")
        values = {"losses, Gloo": float(np.abs(np.array(two) / np.array(one) - 1).max())}
        found = within(values, {"losses, Gloo": TWO})
        if setup.device.startswith("cuda"):
            try:
                _losses_of(setup, 2, "cpu:gloo,cuda:nccl", Path(folder) / "nccl")
                found.values["NCCL"] = "works"
            except UserError as refused:
                found.values["NCCL"] = str(refused.got)[:120]
    return found


def _losses_of(setup: Setup, count: int, backend: str, out: Path) -> list[float]:
    """Losses of a few updates by so many processes on the device.

    Raises:
        UserError: they failed; with the last line that the first one of them said.
    """
    job = {"device": setup.device, "backend": backend, "out": str(out), "tiny": setup.tiny}
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = _environment()["PYTHONPATH"]
    try:
        launch("gpu.shared_device", job, count)
    except SystemExit as ended:
        said = sorted(out.parent.glob(f"{out.name}.error*"))
        words = said[0].read_text() if said else f"exit status {ended.code}"
        raise UserError("two processes", "a training on one device", words) from ended
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return json.loads(out.read_text())

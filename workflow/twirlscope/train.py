"""Stage `train`: a run from its settings to its checkpoints; killed at any moment, it goes on where it was.

Everything random is drawn from (seed, purpose, update), never from a stream that has to be carried along, so a resumed
run is bit for bit the uninterrupted one on the CPU. Several processes, a GPU each, train on the same batches as one.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from . import arithmetic, cost, matching, passes, plugins, resume, store
from .batches import NOISE, WEIGHTS, Loader, batch_index, rotations, seed_of, some
from .checkpoints import sha256
from .contracts import Batch, Model, Task, split_index
from .distributed import ALONE, Team, job_of_this_process, joined, launch
from .errors import Stopped, UserError
from .hints import Array, Float, Int, Tensor
from .optimisers import optimiser
from .passes import weighted_loss
from .provenance import Progress, answered, device_of, hardware, locked, versions
from .ragged import open_samples
from .settings.train import TrainSettings, checkpoint_steps

COSTED = 2  # batches on which FLOPs, memory and inference are measured


def train(data: Path, out: Path, run: dict[str, Any], code: str, processes: int = 1) -> None:
    """Train one run and write its manifest and curve, last and whole.

    Args:
        data: the prepared dataset.
        out: `train.zarr.zip`; checkpoints go to `checkpoints/<identity>` beside it.
        run: the run as the config says it: `task`, `model`, `train`, `seed`, `dataset`.
        code: hash of the code that shapes the result.
        processes: how many train it together, a GPU each where there are any.

    Raises:
        UserError: the loss is not finite, the disk is full, or there are fewer GPUs than processes.
        Stopped: a signal asked for it; the state of the last update is saved.
        SystemExit: one of several processes has raised these, and said so.
    """
    settings = TrainSettings(**run["train"])
    identity = resume.identity_of({"run": run, "code": code, "data": sha256(data), "torch": torch.__version__})
    folder = out.parent / "checkpoints" / resume.short(identity)
    with locked(folder):
        resume.explain(folder, identity)
        if processes == 1:
            _train(ALONE, data, out, run, folder)
        else:
            enough(device_of(settings.device, double=False), processes)
            launch(__name__, {"data": str(data), "out": str(out), "run": run, "folder": str(folder)}, processes)


def _train(team: Team, data: Path, out: Path, run: dict[str, Any], folder: Path) -> None:
    """Train as one process of a team; the one that leads writes."""
    settings, dataset = TrainSettings(**run["train"]), open_samples(data)
    index = some(split_index(dataset, "train"), settings.samples)
    task = plugins.make_task(run["task"], dataset)
    run = run | {"model": matching.resolved(run["model"], task)}
    with arithmetic.float32(settings.tf32):
        loop = Loop(task, run, settings, index, team)
        loop.train(folder)
        if team.leads:
            store.save(_manifest(loop, folder, run), out)


def enough(device: str, processes: int) -> None:
    """Refuse more processes than GPUs. Those on the CPU share it, as many as there are.

    Raises:
        UserError: too few GPUs.
    """
    have = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, processes)
    if processes > have:
        raise UserError("resources.gpu", f"at most the {have} GPUs that this job sees", processes)


def learning_rate(settings: TrainSettings, update: int) -> float:
    """Linear warm-up, then a cosine down to `final_learning_rate` times the highest."""
    if update < settings.warmup:
        return settings.learning_rate * (update + 1) / settings.warmup
    share = (update - settings.warmup) / max(settings.steps - settings.warmup, 1)
    low = settings.final_learning_rate
    return settings.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass
class Curve:
    """What is recorded at every update, as columns of `train.zarr.zip`."""

    loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)


class Loop:
    """The training loop and everything it carries from update to update.

    Args:
        task: the task, on its data.
        run: the run as the config says it.
        settings: its `train` section.
        index: samples of the training split.
        team: the processes that train together; each has a loop.
    """

    def __init__(
        self, task: Task, run: dict[str, Any], settings: TrainSettings, index: Int[Array, " n"], team: Team = ALONE
    ):
        self.task, self.settings, self.index, self.team, self.seed = task, settings, index, team, run["seed"]
        self.device = device_of(settings.device, double=False)
        if team.size > 1 and self.device == "cuda":
            self.device = f"cuda:{team.rank}"
            torch.cuda.set_device(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, WEIGHTS))
            self.model: Model = plugins.make_model(run["model"], task.constants).to(self.device)
        self.optimiser = optimiser(self.model, settings, self.device)
        self.running = passes.trainer(self.model, settings, self.device, team)
        self.loader = Loader(self.batch, settings.steps, settings.prefetch, self.device)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()} if settings.ema else None
        self.curve, self.step, self.seconds, self.devices = Curve(), 0, 0.0, [hardware(self.device)]
        self.meter = cost.Meter(self.device)
        self.keep = set(checkpoint_steps(settings))
        self.change: dict[str, Tensor] | None = None

    def train(self, folder: Path) -> None:
        """Run to the last step, or to a signal to stop, from the state in the folder if there is one."""
        resume.restore(self, folder)
        progress = Progress("train", self.settings.steps, "update", done=self.step)
        start = saved = time.monotonic()
        before = self.seconds
        self.model.train()
        with resume.stop_signals() as signalled, self.loader:
            while True:
                self.seconds = before + time.monotonic() - start
                reason, kept = self.team.agreed(signalled()), self.step in self.keep
                if kept and self.team.leads:
                    resume.keep_checkpoint(self, folder)
                late = time.monotonic() - saved > self.settings.save_every
                if (kept or reason or late) and self.team.leads:
                    resume.keep_state(self, folder)
                    saved = time.monotonic()
                if self.step == self.settings.steps:
                    break
                if reason:
                    raise Stopped(f"{reason} at step {self.step} of {self.settings.steps}; the same job goes on there")
                with self.meter.update():
                    self.update()
                progress.advance(f"loss {self.curve.loss[-1]:.4g}")
        progress.close()

    def batch(self, update: int) -> Batch:
        """The whole batch of an update, the same in every process."""
        seed, size = self.seed, self.settings.batch
        index = batch_index(self.index, update, size, seed)
        rotation = rotations(self.settings.augment, size, seed, update)
        return self.task.training_batch(index, np.random.default_rng([seed, NOISE, update]), rotation, self.device)

    def update(self) -> None:
        """One optimiser update."""
        loss = self._gradients(self.loader.get(self.step))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf).item()
        self._check(loss, norm)
        rate = learning_rate(self.settings, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with self.meter.aside():
            before = self._trained() if self.step + 1 in self.keep and self.team.leads else None
        self.optimiser.step()
        self.step += 1
        with self.meter.aside():
            self.change = before and {k: v - before[k] for k, v in self._trained().items()}
        self._record(loss, norm, rate)

    def _gradients(self, batch: Batch) -> float:
        """Set the gradients of the loss of a batch, in one pass or several, and give the loss.

        Terms of the loss are means over samples, so each pass counts with its share of the batch. Models that draw
        (dropout) draw from a seed of the update and of the first sample of the pass.
        """
        self.optimiser.zero_grad(set_to_none=True)
        parts, total = self.team.parts(len(batch), self.settings.micro_batch), 0.0
        for part in parts:
            torch.manual_seed(seed_of(self.seed, WEIGHTS, self.step, *filter(None, [part.start])))
            few = batch.map(lambda t, part=part: t[part])
            with passes.refused(self.settings), passes.unsynchronised(self.running, self.team, part is parts[-1]):
                with passes.autocast(self.settings, self.device):
                    prediction = self.running(few.inputs)
                loss = len(few) / len(batch) * weighted_loss(self.task, prediction, few)  # in the dtype of the targets
                (self.team.size * loss).backward()  # gradients become means over processes
            total = total + loss.detach()
        if self.team.size > 1:
            passes.require_gradients(self.model)
        return self.team.total(total.item())

    def _trained(self) -> dict[str, Tensor]:
        """A copy of the parameters that the optimiser turns, for the update that a checkpoint keeps."""
        return {
            n: p.detach().to("cpu", torch.float32, copy=True)
            for n, p in self.model.named_parameters()
            if p.requires_grad
        }

    def weights(self) -> dict[str, Tensor]:
        """The weights that a checkpoint keeps: the moving average if there is one."""
        return self.average if self.average is not None else self.model.state_dict()

    def _check(self, loss: float, norm: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            got = f"loss {loss}, gradient norm {norm} at step {self.step}"
            raise UserError("train", "a finite loss (lower train.learning_rate or train.clip, or check the data)", got)

    def _record(self, loss: float, norm: float, rate: float) -> None:
        self.curve.loss.append(loss)
        self.curve.gradient_norm.append(norm)
        self.curve.learning_rate.append(rate)
        if self.average is not None:
            decay = min(self.settings.ema, self.step / (self.step + 9))  # short memory while weights still run away
            for name, value in self.model.state_dict().items():
                old = self.average[name]
                self.average[name] = torch.lerp(value, old, decay) if value.is_floating_point() else value.clone()


def _cost(loop: Loop) -> xr.Dataset:
    """The cost of the training, which is over, on its first few batches, in pieces of one pass of one process."""
    task, size, random = loop.task, loop.settings.batch, np.random.default_rng([loop.seed, NOISE])
    few = loop.settings.micro_batch or math.ceil(size / loop.team.size)
    index = [batch_index(loop.index, update, size, loop.seed)[:few] for update in range(COSTED)]
    batches = [task.training_batch(i, random, None, loop.device) for i in index]

    def loss(batch: Batch) -> Float[Tensor, ""]:
        return weighted_loss(task, loop.model(batch.inputs), batch)

    state, inputs = (loop.optimiser.state_dict(), loop.average), [b.inputs for b in batches]
    found = cost.measure(loop.model, inputs, [partial(loss, b) for b in batches], loop.meter, state)
    found["flops_update"] = found["flops_update"] * size / few
    found["device_hours"] = found["device_hours"] * loop.team.size
    return found


def _manifest(loop: Loop, folder: Path, run: dict[str, Any]) -> xr.Dataset:
    """The curve, and the checkpoints with their hashes."""
    steps = checkpoint_steps(loop.settings)
    checkpoints, updates = ([name(s) for s in steps] for name in (resume.checkpoint_name, resume.update_name))
    curve = {k: ("update", np.asarray(v, np.float32)) for k, v in vars(loop.curve).items()}
    manifest = {
        "checkpoint_file": checkpoints,
        "checkpoint_sha256": [sha256(folder / f) for f in checkpoints],
        "update_file": updates,
        "update_sha256": [sha256(folder / f) if f else "" for f in updates],
    }
    columns = {k: ("step", np.array(v, object)) for k, v in manifest.items()}
    attributes = {
        "folder": f"checkpoints/{folder.name}",
        "run": json.dumps(run, sort_keys=True),
        "training_samples": len(loop.index),
        "parameters": sum(p.numel() for p in loop.model.parameters()),
        "equivariant": bool(loop.model.equivariant),
        "terms": json.dumps([vars(t) for t in loop.task.terms]),
        "seconds": round(loop.seconds, 1),
        **arithmetic.attributes(passes.PRECISION[loop.settings.precision], loop.device),
        "device": "; ".join(loop.devices),  # one after the other, where it was resumed
        "processes": loop.team.size,
        "versions": json.dumps(versions()),
    }
    return xr.Dataset(curve | columns, {"step": np.array(steps, np.int64)}, attributes).merge(
        _cost(loop), combine_attrs="no_conflicts"
    )


def _join() -> None:
    """One process of several: its part of the training, from the process that started it."""
    job = job_of_this_process()
    with answered("train"), joined(job) as team:
        _train(team, Path(job["data"]), Path(job["out"]), job["run"], Path(job["folder"]))


if __name__ == "__main__":
    _join()

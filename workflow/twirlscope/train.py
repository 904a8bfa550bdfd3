"""Stage `train`: a run from its settings to its checkpoints; killed at any moment, it goes on where it was.

Everything random is drawn from (seed, purpose, update), never from a stream that has to be carried along, so a resumed
run is bit for bit the uninterrupted one on the CPU.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from . import plugins, resume, so3, store
from .checkpoints import sha256
from .contracts import Batch, Model, Task, split_index
from .errors import Stopped, UserError
from .hints import Array, Float, Int, Tensor
from .losses import loss_of
from .optimisers import optimiser
from .provenance import Progress, device_of, hardware, locked, versions
from .settings.train import TrainSettings, checkpoint_steps

ORDER, ROTATION, WEIGHTS, SUBSET, NOISE = 1, 2, 3, 4, 5  # purposes of random numbers


def train(data: Path, out: Path, run: dict[str, Any], code: str) -> None:
    """Train one run and write its manifest and curve, last and whole.

    Args:
        data: the prepared dataset.
        out: `train.zarr.zip`; checkpoints go to `checkpoints/<identity>` beside it.
        run: the run as the config says it: `task`, `model`, `train`, `seed`, `dataset`.
        code: hash of the code that shapes the result.

    Raises:
        UserError: the loss is not finite, or the disk is full.
        Stopped: a signal asked for it; the state of the last update is saved.
    """
    settings = TrainSettings(**run["train"])
    identity = resume.identity_of({"run": run, "code": code, "data": sha256(data), "torch": torch.__version__})
    folder = out.parent / "checkpoints" / resume.short(identity)
    with locked(folder):
        resume.explain(folder, identity)
        dataset = store.load(data)
        index = some(split_index(dataset, "train"), settings.samples)
        loop = Loop(plugins.make_task(run["task"], dataset), run, settings, index)
        loop.train(folder)
        store.save(_manifest(loop, folder, run), out)


def seed_of(*numbers: int) -> int:
    """A 64-bit seed from (seed, purpose, counter)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def some(index: Int[Array, " n"], count: int) -> Int[Array, " some"]:
    """So many of the samples, 0 for all: smaller choices lie within larger ones, as a learning curve needs.

    Raises:
        UserError: there are not so many.
    """
    if count > len(index):
        raise UserError("train.samples", f"at most the {len(index)} samples of the train split", count)
    return np.random.default_rng(SUBSET).permutation(index)[:count] if count else index


def batch_index(index: Int[Array, " n"], update: int, size: int, seed: int) -> Int[Array, " batch"]:
    """Samples of an update: consecutive pieces of an endless row of permutations of all samples, one an epoch."""
    place = np.arange(update * size, (update + 1) * size)
    epochs = {e: np.random.default_rng([seed, ORDER, e]).permutation(index) for e in set(place // len(index))}
    return np.array([epochs[e][p] for e, p in zip(place // len(index), place % len(index), strict=True)])


def rotations(kind: str, samples: int, seed: int, update: int) -> Float[Tensor, "sample 3 3"] | None:
    """A random rotation for every sample of an update; None without augmentation."""
    if kind == "none":
        return None
    generator = torch.Generator().manual_seed(seed_of(seed, ROTATION, update))
    draw = {"haar": so3.haar, "euler_product": so3.euler_product}[kind]
    return so3.matrix(draw(samples, generator=generator)).float()


def loss_terms(task: Task, prediction: dict[str, Tensor], batch: Batch) -> dict[str, Float[Tensor, ""]]:
    """The training loss of each term, mean over samples, unweighted."""
    return {
        t.name: loss_of(t.loss)(prediction[t.name], batch.targets[t.name], batch.weights[t.name]).mean()
        for t in task.terms
    }


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
    """

    def __init__(self, task: Task, run: dict[str, Any], settings: TrainSettings, index: Int[Array, " n"]):
        self.task, self.settings, self.index, self.seed = task, settings, index, run["seed"]
        self.device = device_of(settings.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, WEIGHTS))
            self.model: Model = plugins.make_model(run["model"], task.constants).to(self.device)
        self.optimiser = optimiser(self.model, settings)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()} if settings.ema else None
        self.curve, self.step, self.seconds = Curve(), 0, 0.0
        self.keep = set(checkpoint_steps(settings))
        self.change: dict[str, Tensor] | None = None

    def train(self, folder: Path) -> None:
        """Run to the last step, or to a signal to stop, from the state in the folder if there is one."""
        resume.restore(self, folder)
        progress = Progress("train", self.settings.steps, "update", done=self.step)
        start = saved = time.monotonic()
        before = self.seconds
        self.model.train()
        with resume.stop_signals() as signalled:
            while True:
                self.seconds = before + time.monotonic() - start
                reason = signalled()
                if self.step in self.keep:
                    resume.keep_checkpoint(self, folder)
                if self.step in self.keep or reason or time.monotonic() - saved > self.settings.save_every:
                    resume.keep_state(self, folder)
                    saved = time.monotonic()
                if self.step == self.settings.steps:
                    break
                if reason:
                    raise Stopped(f"{reason} at step {self.step} of {self.settings.steps}; the same job goes on there")
                self.update()
                progress.advance(f"loss {self.curve.loss[-1]:.4g}")
        progress.close()

    def update(self) -> None:
        """One optimiser update."""
        seed, size = self.seed, self.settings.batch
        index = batch_index(self.index, self.step, size, seed)
        rotation = rotations(self.settings.augment, size, seed, self.step)
        noise = np.random.default_rng([seed, NOISE, self.step])
        batch = self.task.training_batch(index, noise, rotation, self.device)
        torch.manual_seed(seed_of(seed, WEIGHTS, self.step))  # for models that draw (dropout)
        terms = loss_terms(self.task, self.model(batch.inputs), batch)
        loss = sum(t.weight * terms[t.name] for t in self.task.terms)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf)
        self._check(loss.item(), norm.item())
        rate = learning_rate(self.settings, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        before = self._trained() if self.step + 1 in self.keep else None
        self.optimiser.step()
        self.step += 1
        self.change = before and {k: v - before[k] for k, v in self._trained().items()}
        self._record(loss.item(), norm.item(), rate)

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
        "terms": json.dumps([vars(t) for t in loop.task.terms]),
        "seconds": round(loop.seconds, 1),
        "device": hardware(loop.device),
        "versions": json.dumps(versions()),
    }
    return xr.Dataset(curve | columns, {"step": np.array(steps, np.int64)}, attributes)

"""The training loop.

Everything random is drawn from (seed, purpose, update), never from a stream that has to be carried along, so a resumed
run is bit for bit the uninterrupted one on the CPU.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import plugins
from .._typing import Array, Int, Tensor
from ..contracts import Model, Task
from ..errors import Stopped, UserError
from ..objective import Objective, Rows
from ..runtime.devices import device_of, hardware
from ..runtime.identity import STATE_FILE
from ..runtime.progress import Progress
from ..settings.train import TrainSettings, checkpoint_steps
from . import cost, forward, processes, state, trial
from .average import averaged, weight_reader
from .batches import NOISE, WEIGHTS, Loader, batch_index, batches_ahead, seed_of, turns_of
from .curve import Curve, Recorder
from .optimisers import optimiser
from .processes import SINGLE, ProcessGroup
from .state import Update
from .trial import Compilation


def learning_rate(settings: TrainSettings, update: int) -> float:
    """Linear warm-up, then a cosine down to `final_learning_rate` times the highest."""
    if update < settings.warmup:
        return settings.learning_rate * (update + 1) / settings.warmup
    share = (update - settings.warmup) / max(settings.steps - settings.warmup, 1)
    low = settings.final_learning_rate
    return settings.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))


class Loop:
    """The training loop and everything it carries from update to update.

    Args:
        task: the task, on its data.
        run: the run as the config says it.
        settings: its `train` section.
        index: samples of the training split.
        group: the processes that train together; each has a loop.
    """

    def __init__(
        self,
        task: Task,
        run: dict[str, Any],
        settings: TrainSettings,
        index: Int[Array, " n"],
        group: ProcessGroup = SINGLE,
    ):
        self.task, self.settings, self.index, self.group, self.seed = task, settings, index, group, run["seed"]
        self.device = device_of(settings.device, double=False)
        if group.size > 1 and self.device == "cuda":
            self.device = f"cuda:{group.rank}"
            torch.cuda.set_device(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, WEIGHTS))
            self.model: Model = plugins.make_model(run["model"], task.constants).to(self.device)
            made = plugins.make_objective(settings.objective, task, self.model, settings.steps)
            self.objective: Objective = made.to(self.device)
        self.trained = torch.nn.ModuleList([self.model, *self.objective.networks()])
        self.parameters = list(self.trained.parameters())
        self.optimiser = optimiser(self.trained, settings, self.device)
        forward.require_compilable(self.objective, settings)
        if settings.activation_checkpointing:
            forward.recompute(self.model)
        self.compilation = None if settings.compile == "auto" else Compilation(settings.compile == "always")
        self.loader = Loader(self.rows, settings.steps, batches_ahead(settings.prefetch, self.device), self.device)
        self._present = weight_reader(self.model)
        self.average = {k: v.clone() for k, v in self._present().items()} if settings.ema else None
        self.recorder = Recorder(Curve(), self.device)
        self.step, self.seconds, self.devices = 0, 0.0, []
        self.meter = cost.Meter(self.device)
        self.keep = set(checkpoint_steps(settings))
        self.last: Update | None = None
        self.cost: dict[str, float | str] | None = None  # measured before the first update

    @cached_property
    def running(self) -> torch.nn.Module:
        """Model and objective as the passes of an update call them; a trial decides on compilation if that is open."""
        if self.compilation is None:
            self.compilation = self._decided()
        model = torch.compile(self.model) if self.compilation.on else self.model
        losses = forward.Losses(model, self.objective, self.settings, self.device)
        return forward.prepare(losses, self.device, self.group)

    def _decided(self) -> Compilation:
        """The outcome of a trial of the main process, the same in every process."""
        found = Compilation(False, "decided by the main process")
        if self.group.is_main:
            every = [self.rows(update) for update in range(min(trial.BATCHES, self.settings.steps))]
            parts = [self.parts(0, len(rows)) for rows in every]
            pieces = [rows.part(part[0]) for rows, part in zip(every, parts, strict=True)]
            passes = self.settings.steps * len(parts[0])
            found = trial.decided(self.model, self.objective, self.settings, pieces, passes)
            print(f"compiled: {found.words}", flush=True)
        return replace(found, on=bool(self.group.total(torch.tensor(float(found.on)))))

    @property
    def curve(self) -> Curve:
        """Values of all updates; off the CPU, asking waits for the device."""
        self.recorder.read()
        return self.recorder.curve

    def train(self, folder: Path) -> None:
        """Run to the last step, or to a signal to stop."""
        if self.step == self.settings.steps:
            return
        self.devices = list(dict.fromkeys([*self.devices, hardware(self.device)]))
        _ = self.running  # what a trial decides is in the first saved state
        start = saved = time.monotonic()
        before = self.seconds
        self.model.train()
        progress = Progress("train", self.settings.steps, "update", done=self.step)
        with processes.stop_signals() as signalled, self.loader, progress:
            while True:
                self.seconds = before + time.monotonic() - start
                reason, kept = self.group.shared_signal(signalled()), self.step in self.keep
                if kept or reason or time.monotonic() - saved > self.settings.save_every:
                    self._save(folder, kept)
                    saved = time.monotonic()
                if self.step == self.settings.steps:
                    break
                if reason:
                    raise Stopped(f"{reason} at step {self.step} of {self.settings.steps}; the same job goes on there")
                with self.meter.update():
                    self.update()
                progress.advance(self.recorder.words())

    def _save(self, folder: Path, kept: bool) -> None:
        """Save the state, and the checkpoint of a step that keeps one; neither after a loss that is not finite."""
        self.recorder.read()
        if kept and self.group.is_main:
            state.save_checkpoint(folder, self.step, self.weights(), self.last)
        if self.group.is_main:
            state.save_state(folder, self.state())

    def state(self) -> dict[str, Any]:
        """State that the next update needs, and the last update where a checkpoint keeps it."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "devices": self.devices,
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "last": self.last,
            "curve": vars(self.curve),
            "meter": self.meter.state(),
            "cost": self.cost,
            "compilation": asdict(self.compilation) if self.compilation else None,
        }

    def resume(self, folder: Path) -> None:
        """Restore the state saved in the folder, if there is one."""
        saved = state.load_state(folder, self.device)
        if saved is None:
            return
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.average, self.last = saved["average"], saved["last"]
        self.devices, self.cost = saved["devices"], saved.get("cost")
        self.model.load_state_dict(saved["model"])
        self.objective.load_state_dict(saved["objective"])
        own = [_execution(group) for group in self.optimiser.param_groups]
        self.optimiser.load_state_dict(saved["optimiser"])
        for group, kept in zip(self.optimiser.param_groups, own, strict=True):
            group |= {k: v for k, v in kept.items() if k in group}
        self.recorder = Recorder(Curve(**saved["curve"]), self.device)
        self.meter.restore(saved["meter"])
        if self.settings.compile == "auto" and saved.get("compilation"):
            self.compilation = Compilation(**saved["compilation"])
        print(f"resumed at step {self.step} from {folder / STATE_FILE}", flush=True)

    def rows(self, update: int) -> Rows:
        """All rows of an update, the same in every process."""
        objective, seed = self.objective.active(update), self.seed
        index = batch_index(self.index, update, objective.samples(self.settings.batch), seed)
        random = np.random.default_rng([seed, NOISE, update])
        return objective.rows(index, random, turns_of(seed, update), self.device)

    def parts(self, update: int, samples: int) -> list[slice]:
        """Micro-batches of this process as slices of the samples of an update.

        Raises:
            UserError: a micro-batch that is smaller than the rows of a sample.
        """
        most, views = self.settings.micro_batch, self.objective.active(update).views
        if 0 < most < views:
            raise UserError("train.micro_batch", f"at least the {views} rows of a sample, or 0", most)
        return self.group.parts(samples, most // views)

    def update(self) -> None:
        """One optimiser update."""
        means = self._gradients(self.loader.get(self.step))
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip or math.inf)
        rate = learning_rate(self.settings, self.step)
        self.recorder.add(self.step, means, norm, rate)
        self.objective.active(self.step).balance(means)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with self.meter.aside():
            kept = self.step + 1 in self.keep and self.group.is_main
            start = {k: v.detach().to("cpu", copy=True) for k, v in self.model.state_dict().items()} if kept else None
        self.optimiser.step()
        self.step += 1
        with self.meter.aside():
            self.last = {"start": start, "change": self._change(start)} if kept else None
        if self.average is not None:
            decay = min(self.settings.ema, self.step / (self.step + 9))  # short memory while weights still run away
            self.average = averaged(self.average, self._present(), decay)

    def _gradients(self, rows: Rows) -> dict[str, Tensor]:
        """Set the gradients of the loss of an update, in one micro-batch or several; return its means over samples.

        Each micro-batch counts with its share of the samples. Dropout draws from a seed of the update and of the first
        sample of the micro-batch.
        """
        running = self.running
        self.optimiser.zero_grad(set_to_none=True)
        parts, sums = self.parts(self.step, len(rows)), {}
        for part in parts:
            self._seed(seed_of(self.seed, WEIGHTS, self.step, *filter(None, [part.start])))
            few = rows.part(part)
            with forward.compile_errors(self.compilation.on), forward.no_sync(running, self.group, part is parts[-1]):
                means = {name: few.share * mean for name, mean in running(few, self.step).items()}
                (self.group.size * means["total"]).backward()  # gradients become means over processes
            sums = {name: mean.detach() + sums.get(name, 0.0) for name, mean in means.items()}
        if self.group.size > 1:
            forward.require_gradients(self.trained)
        for weight in forward.idle(self.objective, self.step):
            weight.grad = None  # no weight decay either
        return {name: self.group.total(mean) for name, mean in sums.items()}

    def _seed(self, seed: int) -> None:
        """Seed the default generators that dropout draws from; on the CPU the others need not be looked for."""
        torch.default_generator.manual_seed(seed) if self.device == "cpu" else torch.manual_seed(seed)

    def _change(self, start: dict[str, Tensor]) -> dict[str, Tensor]:
        """Change of the parameters that the optimiser updates."""
        trained = {n: p.detach().to("cpu") for n, p in self.model.named_parameters() if p.requires_grad}
        return {n: (p - start[n]).float() for n, p in trained.items()}

    def weights(self) -> dict[str, Tensor]:
        """Weights that a checkpoint keeps: the EMA if there is one."""
        return self.average if self.average is not None else self.model.state_dict()


def _execution(group: dict[str, Any]) -> dict[str, Any]:
    """Keys of a parameter group that are facts of the device and not of the run."""
    return {key: group[key] for key in ("fused", "foreach") if key in group}

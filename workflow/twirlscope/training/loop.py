"""The training loop.

Everything random is drawn from (seed, purpose, update), never from a stream that has to be carried along, so a resumed
run is bit for bit the uninterrupted one on the CPU.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import plugins
from .._typing import Array, Int, Tensor
from ..contracts import Batch, Model, Task
from ..errors import Stopped, UserError
from ..losses import balanced, weighted_loss
from ..runtime.devices import device_of, hardware
from ..runtime.identity import STATE_FILE
from ..runtime.progress import Progress
from ..settings.train import TrainSettings, checkpoint_steps
from . import cost, forward, processes, state
from .batches import NOISE, WEIGHTS, Loader, batch_index, rotations, seed_of
from .optimisers import optimiser
from .processes import SINGLE, ProcessGroup
from .state import Update


def learning_rate(settings: TrainSettings, update: int) -> float:
    """Linear warm-up, then a cosine down to `final_learning_rate` times the highest."""
    if update < settings.warmup:
        return settings.learning_rate * (update + 1) / settings.warmup
    share = (update - settings.warmup) / max(settings.steps - settings.warmup, 1)
    low = settings.final_learning_rate
    return settings.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass
class Curve:
    """Values recorded at every update, as columns of `train.zarr.zip`."""

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
        self.optimiser = optimiser(self.model, settings, self.device)
        self.running = forward.prepare_model(self.model, settings, self.device, group)
        self.loader = Loader(self.batch, settings.steps, settings.prefetch, self.device)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()} if settings.ema else None
        self.curve, self.step, self.seconds, self.devices = Curve(), 0, 0.0, []
        self.meter = cost.Meter(self.device)
        self.keep = set(checkpoint_steps(settings))
        self.last: Update | None = None
        self.cost: dict[str, float | str] | None = None  # measured before the first update

    def train(self, folder: Path) -> None:
        """Run to the last step, or to a signal to stop."""
        if self.step == self.settings.steps:
            return
        self.devices = list(dict.fromkeys([*self.devices, hardware(self.device)]))
        progress = Progress("train", self.settings.steps, "update", done=self.step)
        start = saved = time.monotonic()
        before = self.seconds
        self.model.train()
        with processes.stop_signals() as signalled, self.loader:
            while True:
                self.seconds = before + time.monotonic() - start
                reason, kept = self.group.shared_signal(signalled()), self.step in self.keep
                if kept and self.group.is_main:
                    state.save_checkpoint(folder, self.step, self.weights(), self.last)
                late = time.monotonic() - saved > self.settings.save_every
                if (kept or reason or late) and self.group.is_main:
                    state.save_state(folder, self.state())
                    saved = time.monotonic()
                if self.step == self.settings.steps:
                    break
                if reason:
                    raise Stopped(f"{reason} at step {self.step} of {self.settings.steps}; the same job goes on there")
                with self.meter.update():
                    self.update()
                progress.advance(f"loss {self.curve.loss[-1]:.4g}")
        progress.close()

    def state(self) -> dict[str, Any]:
        """State that the next update needs, and the last update where a checkpoint keeps it."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "devices": self.devices,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "last": self.last,
            "curve": vars(self.curve),
            "meter": self.meter.state(),
            "cost": self.cost,
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
        fused = [group.get("fused") for group in self.optimiser.param_groups]  # a fact of the device, not of the run
        self.optimiser.load_state_dict(saved["optimiser"])
        for group, own in zip(self.optimiser.param_groups, fused, strict=True):
            group |= {"fused": own} if "fused" in group else {}
        self.curve = Curve(**saved["curve"])
        self.meter.restore(saved["meter"])
        print(f"resumed at step {self.step} from {folder / STATE_FILE}", flush=True)

    def batch(self, update: int) -> Batch:
        """The whole batch of an update, the same in every process; its losses are means over samples with a target."""
        seed, size = self.seed, self.settings.batch
        index = batch_index(self.index, update, size, seed)
        rotation = rotations(self.settings.augment, size, seed, update)
        random = np.random.default_rng([seed, NOISE, update])
        return balanced(self.task.training_batch(index, random, rotation, self.device))

    def update(self) -> None:
        """One optimiser update."""
        loss = self._gradients(self.loader.get(self.step))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf).item()
        self._check(loss, norm)
        rate = learning_rate(self.settings, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with self.meter.aside():
            kept = self.step + 1 in self.keep and self.group.is_main
            start = {k: v.detach().to("cpu", copy=True) for k, v in self.model.state_dict().items()} if kept else None
        self.optimiser.step()
        self.step += 1
        with self.meter.aside():
            self.last = {"start": start, "change": self._change(start)} if kept else None
        self._record(loss, norm, rate)

    def _gradients(self, batch: Batch) -> float:
        """Set the gradients of the loss of a batch, in one micro-batch or several, and return the loss.

        Terms of the loss are means over samples, so each micro-batch counts with its share of the batch. Dropout draws
        from a seed of the update and of the first sample of the micro-batch.
        """
        self.optimiser.zero_grad(set_to_none=True)
        parts, total = self.group.parts(len(batch), self.settings.micro_batch), 0.0
        for part in parts:
            torch.manual_seed(seed_of(self.seed, WEIGHTS, self.step, *filter(None, [part.start])))
            few = batch.map(lambda t, part=part: t[part])
            with forward.compile_errors(self.settings), forward.no_sync(self.running, self.group, part is parts[-1]):
                with forward.autocast(self.settings, self.device):
                    prediction = self.running(few.inputs)
                loss = len(few) / len(batch) * weighted_loss(self.task, prediction, few)  # in the dtype of the targets
                (self.group.size * loss).backward()  # gradients become means over processes
            total = total + loss.detach()
        if self.group.size > 1:
            forward.require_gradients(self.model)
        return self.group.total(total.item())

    def _change(self, start: dict[str, Tensor]) -> dict[str, Tensor]:
        """Change of the parameters that the optimiser updates."""
        trained = {n: p.detach().to("cpu") for n, p in self.model.named_parameters() if p.requires_grad}
        return {n: (p - start[n]).float() for n, p in trained.items()}

    def weights(self) -> dict[str, Tensor]:
        """Weights that a checkpoint keeps: the EMA if there is one."""
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
            state = self.model.state_dict()
            names = [name for name, value in state.items() if value.is_floating_point()]
            averaged = torch._foreach_lerp([state[n] for n in names], [self.average[n] for n in names], decay)
            lerped = dict(zip(names, averaged, strict=True))
            self.average = {n: lerped[n] if n in lerped else v.clone() for n, v in state.items()}

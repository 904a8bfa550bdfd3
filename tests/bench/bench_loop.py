"""CPU time of a training update, in units of a bare loop.

    python tests/bench/bench_loop.py --results results      # after `make run`, whose molecules it trains on

The run is `augmented` of config/config.yaml: its network, data, batches and settings. One side is `Loop.train` with all
that it does per update, but for saving: checks, the curve, progress. The other side is
what a notebook would do: the same batches made when they are needed, forward pass, loss, backward pass, clipping,
optimiser, moving average. Both start from the same weights, take the same samples in the same orientations, and end
with the same weights, bit for bit, which is checked. Blocks of updates of both alternate in the order ABBA in one
process, and the ratio is that of the CPU times of all threads of the process in the two pairs of a round. It fails if
the whole interval of the median over rounds lies above the limit.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import yaml
from performance import Given, Section, alone
from timing import cpu_now, median, ratio, table

from twirlscope import plugins
from twirlscope._typing import Array
from twirlscope.errors import UserError
from twirlscope.geometry import so3
from twirlscope.losses import balanced, weighted_loss
from twirlscope.runtime.precision import float32
from twirlscope.settings.train import TrainSettings
from twirlscope.sources import split_index
from twirlscope.storage.ragged import open_samples
from twirlscope.training.batches import NOISE, batch_index, turns_of
from twirlscope.training.loop import Loop, learning_rate

ROOT = Path(__file__).parents[2]
RUN, LIMIT, BLOCK, ROUNDS = "augmented", 1.03, 20, 20


class Bare:
    """The loop that one writes in a notebook, from the weights of a `Loop` that has not begun."""

    def __init__(self, loop: Loop, run: dict):
        self.task, self.index, self.settings, self.seed = loop.task, loop.index, loop.settings, run["seed"]
        self.model = plugins.make_model(run["model"], loop.task.constants)
        self.model.load_state_dict(loop.model.state_dict())
        self.model.train()
        self.parameters = list(self.model.parameters())
        decays = [[p for p in self.parameters if (p.ndim > 1) == matrices] for matrices in (True, False)]
        groups = [
            {"params": p, "weight_decay": d} for p, d in zip(decays, (self.settings.weight_decay, 0.0), strict=True)
        ]
        self.optimiser = torch.optim.AdamW(groups)
        self.average = [p.detach().clone() for p in self.parameters]
        self.step = 0

    def block(self, updates: int) -> float:
        """CPU time [s] of updates."""
        start = cpu_now()
        for _ in range(updates):
            self.update()
        return cpu_now() - start

    def update(self) -> None:
        """One update."""
        settings, step = self.settings, self.step
        index = batch_index(self.index, step, settings.batch, self.seed)
        rotation = so3.matrix(so3.haar(settings.batch, generator=turns_of(self.seed, step))).float()
        random = np.random.default_rng([self.seed, NOISE, step])
        batch = balanced(self.task.training_batch(index, random, rotation, "cpu"))
        self.optimiser.zero_grad()
        weighted_loss(self.task, self.model(batch.inputs), batch).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, settings.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings, step)
        self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - min(settings.ema, self.step / (self.step + 9)))


class RoundsAreOver(BaseException):
    """The last round is over."""


class Interleaved(Loop):
    """A training that stops between blocks of its updates, in which a bare loop has its turn."""

    def compare(self, bare: Bare, rounds: int, block: int) -> Array:
        """CPU times [s] of the two blocks of each side in every round, `[round, block, side]`, this loop first."""
        self.bare, self.rounds, self.block, self.times = bare, rounds, block, []
        self.keep = set()  # what a checkpoint costs is another question
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(RoundsAreOver):
            self.train(Path(folder))
        return np.array(self.times).reshape(rounds, 2, 2)

    def update(self) -> None:
        """One update; before every second block of them the other side makes two blocks of its own."""
        place, now = self.step % (2 * self.block), cpu_now()
        if place == 0 and self.step:
            self.times.append((now - self.clock, self.others[1]))
        if self.step == 2 * self.block * self.rounds:
            raise RoundsAreOver
        if place == self.block:
            self.others = [self.bare.block(self.block) for _ in range(2)]
            self.times.append((now - self.clock, self.others[0]))
        if place in (0, self.block):
            self.clock = cpu_now()
        super().update()


def measured(data: Path, rounds: int, block: int) -> Array:
    """CPU times [s] of the blocks of both sides, `[round, block, side]`."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["runs"][RUN]
    samples = open_samples(data)
    task = plugins.make_task(config["task"], samples)
    run = {"model": config["model"], "seed": 0}
    settings = TrainSettings(**config["train"] | {"device": "cpu", "save_every": 1e9})
    loop = Interleaved(task, run, settings, split_index(samples, "train"))
    bare = Bare(loop, run)
    bare.block(3)  # warm
    bare = Bare(loop, run)
    times = loop.compare(bare, rounds, block)
    for own, other in zip(loop.model.parameters(), bare.parameters, strict=True):
        assert torch.equal(own, other), "both sides end with other weights"
    for own, other in zip(loop.weights().values(), bare.average, strict=True):
        torch.testing.assert_close(own, other)  # averages in two ways differ by rounding
    return times


def section(given: Given) -> Section:
    """Section of the page; fails if the whole interval of the ratio is above the limit.

    Raises:
        UserError: the results have no molecules.
    """
    data, block = given.results / "data" / "molecules.zarr.zip", 2 if given.quick else BLOCK
    if not data.exists():
        raise UserError(str(data), "the molecules of a default run (`make run`)", "no such file")
    with float32():
        times = measured(data, given.rounds(ROUNDS), block)
    own, bare = times[..., 0].sum(1), times[..., 1].sum(1)
    found, each = ratio(own, bare), 1e3 / (2 * block)
    row = [f"{median(each * own):.1f}", f"{median(each * bare):.1f}", f"{found:.3f}", f"{LIMIT:.2f}"]
    head = ("update of a training [CPU ms]", "of a bare loop [CPU ms]", "ratio", "limit")
    text = f"""The run `{RUN}` of config/config.yaml, {len(times) * 2 * block} updates of each side. A bare loop makes
the same batches when they are needed, then forward pass, loss, backward pass, clipping, optimiser, moving average. Both
end with the same weights, bit for bit.

{table(head, [row])}"""
    over = found.low > LIMIT and not given.quick
    exceeded = [f"training loop: {found:.3f} of a bare one, at most {LIMIT}"] if over else []
    return Section("The training loop beside a bare one", text, exceeded)


if __name__ == "__main__":
    sys.exit(alone(section, __file__))

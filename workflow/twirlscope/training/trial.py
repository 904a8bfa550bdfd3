"""Choice of torch.compile for a training: as set, or by a trial before the first update.

Both ways compute the same but for rounding. Compilation takes seconds to minutes, and what it gains depends on the
model, on how much the sizes of its batches vary, and on the machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch

from .._typing import Callable, Sequence
from ..errors import UserError
from ..objective import Objective, Rows
from ..settings.train import TrainSettings
from . import cost, forward

BATCHES = 4  # of the trial
LEAST = 1200.0  # seconds of passes of a whole training below which compilation, of up to three minutes, is not tried
GAIN = 0.05  # of the time of a pass that compilation must save


@dataclass(frozen=True)
class Compilation:
    """A choice for or against torch.compile, and why."""

    on: bool
    reason: str = "as set"

    @property
    def words(self) -> str:
        """One line for the log and the store of the training."""
        return f"{'yes' if self.on else 'no'}, {self.reason}"


def decided(
    model: torch.nn.Module, objective: Objective, settings: TrainSettings, pieces: Sequence[Rows], passes: int
) -> Compilation:
    """The better choice by forward and backward passes, which leave model and objective as they were.

    Args:
        model: in training mode, on its device.
        objective: of the training, with this model.
        settings: of the training.
        pieces: what single passes of a few updates take, of different batches.
        passes: of the whole training.
    """
    if not objective.compiles:
        return Compilation(False, f"not tried: torch.compile cannot look through {type(objective).__name__}")
    trained, device = torch.nn.ModuleList([model, *objective.networks()]), next(model.parameters()).device

    @cache
    def losses(compiled: bool) -> torch.nn.Module:
        return forward.Losses(torch.compile(model) if compiled else model, objective, settings, str(device))

    def work(compiled: bool, piece: Rows) -> None:
        with forward.compile_errors(compiled):
            losses(compiled)(piece, 0)["total"].backward()
        trained.zero_grad(set_to_none=True)

    with cost.as_it_was(trained):
        return faster(*([partial(work, way, piece) for piece in pieces] for way in (False, True)), passes, device)


def faster(
    eager: Sequence[Callable[[], object]],
    compiled: Sequence[Callable[[], object]],
    passes: int,
    device: torch.device,
) -> Compilation:
    """Choose by the times of both ways. A failure to compile chooses none.

    Args:
        eager: passes by the model as it is.
        compiled: the same passes by the compiled model; the first of each compiles where it must.
        passes: of the whole training.
        device: the torch device.
    """
    eager[0]()
    one = np.median([_seconds(work, device) for work in eager])
    if one * passes < LEAST:
        return Compilation(False, f"not tried: all passes take {one * passes:.3g} s, less than {LEAST:.0f} s")
    start = time.perf_counter()
    try:
        for work in compiled:
            work()
    except UserError as error:
        return Compilation(False, f"failed: {error.got}")
    took = time.perf_counter() - start
    pairs = [[_seconds(work, device) for work in pair] for pair in zip(eager, compiled, strict=True)]
    one, other = np.median(pairs, axis=0)
    said = f"a pass takes {1e3 * other:.3g} ms compiled, {1e3 * one:.3g} ms as it is; compiling took {took:.3g} s"
    return Compilation(bool(other < (1 - GAIN) * one), said)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time [s] of a function call."""
    start = time.perf_counter()
    work()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - start

"""Rehearsal of the end of a training, before its first update: what can only fail there fails here.

The code hash of a training leaves this module out: it refuses or passes, and shapes no number.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from .._typing import Callable
from ..contracts import Evaluation
from ..curvature.problem import trained_module
from ..errors import UserError
from ..runtime.devices import device_of
from ..settings.train import checkpoint_steps
from ..settings.twirl import TwirlSettings
from ..storage import store
from ..storage.arrays.twirl import TWIRL
from ..training import state
from ..training.checkpoints import Trained
from ..training.loop import Loop
from ..twirling.checkpoint import checkpoints_dataset, design_of, measure_checkpoint
from ..twirling.checks.before_training import check_before_training

SMALL = TwirlSettings(rotations=2, reflections=2, panel=2, panel_set="D2", panel_replicates=2, highest_degree=1, kept=1)
SAMPLES = 4


def check(loop: Loop, pieces: int, block: str = "") -> None:
    """Refuse a model that later stages would refuse.

    Args:
        loop: of a training, with a model that is freshly initialised.
        pieces: forward passes of an update, in all processes together.
        block: module whose Hessian will be measured; empty for none or for the whole model.

    Raises:
        UserError: see `check_before_training`, and no such module.
    """
    if block:
        trained_module(loop.model, block)
    check_before_training(loop.model, loop.task, loop.index, loop.device, pieces)


def rehearse(loop: Loop, folder: Path, data: Path, out: Path, publish: Callable[[Path], None]) -> None:
    """Write the first checkpoint and a store of the training, open them, measure the checkpoint and store that.

    Args:
        loop: of a training at step 0.
        folder: of its checkpoints.
        data: the prepared dataset.
        out: the store of the finished training; the rehearsal writes and removes files beside it.
        publish: writes the store of the training so far.

    Raises:
        UserError: no room or no permission to write, or a measurement that is refused.
    """
    require_room(loop, folder)
    state.save_checkpoint(folder, 0, loop.weights(), None)
    trial, measured = (out.with_name(f".{name}.rehearsal.zarr.zip") for name in ("train", "twirl"))
    try:
        publish(trial)
        _measure(Trained(trial, data), np.sort(loop.index[:SAMPLES]), measured)
    finally:
        for path in (trial, measured):
            path.unlink(missing_ok=True)


def _measure(run: Trained, index: np.ndarray, out: Path) -> None:
    """Measure the first checkpoint of a run on a few samples as the stage `twirl` does."""
    device = device_of(SMALL.device)
    evaluation = Evaluation(run.model(0).to(device), run.task, device, chunk=SMALL.chunk)
    design = design_of(run.task, index, SMALL, run.samples["cluster"].values[index])
    found = measure_checkpoint(evaluation, run.model(0, torch.float64), design, SMALL)
    store.save(checkpoints_dataset(evaluation, [0], design, [found], SMALL), out, TWIRL)


def require_room(loop: Loop, folder: Path) -> None:
    """Refuse a training whose checkpoints do not fit on the disk.

    Raises:
        UserError: needed and free space.
    """
    steps = len(checkpoint_steps(loop.settings))
    weights = sum(v.nbytes for v in loop.model.state_dict().values())
    trained = sum(4 * p.numel() for p in loop.model.parameters() if p.requires_grad)
    update = weights + trained  # weights before it, and the change of each parameter
    resumable = 2 * (4 * weights + update)  # weights, EMA, two moments of the optimiser; written aside first
    need, free = steps * weights + (steps - 1) * update + resumable, shutil.disk_usage(folder).free
    if need > free:
        expected = f"room for {steps} checkpoints of {weights / 1e6:.3g} MB, {need / 1e9:.3g} GB in all"
        raise UserError(folder, expected, f"{free / 1e9:.3g} GB free; lower train.checkpoints_per_decade")

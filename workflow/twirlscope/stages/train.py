"""Stage `train`: a run from its settings to its checkpoints; after a kill it resumes from its last saved state.

Several processes, a GPU each, train on the same batches as one.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from .. import plugins
from .._typing import Float, Tensor
from ..contracts import Batch
from ..errors import UserError
from ..losses import weighted_loss
from ..runtime import precision
from ..runtime.devices import device_of, versions
from ..runtime.identity import explain_changes, identity_of, locked, sha256, short_hash
from ..runtime.job import exit_with_message
from ..settings.train import EXECUTION_KEYS, TrainSettings, checkpoint_steps
from ..sources import split_index
from ..storage import store
from ..storage.arrays.train import TRAIN
from ..storage.ragged import open_samples
from ..training import cost, forward, size_matching, state
from ..training.batches import NOISE, batch_index, nested_subset
from ..training.loop import Loop
from ..training.optimisers import optimiser
from ..training.processes import SINGLE, ProcessGroup, connected, job_of_this_process, launch
from ..twirling.checks.before_training import check_before_training

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
        UserError: the model is refused before the first update, the loss is not finite, the disk is full, or there are
            fewer GPUs than processes.
        Stopped: a signal asked for it; the state of the last update is saved.
        SystemExit: one of several processes raised one of these and printed it.
    """
    settings = TrainSettings(**run["train"])
    facts = {"run": run, "code": code, "data": sha256(data), "torch": torch.__version__}
    identity = identity_of(facts, without=[f"run.train.{name}" for name in EXECUTION_KEYS])
    folder = out.parent / "checkpoints" / short_hash(identity)
    with locked(folder):
        explain_changes(folder, identity)
        if processes == 1:
            _train(SINGLE, data, out, run, folder)
        else:
            check_processes(device_of(settings.device, double=False), processes)
            launch(__name__, {"data": str(data), "out": str(out), "run": run, "folder": str(folder)}, processes)


def _train(group: ProcessGroup, data: Path, out: Path, run: dict[str, Any], folder: Path) -> None:
    """Train as one process of a group; the main process writes."""
    settings, dataset = TrainSettings(**run["train"]), open_samples(data)
    index = nested_subset(split_index(dataset, "train"), settings.samples)
    task = plugins.make_task(run["task"], dataset)
    run = run | {"model": size_matching.resolved(run["model"], task)}
    with precision.float32(settings.tf32):
        loop = Loop(task, run, settings, index, group)
        pieces = group.size * len(group.parts(settings.batch, settings.micro_batch))
        check_before_training(loop.model, task, index, loop.device, pieces)
        loop.train(folder)
        if group.is_main:
            store.save(_manifest(loop, folder, run), out, TRAIN)


def check_processes(device: str, processes: int) -> None:
    """Refuse more processes than GPUs; any number of processes may share the CPU.

    Raises:
        UserError: too few GPUs.
    """
    have = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, processes)
    if processes > have:
        raise UserError("resources.gpu", f"at most the {have} GPUs that this job sees", processes)


def _cost(loop: Loop) -> xr.Dataset:
    """Cost of the finished training, measured on its first few batches, in pieces of one pass of one process."""
    task, size, random = loop.task, loop.settings.batch, np.random.default_rng([loop.seed, NOISE])
    few = loop.settings.micro_batch or math.ceil(size / loop.group.size)
    index = [batch_index(loop.index, update, size, loop.seed)[:few] for update in range(COSTED)]
    batches = [task.training_batch(i, random, None, loop.device) for i in index]

    def loss(batch: Batch) -> Float[Tensor, ""]:
        return weighted_loss(task, loop.model(batch.inputs), batch)

    state, inputs = (loop.optimiser.state_dict(), loop.average), [b.inputs for b in batches]
    found = cost.measure(loop.model, inputs, [partial(loss, b) for b in batches], loop.meter, state)
    own, reason = cost.optimiser_flops(loop.model, lambda model: optimiser(model, loop.settings, loop.device))
    found["flops_update"] = found["flops_update"] * size / few + own
    found.attrs["cost_missing"] = found.attrs["cost_missing"] or reason
    found["device_hours"] = found["device_hours"] * loop.group.size
    return found


def _manifest(loop: Loop, folder: Path, run: dict[str, Any]) -> xr.Dataset:
    """The curve, and the checkpoints with their hashes."""
    steps = checkpoint_steps(loop.settings)
    checkpoints, updates = ([name(s) for s in steps] for name in (state.checkpoint_name, state.update_name))
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
        **precision.attributes(forward.PRECISION[loop.settings.precision], loop.device),
        "device": "; ".join(loop.devices),  # one after the other, where it was resumed
        "processes": loop.group.size,
        "versions": json.dumps(versions()),
    }
    return xr.Dataset(curve | columns, {"step": np.array(steps, np.int64)}, attributes).merge(
        _cost(loop), combine_attrs="no_conflicts"
    )


def _join() -> None:
    """Train as one of several processes, with the job that the process which started it hands over."""
    job = job_of_this_process()
    with exit_with_message("train"), connected(job) as group:
        _train(group, Path(job["data"]), Path(job["out"]), job["run"], Path(job["folder"]))


if __name__ == "__main__":
    _join()

"""Stage `train`: a run from its settings to its checkpoints; after a kill it resumes from its last saved state.

Several processes, a GPU each, train on the same batches as one.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from .. import plugins
from .._typing import Float, Tensor
from ..errors import UserError
from ..objective import Rows
from ..runtime import precision
from ..runtime.devices import device_of, versions
from ..runtime.identity import explain_changes, locked, sha256, short_hash
from ..runtime.job import exit_with_message
from ..runtime.progress import say_found
from ..settings.train import TrainSettings, checkpoint_steps
from ..sources import split_index
from ..storage import made_from, store
from ..storage.arrays.train import TRAIN
from ..storage.made_from import Record
from ..storage.ragged import open_samples
from ..training import cost, forward, size_matching, state
from ..training.batches import nested_subset
from ..training.loop import Loop
from ..training.optimisers import optimiser
from ..training.processes import SINGLE, ProcessGroup, connected, job_of_this_process, launch
from . import rehearsal

COSTED = 2  # updates on which FLOPs, memory and inference are measured; more where several rows show one sample
MOST_COSTED = 16


def train(data: Path, out: Path, run: dict[str, Any], code: str, processes: int = 1, block: str = "") -> None:
    """Train one run and write its manifest and curve, last and whole.

    Args:
        data: the prepared dataset.
        out: `train.zarr.zip`; checkpoints go to `checkpoints/<identity>` beside it.
        run: the run as the config says it: `task`, `model`, `train`, `seed`, `dataset`.
        code: hash of the code that shapes the result.
        processes: how many train it together, a GPU each where there are any.
        block: module whose Hessian will be measured, see `rehearsal.check`.

    Raises:
        UserError: the model is refused before the first update, the loss is not finite, the disk is full, or there are
            fewer GPUs than processes.
        Stopped: a signal asked for it; the state of the last update is saved.
        SystemExit: one of several processes raised one of these and printed it.
    """
    settings = TrainSettings(**run["train"])
    record = made_from.of_training(run, code, data)
    identity = record | {"torch": torch.__version__}
    folder = out.parent / "checkpoints" / short_hash(identity)
    with locked(folder):
        explain_changes(folder, identity)
        if processes == 1:
            _train(SINGLE, data, out, run, folder, record, block)
        else:
            check_processes(device_of(settings.device, double=False), processes)
            job = {"data": str(data), "out": str(out), "run": run, "folder": str(folder), "record": record}
            job |= {"block": block}
            launch(__name__, job, processes)


def _train(
    group: ProcessGroup, data: Path, out: Path, run: dict[str, Any], folder: Path, record: Record, block: str
) -> None:
    """Train as one process of a group; the main process writes."""
    settings, dataset = TrainSettings(**run["train"]), open_samples(data)
    index = nested_subset(split_index(dataset, "train"), settings.samples)
    task = plugins.make_task(run["task"], dataset)
    run = run | {"model": size_matching.resolved(run["model"], task)}
    with precision.float32(settings.tf32):
        loop = Loop(task, run, settings, index, group)
        pieces = group.size * len(loop.parts(0, loop.objective.active(0).samples(settings.batch)))
        rehearsal.check(loop, pieces, block)
        loop.resume(folder)
        if group.is_main:
            loop.cost = loop.cost or _cost(loop)
        if group.is_main and not loop.step:
            rehearsal.rehearse(loop, folder, data, out, lambda path: _publish(loop, folder, run, record, path))
        loop.train(folder)
        if group.is_main:
            _publish(loop, folder, run, record, out)
            say_found(f"loss {loop.curve.loss[-1]:.3g} after {loop.step:,} updates")


def check_processes(device: str, processes: int) -> None:
    """Refuse more processes than GPUs; any number of processes may share the CPU.

    Raises:
        UserError: too few GPUs.
    """
    have = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, processes)
    if processes > have:
        raise UserError("resources.gpu", f"at most the {have} GPUs that this job sees", processes)


def _cost(loop: Loop) -> dict[str, float | str]:
    """FLOPs, rows, memory and inference time, measured on a few updates of every phase of the objective."""
    own, state, reason = cost.first_update(loop.trained, lambda model: optimiser(model, loop.settings, loop.device))
    phases = [(share, _cost_of_phase(loop, update, (state, loop.average))) for update, share in loop.objective.phases()]
    found = phases[0][1] | {"memory_peak": max(one["memory_peak"] for _, one in phases)}
    for name in cost.BY_UPDATE:
        found[name] = sum(share * one[name] for share, one in phases)
    found["flops_update"] += own
    return found | {"cost_missing": found["cost_missing"] or reason, "threads": torch.get_num_threads()}


def _cost_of_phase(loop: Loop, update: int, state: object) -> dict[str, float | str]:
    """Cost of an update from this one on, measured in pieces of one pass of one process, where the loss is a mean."""

    def loss(rows: Rows) -> Float[Tensor, ""]:
        return loop.objective.active(update)(loop.model, rows)["total"]

    size = loop.settings.batch
    count = min(round(COSTED * size / loop.objective.active(update).samples(size)), MOST_COSTED)  # for as many samples
    every = [loop.rows(update + number) for number in range(count)]
    pieces = [rows.part(loop.parts(update, len(rows))[0]) for rows in every]
    inputs, losses = [p.batch.inputs for p in pieces], [partial(loss, p) for p in pieces]
    found = cost.measure(loop.model, inputs, losses, state)
    return found | {name: found[name] / pieces[0].share for name in cost.BY_UPDATE}


def _publish(loop: Loop, folder: Path, run: dict[str, Any], record: Record, path: Path) -> None:
    """Write `train.zarr.zip` of the checkpoints up to the step that the loop has reached."""
    found = _manifest(loop, folder, run, record).merge(cost.metered(loop.meter), combine_attrs="no_conflicts")
    found["device_hours"] = found["device_hours"] * loop.group.size
    numbers = {k: ((), v) for k, v in loop.cost.items() if k in TRAIN}
    words = {k: v for k, v in loop.cost.items() if k not in TRAIN}
    store.save(found.assign(numbers).assign_attrs(words), path, TRAIN)


def _manifest(loop: Loop, folder: Path, run: dict[str, Any], record: Record) -> xr.Dataset:
    """The curve, and the checkpoints with their hashes."""
    steps = [step for step in checkpoint_steps(loop.settings) if step <= loop.step]
    checkpoints, updates = ([name(s) for s in steps] for name in (state.checkpoint_name, state.update_name))
    columns = {k: ("update", np.asarray(v, np.float32)) for k, v in vars(loop.curve).items() if k != "quantities"}
    manifest = {
        "checkpoint_file": checkpoints,
        "checkpoint_sha256": [sha256(folder / f) for f in checkpoints],
        "update_file": updates,
        "update_sha256": [sha256(folder / f) if f else "" for f in updates],
    }
    columns |= {k: ("step", np.array(v, object)) for k, v in manifest.items()} | _quantities(loop)
    hashes = manifest["checkpoint_sha256"] + manifest["update_sha256"]
    attributes = {
        **made_from.attribute(record),
        "checkpoints": made_from.hash_of_checkpoints(record, hashes),
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
        "compiled": loop.compilation.words if loop.compilation else "",
        "versions": json.dumps(versions()),
        "kept": json.dumps(state.kept_changes(folder)),
    }
    return xr.Dataset(columns, {"step": np.array(steps, np.int64)}, attributes)


def _quantities(loop: Loop) -> dict[str, tuple]:
    """The quantities of the objective at every update; nothing for an objective without any."""
    found = {name: np.full(len(loop.curve.loss), np.nan) for name in loop.curve.quantities}
    for name, values in loop.curve.quantities.items():
        found[name][: len(values)] = values
    if not found:
        return {}
    names = ("quantity", np.array(list(found), object))
    return {
        "quantity": names,
        "objective_quantity": (("update", "quantity"), np.stack(list(found.values()), 1).astype(np.float32)),
    }


def _join() -> None:
    """Train as one of several processes, with the job that the process which started it hands over."""
    job = job_of_this_process()
    with exit_with_message("train"), connected(job) as group:
        paths = {name: Path(job[name]) for name in ("data", "out", "folder")}
        _train(group, run=job["run"], record=job["record"], block=job["block"], **paths)


if __name__ == "__main__":
    _join()

"""Resuming: the identity of a run, its state on disk, its checkpoints, signals. Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .settings.train import MACHINE
from .store import write_whole

if TYPE_CHECKING:
    from .train import Loop

STATE, IDENTITY = "state.pt", "identity.json"


def identity_of(parts: dict[str, Any]) -> dict[str, str]:
    """Everything that must be the same for a run to be resumed, flat: key path -> value as JSON.

    How a machine trains it is left out (`settings.train.MACHINE`, and the number of processes, which no setting says):
    a run that was started on a laptop goes on where it was on several GPUs, and no training is done again because it
    would now be divided otherwise. Its numbers differ in their rounding, as they do between machines anyway.
    `precision` and `tf32` are no such facts: they shape every number that follows.
    """
    machine = {f"run.train.{name}" for name in MACHINE}
    flat: dict[str, str] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{path}.{key}" if path else key, inner)
        elif path not in machine:
            flat[path] = json.dumps(value)

    walk("", parts)
    return dict(sorted(flat.items()))


def short(identity: dict[str, str]) -> str:
    """A folder name for the identity."""
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


def explain(folder: Path, identity: dict[str, str]) -> None:
    """Note the identity in the folder; where a run with another identity lies beside it, say what changed."""
    write_whole(folder / IDENTITY, lambda p: p.write_text(json.dumps(identity, indent=1)))
    others = [p for p in folder.parent.glob(f"*/{IDENTITY}") if p.parent != folder]
    if (folder / STATE).exists() or not others:
        return
    newest = max(others, key=lambda p: p.stat().st_mtime)
    old = json.loads(newest.read_text())
    changed = [k for k in sorted(old.keys() | identity.keys()) if old.get(k) != identity.get(k)]
    print(f"not resumed: the checkpoints in {newest.parent} belong to another run. What changed:")
    for key in changed:
        print(f"  {key}: {old.get(key, 'absent')} -> {identity.get(key, 'absent')}")
    print("training starts from step 0 in a folder of its own; the old one is left as it is", flush=True)


def checkpoint_name(step: int) -> str:
    """File name of the checkpoint at a step."""
    return f"step{step:09d}.pt"


def update_name(step: int) -> str:
    """File name of the update that led to a step; there is none that led to step 0."""
    return f"step{step:09d}.update.pt" if step else ""


def keep_checkpoint(loop: Loop, folder: Path) -> None:
    """The weights at this step, for the stages that measure, and the update that led to it, a file as large again.

    The update is that of the parameters which the optimiser turned, in float32; the weights may be a moving average.
    """
    if loop.step:
        write_whole(folder / update_name(loop.step), lambda p: dump(loop.change, p))
    weights = {k: v.detach().cpu() for k, v in loop.weights().items()}
    write_whole(folder / checkpoint_name(loop.step), lambda p: dump(weights, p))


def keep_state(loop: Loop, folder: Path) -> None:
    """Everything that the next update needs, and the last one where a checkpoint keeps it."""
    state = {
        "step": loop.step,
        "seconds": loop.seconds,
        "devices": loop.devices,
        "model": loop.model.state_dict(),
        "optimiser": loop.optimiser.state_dict(),
        "average": loop.average,
        "change": loop.change,
        "curve": vars(loop.curve),
        "meter": loop.meter.state(),
    }
    write_whole(folder / STATE, lambda p: dump(state, p))


def dump(data: Any, path: Path) -> None:
    """`torch.save` that gives the same bytes for the same data, and says so when the disk is full.

    Told a path, torch writes the file's name into the file; a full disk it turns into an internal error.
    """
    try:
        with path.open("wb") as opened:
            torch.save(data, opened)
    except RuntimeError:
        with path.open("ab", buffering=0) as file:
            file.write(bytes(1 << 20))  # raises the disk's own error, if that was the reason
        raise


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], str | None]]:
    """While it lasts, SIGTERM and SIGUSR1 end nothing; the function it gives names the one that came, if one did.

    SIGTERM is what a cluster sends before it takes a job's node away or its time is over, seconds before SIGKILL;
    SIGUSR1 is what it sends as early as `sbatch --signal` says.
    """
    came: list[str] = []
    kinds = (signal.SIGTERM, signal.SIGUSR1)
    before = {kind: signal.signal(kind, lambda number, _: came.append(signal.Signals(number).name)) for kind in kinds}
    try:
        yield lambda: came[0] if came else None
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def restore(loop: Loop, folder: Path) -> None:
    """Bring the loop to the saved state, if there is one."""
    path = folder / STATE
    if not path.exists():
        return
    state = torch.load(path, map_location=loop.device, weights_only=True)
    loop.step, loop.seconds = state["step"], state["seconds"]
    loop.average, loop.change = state["average"], state["change"]
    loop.devices = list(dict.fromkeys([*state["devices"], *loop.devices]))
    loop.model.load_state_dict(state["model"])
    fused = [group.get("fused") for group in loop.optimiser.param_groups]  # a fact of the device, not of the run
    loop.optimiser.load_state_dict(state["optimiser"])
    for group, own in zip(loop.optimiser.param_groups, fused, strict=True):
        group |= {"fused": own} if "fused" in group else {}
    loop.curve = type(loop.curve)(**state["curve"])
    loop.meter.restore(state["meter"])
    print(f"resumed at step {loop.step} from {path}", flush=True)

"""Files of a training: its checkpoints, and the state from which it resumes. They appear whole or not at all."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import torch

from .._typing import Mapping, Tensor
from ..errors import UserError
from ..runtime.atomic import write_whole
from ..runtime.identity import STATE_FILE

KEPT_FILE = "kept.json"


def checkpoint_name(step: int) -> str:
    """File name of the checkpoint at a step."""
    return f"step{step:09d}.pt"


def update_name(step: int) -> str:
    """File name of the update that led to a step; there is none that led to step 0."""
    return f"step{step:09d}.update.pt" if step else ""


# The optimiser step that led to a checkpoint. `start`: weights before it, never averaged; `change`: that of each
# parameter that the optimiser updates, in float32.
Update = dict[str, dict[str, Tensor]]


def save_checkpoint(folder: Path, step: int, weights: Mapping[str, Tensor], update: Update | None) -> None:
    """Write the weights at this step, for the stages that measure, and the update that led to it.

    The weights may be an EMA. Those of the update are not.
    """
    if step:
        write_whole(folder / update_name(step), lambda p: dump(update, p))
    held = {k: v.detach().cpu() for k, v in weights.items()}
    write_whole(folder / checkpoint_name(step), lambda p: dump(held, p))


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state that the next update needs."""
    write_whole(folder / STATE_FILE, lambda p: dump(state, p))


def load_state(folder: Path, device: str) -> dict[str, Any] | None:
    """The saved state, with its tensors on the device; None where there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    _require_whole(path)
    return torch.load(path, map_location=device, weights_only=True)


def _require_whole(path: Path) -> None:
    """Compare the checksums of a file that torch wrote; torch itself would load other numbers without a word."""
    try:
        with zipfile.ZipFile(path) as archive:
            reason = archive.testzip()
    except Exception as error:  # zipfile raises a dozen kinds of errors on damage
        reason = f"{type(error).__name__}: {error}"
    if reason:
        got = f"a damaged one ({reason}); delete it and run again: the training begins anew"
        raise UserError(path, "a whole state of the training", got)


def kept_changes(folder: Path) -> list[dict[str, str]]:
    """The code changes across which the training in a folder was kept: hashes `before` and `after`, and `date`."""
    path = folder / KEPT_FILE
    return json.loads(path.read_text()) if path.exists() else []


def dump(data: Any, path: Path) -> None:
    """`torch.save` with the same bytes for the same data, and with the disk's own error when the disk is full.

    Given a path, torch would write the file's name into the file; it turns a full disk into an internal error.
    """
    try:
        with path.open("wb") as opened:
            torch.save(data, opened)
    except RuntimeError:
        with path.open("ab", buffering=0) as file:
            file.write(bytes(1 << 20))  # raises the disk's own error, if that was the reason
        raise

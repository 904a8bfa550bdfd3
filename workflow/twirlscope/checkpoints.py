"""Trained runs as later stages see them: the task and the model at every checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from . import plugins, store
from .contracts import Model
from .errors import UserError


class Trained:
    """A finished run.

    Args:
        train: its `train.zarr.zip`; the checkpoints lie in the folder beside it that the store names.
        data: the prepared dataset it was trained on.

    Attributes:
        steps: steps of the checkpoints, ascending.
        task: the task, on the data.
        labels: the level of theory of the targets, in words.
    """

    def __init__(self, train: str | Path, data: str | Path):
        manifest = store.load(train)
        self._folder = Path(train).parent / manifest.attrs["folder"]
        self._spec = json.loads(manifest.attrs["run"])
        self.steps = [int(s) for s in manifest["step"].values]
        self._files = dict(zip(self.steps, manifest["checkpoint_file"].values, strict=True))
        self._hashes = dict(zip(self.steps, manifest["checkpoint_sha256"].values, strict=True))
        samples = store.load(data)
        self.labels = str(samples.attrs.get("labels", "not stated"))
        self.task = plugins.make_task(self._spec["task"], samples)

    def model(self, step: int, dtype: torch.dtype = torch.float32) -> Model:
        """The model at this step, in evaluation mode, on the CPU.

        Raises:
            UserError: the checkpoint is missing or not the one that was trained.
        """
        path = self._folder / self._files[step]
        if not path.exists():
            raise UserError(path, "the checkpoint of the run", "no such file; train again")
        if sha256(path) != self._hashes[step]:
            raise UserError(path, "the checkpoint that was trained", "a file with another content; train again")
        model = plugins.make_model(self._spec["model"], self.task.constants)
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return model.to(dtype).eval()


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Trained runs as later stages see them: the task and the model at every checkpoint."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from .. import plugins
from .._typing import Array, Int, Mapping, Tensor
from ..contracts import Model
from ..errors import UserError
from ..runtime.identity import sha256
from ..runtime.precision import duplicate
from ..settings.base import Settings
from ..sources import split_index
from ..storage import made_from, store
from ..storage.ragged import open_samples

Job = Mapping[str, Any]  # parameters of the job that measures a run


class Trained:
    """A finished run.

    Args:
        train: its `train.zarr.zip`; the checkpoints lie in the folder beside it that the store names.
        data: the prepared dataset it was trained on.
        job: `task`, keys of the task that shape measurements and not the training (defaults if left out), and `code`,
            the hash of the code that measures.

    Attributes:
        steps: steps of the checkpoints, ascending.
        samples: the data; their long arrays by atom are not in memory.
        task: the task, on the data.
        averaged: whether the weights of the checkpoints are a moving average.
        labels: the level of theory of the targets, in words.

    Raises:
        UserError: no such files, or others than a run and the prepared dataset that it was trained on.
    """

    def __init__(self, train: str | Path, data: str | Path, job: Job | None = None):
        manifest = store.load(train)
        if "run" not in manifest.attrs:
            got = f"{Path(train).name} without a run; the arguments are Trained(train, data)"
            raise UserError(train, "the train.zarr.zip of a run", got)
        self._stores, self._job = (Path(train), Path(data)), dict(job or {})
        self._folder = Path(train).parent / manifest.attrs["folder"]
        self._spec = json.loads(manifest.attrs["run"])
        self.steps = [int(s) for s in manifest["step"].values]
        self.samples = open_samples(data)
        if "split" not in self.samples:
            raise UserError(
                data, "the prepared dataset that the run was trained on", f"{Path(data).name} without splits"
            )
        _require_data(train, data, manifest.attrs)
        self.averaged = bool(self._spec.get("train", {}).get("ema"))
        self._manifest = manifest
        self.labels = str(self.samples.attrs.get("labels", "not stated"))
        self.task = plugins.make_task(self._spec["task"] | self._job.get("task", {}), self.samples)

    def made_from(self, stage: str, settings: Settings) -> dict[str, str]:
        """The attribute of a measurement of this run that says what it was made from.

        Args:
            stage: `twirl`, `gradient`, `hessian` or `layers`.
            settings: of the measurement.
        """
        task, code = self._job.get("task", {}), self._job.get("code", "")
        return made_from.attribute(made_from.of_measurement(stage, settings, task, code, *self._stores))

    def split(self, name: str, key: str) -> Int[Array, " sample"]:
        """Indices of the samples of a split of the data.

        Args:
            key: path of the setting that names the split, for the error.

        Raises:
            UserError: the data have no such split.
        """
        try:
            return split_index(self.samples, name)
        except ValueError as error:
            known = self.samples["split"].attrs["flag_meanings"].split()
            raise UserError(key, "a split of the data", repr(name), known) from error

    def model(self, step: int, dtype: torch.dtype = torch.float32) -> Model:
        """The model at this step, in evaluation mode, on the CPU.

        Raises:
            UserError: the checkpoint is missing or not the one that was trained.
        """
        model = duplicate(self._untrained)
        model.load_state_dict(self._kept("checkpoint", step))
        return model.to(dtype).eval()

    @cached_property
    def _untrained(self) -> Model:
        """The model without its weights, which is copied: to make a network of e3nn takes three times as long."""
        return plugins.make_model(self._spec["model"], self.task.constants)

    def update(self, step: int) -> dict[str, Tensor] | None:
        """Change of each parameter in the optimiser step that led to this checkpoint; None at step 0.

        It is the change of the weights that the optimiser updates, also where the checkpoint holds their EMA.

        Raises:
            UserError: the file is missing or not the one that was written.
        """
        return self._kept("update", step)["change"] if step else None

    def halfway(self, step: int, dtype: torch.dtype = torch.float32) -> Model | None:
        """The model halfway through `update`, in evaluation mode, on the CPU; None at step 0.

        The product of its gradient and the update is the change of the loss, but for third derivatives. The gradient at
        either end lacks second derivatives too, which count as much as the gradient where the optimiser overshoots.

        Raises:
            UserError: the file is missing or not the one that was written.
        """
        if not step:
            return None
        kept = self._kept("update", step)
        model = duplicate(self._untrained)
        model.load_state_dict(kept["start"])
        model = model.to(dtype)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in kept["change"]:
                    parameter += kept["change"][name].to(dtype) / 2
        return model.eval()

    def _kept(self, kind: str, step: int) -> dict:
        """Contents of a file of the run: its `checkpoint` or its `update` at a step."""
        kept = self._manifest.sel(step=step)
        path = self._folder / str(kept[f"{kind}_file"].item())
        if not path.exists():
            raise UserError(path, f"the {kind} of the run", "no such file; train again")
        if sha256(path) != kept[f"{kind}_sha256"].item():
            raise UserError(path, f"the {kind} that was written", "a file with another content; train again")
        return torch.load(path, map_location="cpu", weights_only=True)


def _require_data(train: str | Path, data: str | Path, attributes: Mapping[str, Any]) -> None:
    """Refuse data other than those that a run was trained on.

    Raises:
        UserError: paths and hashes of both.
    """
    record = json.loads(attributes.get(made_from.ATTRIBUTE, "{}"))
    if "data" not in record:
        print(f"warning: {train} does not say which data it was trained on; {data} are taken for them", flush=True)
        return
    wanted, got = json.loads(record["data"]), made_from.content_hash(data)
    if got != wanted:
        raise UserError(
            data, f"the data that {train} was trained on, with the hash {wanted}", f"data with the hash {got}"
        )

"""What a dataset, a model and a task must say so that every stage works for all of them.

A plug-in is ONE file with one class of these and one `Settings` (a closed pydantic model, see `settings.base`).
Nothing is registered: the config names it, `force_field` for `tasks/force_field.py` or `my_file.py:MyTask` for a file
of the user's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import xarray as xr

from ._typing import Array, Callable, Float, Int, Tensor
from .geometry import action
from .settings.base import Settings
from .settings.prepare import DatasetSettings


@dataclass(frozen=True)
class Batch:
    """Samples for a model. Every tensor has the sample as its first dimension; ragged things are padded.

    inputs: what the model sees.
    targets: by term, `[sample, ..., component]`, in the units of the loss.
    weights: by term, `[sample, ...]`: the share of each vector in its sample; 0 on padding, sum 1 over a sample, or
        less for a sample that counts less.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    weights: dict[str, Tensor]

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to every tensor."""
        return Batch(*({k: function(v) for k, v in part.items()} for part in (self.inputs, self.targets, self.weights)))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """On that device; floating-point tensors in that dtype, others as they are.

        From the CPU to a GPU of NVIDIA's by way of pinned memory, without waiting until the data are there.
        """
        goes_over = str(device).startswith("cuda")

        def moved(t: Tensor) -> Tensor:
            t = t.to(dtype=dtype) if dtype is not None and t.is_floating_point() else t
            return t.pin_memory().to(device, non_blocking=True) if goes_over and not t.is_cuda else t.to(device)

        return self.map(moved)

    def repeat(self, copies: int) -> Batch:
        """Each sample `copies` times in a row: a, a, b, b, ... (rotations stacked into the batch)."""
        return self.map(lambda t: t.repeat_interleave(copies, 0))

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))


@dataclass(frozen=True)
class Term:
    """One output of a task, compared with its target: a term of the loss.

    name: key of the prediction and of the target.
    irreps: how the last axis turns, as an e3nn string: `0e` a scalar, `1o` a polar vector.
    loss: name of the training loss of this term (`losses.LOSSES`).
    weight: factor of this term in the weighted sum.
    scale, unit: a prediction times `scale` is in `unit`, for reports.
    """

    name: str
    irreps: str
    loss: str = "mse"
    weight: float = 1.0
    scale: float = 1.0
    unit: str = "1"


class Task(ABC):
    """What is learned: how samples become batches, how a batch turns, which outputs are compared.

    Args:
        settings: an instance of `Settings`.
        data: the prepared dataset (`prepare` wrote it). Arrays by atom may be longer than memory: `ragged.Ragged` reads
            those of a batch, where `.values` would read them all.
    """

    Settings: ClassVar[type[Settings]]
    name: ClassVar[str]  # models say which task they are made for by this name
    group: str = "SO3"  # the rotations that act exactly on its batches; "octahedral" for fields on a cubic grid
    terms: tuple[Term, ...]
    irreps_in: ClassVar[dict[str, str]]  # irreps of the last axis of each input; inputs not named do not turn
    dataset_kind: ClassVar[str]  # kind of data that the task takes, see `Dataset.kind`
    reflections: ClassVar[bool] = False  # whether samples may be reflected as well as turned: O(3), not SO(3) alone
    points: ClassVar[tuple[str, str] | None] = None  # input with positions, and one that is 0 on padding: for frames
    attribution: tuple[str, str, list[int]] | None = None  # term, input with a label for each vector of it, the labels
    covariate: tuple[str, str] | None = None  # input with one number a sample that the loss depends on, and its name
    constants: dict[str, Any]  # what a model may need of the data, e.g. elements; `optional`: see `Model.optional`

    @abstractmethod
    def __init__(self, settings: Settings, data: xr.Dataset): ...

    @abstractmethod
    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """The samples with these indices, on the CPU. The same index gives the same batch, noise and times included."""

    def draw(self, index: Int[Array, " sample"], rng: np.random.Generator) -> Batch:
        """The samples for an update of the training: with fresh noise, times and the like, where the task has any."""
        return self.batch(index)

    def training_batch(
        self,
        index: Int[Array, " sample"],
        rng: np.random.Generator,
        rotation: Float[Tensor, "sample 3 3"] | None,
        device: torch.device | str,
    ) -> Batch:
        """What `draw` gives, on the device, each sample turned by its rotation if there are any.

        A task whose samples turn freely only before they become a batch, as molecules do that are put on a grid, turns
        them there: by any rotation, whatever its group.
        """
        batch = self.draw(index, rng)
        return (batch if rotation is None else self.rotate(batch, rotation)).to(device)

    def rotate(self, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> Batch:
        """Each sample turned by its rotation, or rotoreflection, targets with it: (g x, rho(g) y)."""
        inputs = {k: action.rotate(self.irreps_in.get(k, "0e"), rotation, v) for k, v in batch.inputs.items()}
        targets = {t.name: action.rotate(t.irreps, rotation, batch.targets[t.name]) for t in self.terms}
        return replace(batch, inputs=inputs, targets=targets)

    def metrics(
        self, index: Int[Array, " sample"], prediction: dict[str, Tensor]
    ) -> dict[str, Float[Array, " sample"]]:
        """What else says how good the predictions for `batch(index)` are, by name, a number a sample; often nothing."""
        return {}

    def generate(self, model: Callable[[dict], dict], device: str) -> xr.Dataset | None:
        """For a look, what a generative model makes, beside what it should look like; None where nothing is made."""
        return None


class Model(torch.nn.Module):
    """Maps the inputs of a batch to a prediction: one tensor a term, in the units of the loss.

    Repeated blocks that stand in a ModuleList named `blocks` can be recomputed to save memory in training. Where more
    than the masks of dropout is drawn in training, the task draws it and hands it over among the inputs.

    Args:
        settings: an instance of `Settings`.
        constants: `Task.constants` of the task it is trained on.
    """

    Settings: ClassVar[type[Settings]]
    task: ClassVar[str]  # name of the task it is made for
    optional: ClassVar[frozenset[str]] = frozenset()  # inputs and terms it knows that only some data bring: `cell`

    @property
    def equivariant(self) -> bool:
        """Whether it is built to turn as the rotations of its task do; the conformance tests hold it to that."""
        return False

    @property
    def activations(self) -> dict[str, str]:
        """Paths of modules whose outputs are irreps, with these, in the order of the network; none for most models.

        The features of an output are on its last axis, those of a field on its axis 1: `[sample, feature, x, y, z]`.
        """
        return {}

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Prediction by term, `[sample, ..., component]`; entries on padding are ignored."""
        raise NotImplementedError


@dataclass(frozen=True)
class Evaluation:
    """A model on the samples of a task, and how its forward passes run.

    model: maps `Batch.inputs` to a prediction by term, in evaluation mode, on that device and in that dtype.
    task: gives the samples and says how they turn.
    device: torch device.
    dtype: of floating-point inputs.
    chunk: rotated samples in one forward pass.
    """

    model: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    task: Task
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    chunk: int = 256

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """The samples with these indices, where and as the model takes them."""
        return self.task.batch(index).to(self.device, self.dtype)


@dataclass(frozen=True)
class Reject:
    """A record that cannot be used: where it stands (file or molecule), its index there, and why."""

    source: str
    index: int
    reason: str


@dataclass
class Part:
    """What one job of `prepare` found: samples (variables of the dataset's kind) and rejects."""

    samples: xr.Dataset | None
    rejects: list[Reject] = field(default_factory=list)


class Dataset(ABC):
    """Where samples come from. Deterministic from settings and seed, whatever the number of parts and cores.

    Args:
        settings: an instance of `Settings`.
    """

    Settings: ClassVar[type[DatasetSettings]]
    kind: ClassVar[str]  # what a sample is: "frames"; the variables are those of that kind in `variables.py`

    def __init__(self, settings: DatasetSettings):
        self.settings = settings

    def files(self) -> list[Path]:
        """The user's files it reads; they must exist before any job starts, and a change of them reruns `prepare`."""
        return []

    @abstractmethod
    def read(self, part: int) -> Part:
        """The samples of part number `part` of `settings.parts`."""

    @abstractmethod
    def finish(self, data: xr.Dataset) -> xr.Dataset:
        """All samples, with a `split`, plus what is computed on the training split alone (scales, references)."""


def split_index(data: xr.Dataset, name: str) -> Int[Array, " sample"]:
    """Indices of the samples of a split.

    Raises:
        ValueError: the data have no such split.
    """
    names = data["split"].attrs["flag_meanings"].split()
    if name not in names:
        raise ValueError(f"split {name!r} is not among {names}")
    return np.flatnonzero(data["split"].values == names.index(name))
